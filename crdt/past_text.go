package crdt

import "iter"

// Run is content whose units one client made, one clock after the other. Its length in units (UTF-16
// code units, or elements) is Clocks.Len. Neighbours that could be one run are one.
type Run struct {
	Client ClientID
	Clocks Range
}

// follows tells whether units continue the run.
func (r Run) follows(id ID) bool { return r.Client == id.Client && r.Clocks.To == id.Clock }

// Change says how content differs between two moments.
type Change uint8

const (
	// Kept content is there at both moments. Its attributes may differ.
	Kept Change = iota
	// Added content is there at the later moment only (Yjs: ychange of type added).
	Added
	// Removed content is there at the earlier moment only (Yjs: ychange of type removed).
	Removed
)

// String is the name that Yjs gives the change in an attribute ychange.
func (c Change) String() string { return [...]string{"kept", "added", "removed"}[c] }

// TextChange is a run of text, or one embedded value, with what became of it between two moments.
//
// A caller who knows the user behind each client ID knows who wrote it. Who removed it is not in a
// document: it is whoever sent the update that deletes these clocks (see ContentsOf).
type TextChange struct {
	Change Change
	// Run says which units they are. Of text, its length is that of Insert in UTF-16 code units.
	Run Run
	// Insert is a string, or the embedded value or type. A type reads as it is now; what it was is
	// told by its methods that take a snapshot.
	Insert Value
	// Before are the attributes at the earlier moment, none for what was added then. After are those
	// at the later one, none for what was removed.
	Before, After Attrs
}

// Formatted tells whether kept content changed its attributes.
func (c *TextChange) Formatted() bool { return c.Change == Kept && !c.Before.Equal(c.After) }

// DeltaAt is the text at a snapshot as insert operations (Yjs: YText.toDelta with a snapshot). Nothing
// is copied but the result, and the document stays as it is. It takes time in proportion to the text
// with all that was ever deleted from it; so do the other methods that take snapshots.
func (t Text) DeltaAt(s Snapshot) Delta {
	delta := Delta{}
	if t.doc != nil {
		t.doc.past(s).eachChunk(t.b, func(op DeltaOp) bool {
			delta = append(delta, op)
			return true
		})
	}
	return delta
}

// StringAt is the text at a snapshot without attributes and embedded values, in WTF-8.
func (t Text) StringAt(s Snapshot) string {
	if t.doc == nil {
		return ""
	}
	return string(t.doc.past(s).appendText(nil, t.b))
}

func (p *past) eachChunk(b branchRef, yield func(DeltaOp) bool) {
	w := deltaWriter{d: p.d, yield: yield}
	p.d.eachPiece(b, nil, p, func(pc piece) bool {
		w.add(pc.it, pc.data)
		return !w.stopped
	})
	w.flush()
}

// DeltaBetween is what the text was at two snapshots together, as insert operations: what was added or
// removed in between has an attribute ychange (Yjs: YText.toDelta with two snapshots). mark makes
// its value from the change, which is Added or Removed, and the first unit; nil stands for an object
// with a type. As in Yjs, changed content gets an operation for each block unless mark gives objects
// whose user is the client and whose type is the change; an embedded value has the ychange of the
// text before it; and attributes are those of the later moment. Changes tells more.
func (t Text) DeltaBetween(prev, next Snapshot, mark func(Change, ID) Value) Delta {
	delta := Delta{}
	d := t.doc
	if d == nil {
		return delta
	}
	if mark == nil {
		mark = func(c Change, _ ID) Value { return Object(Field{"type", String(c.String())}) }
	}
	w := deltaWriter{d: d, yield: func(op DeltaOp) bool {
		delta = append(delta, op)
		return true
	}}
	d.eachPiece(t.b, d.past(prev), d.past(next), func(pc piece) bool {
		if pc.it.kind == kindString {
			w.mark(&pc, d.publicID(pc.id), mark)
		}
		if pc.after || pc.it.kind != kindFormat {
			w.add(pc.it, pc.data)
		}
		return true
	})
	w.flush()
	return delta
}

const markKey = "ychange"

// mark sets or removes the attribute of a change before its text.
func (w *deltaWriter) mark(pc *piece, id ID, mark func(Change, ID) Value) {
	cur := w.attrs.Value(markKey)
	c := pc.change()
	switch {
	case c == Kept && !cur.IsUndefined():
		w.flush()
		w.attrs.remove(markKey)
	case c != Kept:
		user := cur.Field("user")
		if user.Kind() != ValueNumber || user.Number() != float64(id.Client) || cur.Field("type").Str() != c.String() {
			w.flush()
			w.attrs.set(markKey, mark(c, id))
		}
	}
}

func (p *piece) change() Change {
	switch {
	case !p.after:
		return Removed
	case !p.before:
		return Added
	}
	return Kept
}

// Changes yields the text of two snapshots together, in order: what was kept, added and removed, each
// run with the client that wrote it. The text must not change meanwhile.
func (t Text) Changes(prev, next Snapshot) iter.Seq[TextChange] {
	return func(yield func(TextChange) bool) {
		if t.doc != nil {
			w := changeWriter{d: t.doc, yield: yield}
			t.doc.eachPiece(t.b, t.doc.past(prev), t.doc.past(next), w.add)
			w.flush()
		}
	}
}

// changeWriter joins pieces to changes.
type changeWriter struct {
	d             *Doc
	yield         func(TextChange) bool
	open          bool
	change        Change
	run           Run
	text          []byte
	before, after Attrs
	stopped       bool
}

func (w *changeWriter) add(pc piece) bool {
	switch pc.it.kind {
	case kindString:
		id := w.d.publicID(pc.id)
		if !w.open || w.change != pc.change() || !w.run.follows(id) {
			w.flush()
			w.begin(&pc, id)
		}
		w.run.Clocks.To += Clock(pc.len)
		w.text = appendJoined(w.text, pc.data)
	case kindType, kindEmbed:
		w.flush()
		w.begin(&pc, w.d.publicID(pc.id))
		w.run.Clocks.To++
		w.send(w.d.singleValue(pc.it))
	case kindFormat:
		w.flush()
		key, v := w.d.format(pc.it)
		if pc.before {
			w.before.apply(key, v)
		}
		if pc.after {
			w.after.apply(key, v)
		}
	}
	return !w.stopped
}

func (w *changeWriter) begin(pc *piece, id ID) {
	w.open, w.change = true, pc.change()
	w.run = Run{id.Client, Range{id.Clock, id.Clock}}
}

func (w *changeWriter) flush() {
	if w.open {
		v := Value{kind: ValueString, str: string(w.text)}
		w.text = w.text[:0]
		w.send(v)
	}
}

func (w *changeWriter) send(v Value) {
	w.open = false
	if w.stopped {
		return
	}
	c := TextChange{Change: w.change, Run: w.run, Insert: v}
	if w.change != Added {
		c.Before = w.before.copy()
	}
	if w.change != Removed {
		c.After = w.after.copy()
	}
	w.stopped = !w.yield(c)
}
