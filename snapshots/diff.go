package snapshots

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"ysync/crdt"
	"ysync/persistence"
)

// Diff is what became of a document between two moments. It marshals to JSON.
type Diff struct {
	Document string `json:"document"`
	From     Mark   `json:"from"`
	To       Mark   `json:"to"`
	// AuthorsSince is the position after which authors are known; what is older
	// has one only if its client was seen again.
	AuthorsSince persistence.Position `json:"authorsSince"`
	// Changes are in the order of the document, the roots in that in which they
	// appeared; empty when the moments show the same.
	Changes []Edit `json:"changes"`
}

// Mark is a Point in a Diff.
type Mark struct {
	Position persistence.Position `json:"position"`
	// Time is RFC 3339, absent for the empty document.
	Time time.Time `json:"time,omitzero"`
	// Short says why the moment is an earlier one than was asked for.
	Short string `json:"short,omitempty"`
}

func markOf(p Point) Mark {
	m := Mark{Position: p.Position, Time: p.Time}
	if p.Short != nil {
		m.Short = p.Short.Error()
	}
	return m
}

// Edit is one changed place: a key, an element, or a text as a whole.
type Edit struct {
	// Path leads there: the name of the root, then keys and indices. The index
	// of an element that was removed counts as of the earlier moment, every
	// other as of the later. The attribute of an XML element or of a text is
	// the key "@name".
	Path []Step `json:"path"`
	// Kind is that of the type in which the place is: "map", "array", "text",
	// "xml".
	Kind string `json:"kind"`
	// Old and New are the values, absent where there was or is none. Shared
	// types are as crdt.Value.AppendJSON gives them. Of a text they are its
	// strings without embedded values.
	Old json.RawMessage `json:"old,omitempty"`
	New json.RawMessage `json:"new,omitempty"`
	// Text is, of a text, what was kept, added and removed, in order.
	Text []TextRun `json:"text,omitempty"`
	// The author of New; of a removal, that of Old. Not for a text, whose runs
	// have them.
	By
	// RemovedBy is who removed Old, when nothing has come in its place.
	RemovedBy string `json:"removedBy,omitempty"`
}

// By says who made something; see Author.
type By struct {
	Author      string `json:"author,omitempty"`
	DeliveredBy string `json:"deliveredBy,omitempty"`
}

// TextRun is a run of text, or one embedded value, with one fate and author.
type TextRun struct {
	// Change is "kept", "added" or "removed".
	Change string `json:"change"`
	// Text is the run, Embed the value when it is none.
	Text  string          `json:"text,omitempty"`
	Embed json.RawMessage `json:"embed,omitempty"`
	// Before and After are the attributes at the two moments, where there are
	// any.
	Before json.RawMessage `json:"before,omitempty"`
	After  json.RawMessage `json:"after,omitempty"`
	By
	RemovedBy string `json:"removedBy,omitempty"`
}

// Step is one step of a path: a key or an index. It marshals to a string or a
// number.
type Step struct {
	Key   string
	Index int
	// Indexed is whether Index counts, not Key.
	Indexed bool
}

// MarshalJSON implements json.Marshaler.
func (s Step) MarshalJSON() ([]byte, error) {
	if s.Indexed {
		return strconv.AppendInt(nil, int64(s.Index), 10), nil
	}
	return json.Marshal(s.Key)
}

// UnmarshalJSON implements json.Unmarshaler.
func (s *Step) UnmarshalJSON(b []byte) error {
	*s = Step{Indexed: len(b) > 0 && b[0] != '"'}
	if s.Indexed {
		return json.Unmarshal(b, &s.Index)
	}
	return json.Unmarshal(b, &s.Key)
}

// DiffOptions modify Diff. The zero value is the usual.
type DiffOptions struct {
	// Kinds say how to read roots of these names; others are read as their
	// content suggests.
	Kinds map[string]crdt.TypeKind
	// Salvage is that of AtOptions.
	Salvage bool
	// Anonymous leaves authors out, which saves reading the history.
	Anonymous bool
}

// Diff is what became of a document between two moments: place by place, and
// in texts character by character with who wrote and who removed it. Who wrote
// what is there now is the Diff from AtPosition(0). It works across thinned
// parts of the history, where authors may be unknown. Errors are those of
// Between.
func (k *Keeper) Diff(ctx context.Context, document string, from, to Moment, opts DiffOptions) (*Diff, error) {
	s, err := k.Between(ctx, document, from, to, AtOptions{Salvage: opts.Salvage})
	if err != nil {
		return nil, err
	}
	authors := new(Authors)
	if !opts.Anonymous {
		if authors, err = k.Authors(ctx, document, s.To.Generation, s.From.Position, s.To.Position); err != nil {
			return nil, err
		}
	}
	return s.Diff(authors, opts.Kinds), nil
}

// Diff is the difference between the two moments of s, with the authors that a
// knows.
func (s *Span) Diff(a *Authors, kinds map[string]crdt.TypeKind) *Diff {
	w := differ{Span: s, authors: a}
	for root := range s.Doc.Roots() {
		shown, asked := kinds[root.Name]
		if !asked {
			shown = root.Shown()
		}
		w.roots = append(w.roots, rootKind{root.Name, shown})
		if !asked && root.Kind == crdt.KindUndefined && shown != crdt.KindMap {
			for _, k := range root.Inferred {
				if k == crdt.KindMap {
					w.roots = append(w.roots, rootKind{root.Name, k})
				}
			}
		}
	}
	for _, r := range w.roots {
		w.path = append(w.path[:0], Step{Key: r.name})
		w.value(s.root(r))
	}
	return &Diff{
		Document: s.To.Document, From: markOf(s.From), To: markOf(s.To),
		AuthorsSince: a.From, Changes: w.edits,
	}
}

type rootKind struct {
	name string
	kind crdt.TypeKind
}

// root is a root type read as one of a kind.
func (s *Span) root(r rootKind) crdt.Value {
	switch r.kind {
	case crdt.KindText:
		return s.Doc.Text(r.name).Value()
	case crdt.KindMap, crdt.KindXMLHook:
		return s.Doc.Map(r.name).Value()
	case crdt.KindXMLFragment:
		return s.Doc.XMLFragment(r.name).Value()
	case crdt.KindXMLElement:
		return s.Doc.XMLElement(r.name).Value()
	case crdt.KindXMLText:
		return s.Doc.XMLText(r.name).Value()
	case crdt.KindArray:
		return s.Doc.Array(r.name).Value()
	}
	return crdt.Value{}
}
