package snapshots

import (
	"encoding/json"
	"slices"
	"unicode/utf8"

	"ysync/crdt"
)

// differ walks the types of a document that were there at both moments. What is
// new or gone shows as a whole in the type that holds it.
type differ struct {
	*Span
	authors *Authors
	roots   []rootKind
	path    []Step
	edits   []Edit
}

// value walks one type.
func (w *differ) value(v crdt.Value) {
	kind, ok := v.TypeKind()
	if !ok {
		return
	}
	switch kind {
	case crdt.KindMap:
		w.entries("map", "", v.Map().Changes(w.Before, w.After), v.Map().AllAt(w.After))
	case crdt.KindXMLHook:
		m := v.XMLHook()
		w.entries("xml", "", m.Changes(w.Before, w.After), m.AllAt(w.After))
	case crdt.KindArray:
		w.elements("array", v.Array().Changes(w.Before, w.After))
	case crdt.KindXMLFragment:
		w.elements("xml", v.XMLFragment().Changes(w.Before, w.After))
	case crdt.KindXMLElement:
		e := v.XMLElement()
		w.entries("xml", "@", e.AttrChanges(w.Before, w.After), e.AttrsAt(w.After))
		w.elements("xml", e.Changes(w.Before, w.After))
	case crdt.KindText:
		w.text(v, v.Text())
	case crdt.KindXMLText:
		w.text(v, v.XMLText().Text)
	}
}

func (w *differ) at(s Step, walk func()) {
	w.path = append(w.path, s)
	walk()
	w.path = w.path[:len(w.path)-1]
}

func (w *differ) put(e Edit) {
	e.Path = slices.Clone(w.path)
	w.edits = append(w.edits, e)
}

// entries walks keys: first those whose value is another one, then into the
// values that stayed.
func (w *differ) entries(kind, prefix string, changes func(func(crdt.EntryChange) bool), all func(func(string, crdt.Value) bool)) {
	changed := make(map[string]bool)
	for c := range changes {
		changed[c.Key] = true
		w.at(Step{Key: prefix + c.Key}, func() {
			e := Edit{Kind: kind, Old: w.was(c.Before), New: w.is(c.After), By: w.wrote(c.Author)}
			if c.Action == crdt.KeyDelete {
				e.RemovedBy, _, _ = w.authors.Deleted(c.Author)
			}
			w.put(e)
		})
	}
	for key, v := range all {
		if !changed[key] {
			w.at(Step{Key: prefix + key}, func() { w.value(v) })
		}
	}
}

// elements walks a list.
func (w *differ) elements(kind string, changes func(func(crdt.ListChange) bool)) {
	before, after := 0, 0
	for c := range changes {
		id := crdt.ID{Client: c.Run.Client, Clock: c.Run.Clocks.From}
		for _, v := range c.Values {
			switch c.Change {
			case crdt.Kept:
				w.at(Step{Index: after, Indexed: true}, func() { w.value(v) })
				before, after = before+1, after+1
			case crdt.Added:
				w.at(Step{Index: after, Indexed: true}, func() {
					w.put(Edit{Kind: kind, New: w.is(v), By: w.wrote(id)})
				})
				after++
			case crdt.Removed:
				w.at(Step{Index: before, Indexed: true}, func() {
					e := Edit{Kind: kind, Old: w.was(v), By: w.wrote(id)}
					e.RemovedBy, _, _ = w.authors.Deleted(id)
					w.put(e)
				})
				before++
			}
			id.Clock++
		}
	}
}

// text walks a text: it is one edit if anything in it differs. Types embedded
// in it follow.
func (w *differ) text(v crdt.Value, t crdt.Text) {
	w.entries("text", "@", t.AttrChanges(w.Before, w.After), t.AttrsAt(w.After))
	var runs []TextRun
	var inner []func()
	differs := false
	index := 0
	for c := range t.Changes(w.Before, w.After) {
		differs = differs || c.Change != crdt.Kept || c.Formatted()
		runs = w.runs(runs, &c)
		if _, isType := c.Insert.TypeKind(); isType && c.Change == crdt.Kept {
			at := Step{Index: index, Indexed: true}
			inner = append(inner, func() { w.at(at, func() { w.value(c.Insert) }) })
		}
		if c.Change != crdt.Removed {
			index += int(c.Run.Clocks.Len())
		}
	}
	if differs {
		w.put(Edit{
			Kind: "text", Text: runs,
			Old: crdt.String(t.StringAt(w.Before)).AppendJSON(nil), New: crdt.String(t.StringAt(w.After)).AppendJSON(nil),
		})
	}
	for _, walk := range inner {
		walk()
	}
}

// runs appends a change, cut where the author or the remover changes.
func (w *differ) runs(dst []TextRun, c *crdt.TextChange) []TextRun {
	run := TextRun{Change: c.Change.String(), Before: attrsJSON(c.Before), After: attrsJSON(c.After)}
	switch c.Change {
	case crdt.Kept:
		run.Change = "kept"
	case crdt.Added:
		run.Change = "added"
	case crdt.Removed:
		run.Change = "removed"
	}
	text := c.Insert.Str()
	for at := c.Run.Clocks.From; at < c.Run.Clocks.To; {
		id := crdt.ID{Client: c.Run.Client, Clock: at}
		by, until := w.authors.Wrote(id)
		run.By = By{by.Subject, by.DeliveredBy}
		if c.Change == crdt.Removed {
			who, _, to := w.authors.Deleted(id)
			run.RemovedBy, until = who, min(until, to)
		}
		until = min(until, c.Run.Clocks.To)
		if c.Insert.Kind() != crdt.ValueString {
			run.Embed = w.is(c.Insert)
			if c.Change == crdt.Removed {
				run.Embed = w.was(c.Insert)
			}
			return append(dst, run)
		}
		if until == c.Run.Clocks.To {
			run.Text = text
		} else {
			n := unitsLen(text, int(until-at))
			run.Text, text = text[:n], text[n:]
		}
		dst = joinRun(dst, run)
		at = until
	}
	return dst
}

// joinRun appends a run, or to the run before it when only the place differs.
func joinRun(dst []TextRun, run TextRun) []TextRun {
	if n := len(dst); n > 0 {
		last := &dst[n-1]
		if last.Embed == nil && last.Change == run.Change && last.By == run.By && last.RemovedBy == run.RemovedBy &&
			string(last.Before) == string(run.Before) && string(last.After) == string(run.After) {
			last.Text += run.Text
			return dst
		}
	}
	return append(dst, run)
}

// unitsLen is how many bytes of s the first n UTF-16 code units take. Half of a
// surrogate pair counts as the whole.
func unitsLen(s string, n int) int {
	for i := 0; i < len(s); {
		if n <= 0 {
			return i
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 && len(s) >= i+3 && s[i] == 0xed {
			size = 3 // a lone surrogate, as crdt.Value keeps it
		}
		if n--; r > 0xffff {
			n--
		}
		i += size
	}
	return len(s)
}

func (w *differ) wrote(id crdt.ID) By {
	by, _ := w.authors.Wrote(id)
	return By{by.Subject, by.DeliveredBy}
}

// was and is are a value at the earlier and at the later moment; none for
// undefined.
func (w *differ) was(v crdt.Value) json.RawMessage { return valueJSON(v, w.Before) }

func (w *differ) is(v crdt.Value) json.RawMessage { return valueJSON(v, w.After) }

func valueJSON(v crdt.Value, at crdt.Snapshot) json.RawMessage {
	if v.IsUndefined() {
		return nil
	}
	return v.JSONAt(at).AppendJSON(nil)
}

func attrsJSON(a crdt.Attrs) json.RawMessage {
	if len(a) == 0 {
		return nil
	}
	return crdt.Object(a...).AppendJSON(nil)
}
