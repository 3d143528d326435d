package crdt

import (
	"fmt"
	"iter"
)

// Text is a shared text whose ranges may carry attributes and which may hold embedded values
// (Yjs: YText). All positions and lengths count UTF-16 code units; an embedded value counts one.
type Text struct{ node }

// Text returns the root text of this name, making it as needed.
func (d *Doc) Text(name string) Text { return Text{node{d, d.root(toWTF8(name), KindText)}} }

// Len is the number of UTF-16 code units and embedded values.
func (t Text) Len() int { return t.length() }

// String is the text without attributes and embedded values, in WTF-8.
func (t Text) String() string {
	if t.doc == nil {
		return ""
	}
	return t.doc.textString(t.b)
}

// AppendString appends what String returns.
func (t Text) AppendString(dst []byte) []byte {
	if t.doc == nil {
		return dst
	}
	return t.doc.appendText(dst, t.b)
}

func (d *Doc) appendText(dst []byte, b branchRef) []byte { return d.copyText(dst, b, 0) }

// copyText is appendText. Up to room, what is behind dst may be written over.
func (d *Doc) copyText(dst []byte, b branchRef, room int) []byte {
	arena, whole := d.arena.buf, !d.arena.surrogates
	for r := d.start(b); r != 0; {
		it := d.item(r)
		r = it.right
		// Tombstones and short text alternate without any pattern. 16 bytes, of which
		// n count, are copied sooner than the processor recovers from a branch that it
		// did not foresee; so n is made 0 for what is no visible text without one.
		other := uint32(it.kind^kindString) | uint32(it.flags&flagDeleted)
		n := int(it.size & uint32(int32(other-1)>>31))
		if at, off := len(dst), int(it.off); n <= 16 && whole && room-at >= 16 && len(arena)-off >= 16 {
			copy(dst[at:at+16], arena[off:off+16])
			dst = dst[:at+n]
		} else if n > 0 && whole {
			dst = append(dst, arena[off:off+n]...)
		} else if n > 0 {
			dst = appendJoined(dst, arena[off:off+n])
		}
	}
	return dst
}

// textString is the text of a sequence as a string of its own.
func (d *Doc) textString(b branchRef) string {
	n := int(d.branch(b).length)
	buf := d.copyText(make([]byte, 0, n), b, n)
	if cap(buf)-len(buf) > len(buf)/8 {
		return string(buf)
	}
	return view(buf)
}

// Insert inserts s at a position with the attributes that hold there. Beyond the end it appends, as
// in Yjs; a negative position fails with ErrRange.
func (t Text) Insert(tx *Txn, at int, s string) {
	if s == "" || !t.editAt(tx, at, 0) {
		return
	}
	p := tx.textNear(t.b, at)
	p.insertText(tx, t.b, String(s), append(Attrs(nil), p.attrs...))
}

// InsertWith inserts s at a position with exactly the given attributes.
func (t Text) InsertWith(tx *Txn, at int, s string, attrs Attrs) {
	if s == "" || !t.editAt(tx, at, 0) || !t.checkAttrs(tx, attrs) {
		return
	}
	p := tx.textAt(t.b, at)
	p.insertText(tx, t.b, String(s), attrs.normal())
}

// InsertEmbed inserts a value or a type as one unit, with exactly the given attributes. A string is
// inserted as text, as in Yjs.
func (t Text) InsertEmbed(tx *Txn, at int, v Value, attrs Attrs) {
	if !t.editAt(tx, at, 0) || !t.checkAttrs(tx, attrs) {
		return
	}
	if err := t.doc.checkEmbed(t.b, v); err != nil {
		tx.fail(err)
		return
	}
	p := textPos{}
	if attrs == nil {
		p = tx.textNear(t.b, at)
	} else {
		p = tx.textAt(t.b, at)
	}
	p.insertText(tx, t.b, v, attrs.normal())
}

// Delete deletes n units from a position on. Units beyond the end are ignored, as in Yjs; nothing to
// delete from at all fails with ErrRange.
func (t Text) Delete(tx *Txn, at, n int) {
	if !t.editAt(tx, at, n) || n == 0 {
		return
	}
	if t.doc.start(t.b) == 0 {
		tx.fail(fmt.Errorf("%w: delete from an empty text", ErrRange))
		return
	}
	r, units, ok := t.doc.types.find(t.doc, t.b, at)
	var p textPos
	switch {
	case !ok:
		p = tx.textAt(t.b, at)
	case tx.deleteAtBorder(t.b, r, units, at, n):
		return
	default:
		p = tx.textFrom(t.b, r, units, at)
	}
	p.deleteText(tx, t.b, n)
}

// Format sets attributes of n units from a position on; a Null value removes an attribute. Where n
// reaches beyond the end, line feeds are added, as in Yjs; more than 2^20 of them fail with ErrRange.
// A position at the end does nothing.
func (t Text) Format(tx *Txn, at, n int, attrs Attrs) {
	if !t.editAt(tx, at, n) || n == 0 || !t.checkAttrs(tx, attrs) {
		return
	}
	p := tx.textAt(t.b, at)
	if p.right != 0 {
		p.formatText(tx, t.b, n, attrs.normal())
	}
}

// DeltaOptions modify ApplyDelta. The zero value is Yjs's default.
type DeltaOptions struct {
	// TrimFinalNewline leaves out one line feed at the end of a text that the last operation inserts
	// at the very end (Yjs: sanitize: false). Some editors show a line feed there that is not part
	// of the shared text.
	TrimFinalNewline bool
}

// ApplyDelta applies the operations of a delta one after the other, from the start of the text
// (Yjs: YText.applyDelta). If one of them is invalid, none is applied.
func (t Text) ApplyDelta(tx *Txn, delta Delta, opts DeltaOptions) {
	if !t.edit(tx) {
		return
	}
	for i := range delta {
		if err := t.doc.checkOp(t.b, &delta[i]); err != nil {
			tx.fail(fmt.Errorf("operation %d: %w", i, err))
			return
		}
	}
	tx.applyDelta(t.b, delta, opts)
}

// applyDelta applies checked operations.
func (tx *Txn) applyDelta(b branchRef, delta Delta, opts DeltaOptions) {
	p := textPos{right: tx.doc.start(b)}
	for i := range delta {
		if tx.err != nil {
			return
		}
		op := &delta[i]
		switch op.Kind {
		case DeltaInsert:
			v := op.Insert
			if v.kind == ValueString {
				if n := len(v.str); opts.TrimFinalNewline && i == len(delta)-1 && p.right == 0 && n > 0 && v.str[n-1] == '\n' {
					v.str = v.str[:n-1]
				}
				if v.str == "" {
					continue
				}
			}
			p.insertText(tx, b, v, op.Attrs.normal())
		case DeltaRetain:
			p.formatText(tx, b, op.Len, op.Attrs.normal())
		case DeltaDelete:
			if p.left == 0 && p.right == 0 {
				tx.fail(fmt.Errorf("%w: delete from an empty text", ErrRange))
				return
			}
			p.deleteText(tx, b, op.Len)
		}
	}
}

func (t Text) editAt(tx *Txn, at, n int) bool {
	if !t.edit(tx) {
		return false
	}
	if at < 0 || n < 0 {
		tx.fail(fmt.Errorf("%w: %d units at %d", ErrRange, n, at))
		return false
	}
	return true
}

func (t Text) checkAttrs(tx *Txn, attrs Attrs) bool {
	if err := checkAttrs(attrs); err != nil {
		tx.fail(err)
		return false
	}
	return true
}

// checkAttrs refuses values that have no JSON form, in which formats are written.
func checkAttrs(attrs Attrs) error {
	for _, f := range attrs {
		if !f.Value.isJSON() {
			return fmt.Errorf("%w: %v as an attribute of text", ErrValue, f.Value.kind)
		}
		if f.Value.nesting() > maxValueDepth-1 {
			return fmt.Errorf("%w: attribute nested too deep", ErrLimit)
		}
	}
	return nil
}

// isJSON reports whether JSON.stringify takes the value: it is no undefined, holds no bigint and
// nothing shared.
func (v Value) isJSON() bool {
	return v.kind != ValueUndefined && v.isPlain() && !v.holds(ValueBigInt)
}

// holds reports whether a plain value is or contains one of this kind.
func (v Value) holds(kind ValueKind) bool {
	if v.kind == kind {
		return true
	}
	if v.kind == ValueList || v.kind == ValueObject {
		for _, e := range v.ref.vals {
			if e.holds(kind) {
				return true
			}
		}
	}
	return false
}

// checkEmbed refuses what cannot stand in a text.
func (d *Doc) checkEmbed(b branchRef, v Value) error {
	if v.kind != ValueType && (v.kind == ValueNull || !v.isJSON()) {
		return fmt.Errorf("%w: %v in a text", ErrValue, v.kind)
	}
	return d.checkValue(b, v)
}

func (d *Doc) checkOp(b branchRef, op *DeltaOp) error {
	if op.Len < 0 {
		return fmt.Errorf("%w: length %d", ErrRange, op.Len)
	}
	if op.Kind == DeltaInsert {
		if err := d.checkEmbed(b, op.Insert); err != nil {
			return err
		}
	}
	return checkAttrs(op.Attrs)
}

// Chunks yields the text as the insert operations of a delta: runs of text, or an embedded value,
// with the attributes that hold there (Yjs: YText.toDelta). The text must not change meanwhile.
func (t Text) Chunks() iter.Seq[DeltaOp] {
	return func(yield func(DeltaOp) bool) {
		if t.doc != nil {
			t.doc.eachChunk(t.b, yield)
		}
	}
}

// Delta is the text as insert operations; see Chunks.
func (t Text) Delta() Delta {
	delta := Delta{}
	for op := range t.Chunks() {
		delta = append(delta, op)
	}
	return delta
}

func (d *Doc) eachChunk(b branchRef, yield func(DeltaOp) bool) {
	w := deltaWriter{d: d, yield: yield}
	for r := d.start(b); r != 0 && !w.stopped; {
		it := d.item(r)
		r = it.right
		if !it.deleted() {
			w.add(it, d.data(it))
		}
	}
	w.flush()
}

// deltaWriter makes insert operations of text and the attributes that hold.
type deltaWriter struct {
	d       *Doc
	yield   func(DeltaOp) bool
	run     []byte
	attrs   Attrs
	stopped bool // by yield
}

// add adds an item, or those of its units that data has.
func (w *deltaWriter) add(it *item, data []byte) {
	switch it.kind {
	case kindString:
		w.run = appendJoined(w.run, data)
	case kindType, kindEmbed:
		w.flush()
		w.send(w.d.singleValue(it))
	case kindFormat:
		w.flush()
		w.attrs.apply(w.d.format(it))
	}
}

// flush ends the operation.
func (w *deltaWriter) flush() {
	if len(w.run) > 0 {
		v := Value{kind: ValueString, str: string(w.run)}
		w.run = w.run[:0]
		w.send(v)
	}
}

func (w *deltaWriter) send(v Value) {
	if !w.stopped {
		w.stopped = !w.yield(DeltaOp{Kind: DeltaInsert, Insert: v, Attrs: w.attrs.copy()})
	}
}

// SetAttr sets an attribute of the text as a whole (Yjs: YText.setAttribute).
func (t Text) SetAttr(tx *Txn, key string, v Value) { t.set(tx, key, v) }

// RemoveAttr removes an attribute of the text as a whole.
func (t Text) RemoveAttr(tx *Txn, key string) { t.unset(tx, key) }

// Attr is an attribute of the text as a whole; undefined when there is none.
func (t Text) Attr(key string) Value { return t.get(key) }

// Attrs yields the attributes of the text as a whole.
func (t Text) Attrs() iter.Seq2[string, Value] { return t.all() }
