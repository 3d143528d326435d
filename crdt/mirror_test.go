package crdt_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"unicode/utf16"

	"ysync/crdt"
)

// plainType is a shared type as plain data, kept up by events alone.
type plainType struct {
	kind crdt.TypeKind
	seq  []plainUnit
	keys map[string]any // crdt.Value or *plainType
}

// plainUnit is one element of a list, one child, or one unit of text.
type plainUnit struct {
	is    any // crdt.Value, *plainType or uint16
	attrs map[string]crdt.Value
}

// plainOf reads a type from the document.
func plainOf(v crdt.Value) any {
	kind, ok := v.TypeKind()
	if !ok {
		return v
	}
	p := &plainType{kind: kind, keys: map[string]any{}}
	switch kind {
	case crdt.KindText, crdt.KindXMLText:
		p.seq = insertUnits(v.Text().Delta())
	case crdt.KindArray:
		for e := range v.Array().Values() {
			p.seq = append(p.seq, plainUnit{is: plainOf(e)})
		}
	default:
		for e := range v.XMLFragment().Children() {
			p.seq = append(p.seq, plainUnit{is: plainOf(e)})
		}
	}
	for k, e := range v.Entries() {
		p.keys[k] = plainOf(e)
	}
	return p
}

func insertUnits(d crdt.Delta) (units []plainUnit) {
	for _, op := range d {
		attrs := map[string]crdt.Value{}
		for _, f := range op.Attrs {
			attrs[f.Key] = f.Value
		}
		if op.Insert.Kind() == crdt.ValueString {
			for _, u := range utf16.Encode([]rune(op.Insert.Str())) {
				units = append(units, plainUnit{u, attrs})
			}
		} else {
			units = append(units, plainUnit{plainOf(op.Insert), attrs})
		}
	}
	return units
}

// apply does what an event says.
func (p *plainType) apply(e *crdt.Event, values func(crdt.KeyChange) crdt.Value) error {
	for _, step := range e.Path() {
		var next any
		if step.Kind() == crdt.ValueString {
			next = p.keys[step.Str()]
		} else if i := int(step.Number()); i < len(p.seq) {
			next = p.seq[i].is
		}
		t, ok := next.(*plainType)
		if !ok {
			return fmt.Errorf("path %v leads to %v", e.Path(), next)
		}
		p = t
	}
	for _, k := range e.Keys() {
		old, had := p.keys[k.Key]
		if had != (k.Action != crdt.KeyAdd) {
			return fmt.Errorf("%s of key %q, which had a value before: %v", k.Action, k.Key, had)
		}
		if v, plain := old.(crdt.Value); plain && !v.Equal(k.Old) {
			return fmt.Errorf("old value of %q: %v, was %v", k.Key, k.Old, v)
		}
		if k.Action == crdt.KeyDelete {
			delete(p.keys, k.Key)
		} else {
			p.keys[k.Key] = plainOf(values(k))
		}
	}
	at := 0
	if p.kind == crdt.KindText || p.kind == crdt.KindXMLText {
		for _, op := range e.Delta() {
			switch op.Kind {
			case crdt.DeltaInsert:
				units := insertUnits(crdt.Delta{op})
				p.seq = slices.Insert(p.seq, at, units...)
				at += len(units)
			case crdt.DeltaRetain:
				for i := at; i < at+op.Len && len(op.Attrs) > 0; i++ {
					p.seq[i].attrs = withAttrs(p.seq[i].attrs, op.Attrs)
				}
				at += op.Len
			case crdt.DeltaDelete:
				p.seq = slices.Delete(p.seq, at, at+op.Len)
			}
		}
		return nil
	}
	for _, op := range e.List() {
		switch op.Kind {
		case crdt.DeltaInsert:
			for _, v := range op.Insert {
				p.seq = slices.Insert(p.seq, at, plainUnit{is: plainOf(v)})
				at++
			}
		case crdt.DeltaRetain:
			at += op.Len
		case crdt.DeltaDelete:
			p.seq = slices.Delete(p.seq, at, at+op.Len)
		}
	}
	return nil
}

func withAttrs(have map[string]crdt.Value, set crdt.Attrs) map[string]crdt.Value {
	out := maps.Clone(have)
	for _, f := range set {
		if f.Value.IsNull() {
			delete(out, f.Key)
		} else {
			out[f.Key] = f.Value
		}
	}
	return out
}

// differPlain tells where two plain types differ.
func differPlain(at string, a, b any) string {
	p, ok1 := a.(*plainType)
	q, ok2 := b.(*plainType)
	if !ok1 || !ok2 {
		v, ok3 := a.(crdt.Value)
		w, ok4 := b.(crdt.Value)
		if ok3 && ok4 && v.Equal(w) || !ok3 && !ok4 && a == b {
			return ""
		}
		return fmt.Sprintf("%s: %v, want %v", at, b, a)
	}
	if p.kind != q.kind || len(p.seq) != len(q.seq) || len(p.keys) != len(q.keys) {
		return fmt.Sprintf("%s: kind %d, %d elements, %d keys; want kind %d, %d, %d", at, q.kind, len(q.seq), len(q.keys), p.kind, len(p.seq), len(p.keys))
	}
	for i := range p.seq {
		if d := differPlain(fmt.Sprintf("%s[%d]", at, i), p.seq[i].is, q.seq[i].is); d != "" {
			return d
		}
		if !maps.EqualFunc(p.seq[i].attrs, q.seq[i].attrs, crdt.Value.Equal) {
			return fmt.Sprintf("%s[%d]: attributes %v, want %v", at, i, q.seq[i].attrs, p.seq[i].attrs)
		}
	}
	for k := range p.keys {
		if d := differPlain(at+"."+k, p.keys[k], q.keys[k]); d != "" {
			return d
		}
	}
	return ""
}

// mirrored is a document with mirrors of its roots.
type mirrored struct {
	doc   *crdt.Doc
	roots []crdt.Value
	plain []*plainType
	err   error
	inbox [][]byte
}

func newMirrored(id crdt.ClientID, opts crdt.Options, send func([]byte)) *mirrored {
	opts.ClientID = id
	m := &mirrored{doc: crdt.New(opts)}
	m.roots = []crdt.Value{
		m.doc.Text("text").Value(), m.doc.Array("array").Value(), m.doc.Map("map").Value(), m.doc.XMLFragment("xml").Value(),
	}
	for i, root := range m.roots {
		p := plainOf(root).(*plainType)
		m.plain = append(m.plain, p)
		root.ObserveDeep(func(events []*crdt.Event) {
			for _, e := range events {
				target := e.Target()
				err := p.apply(e, func(k crdt.KeyChange) crdt.Value {
					for key, v := range target.Entries() {
						if key == k.Key {
							return v
						}
					}
					return crdt.Undefined()
				})
				if err != nil && m.err == nil {
					m.err = fmt.Errorf("root %d: %w", i, err)
				}
			}
		})
	}
	m.doc.OnCommit(func(c *crdt.Commit) {
		if c.Local() {
			send(c.AppendUpdate(nil, crdt.V1))
		}
	})
	return m
}

func (m *mirrored) check() error {
	if m.err != nil {
		return m.err
	}
	if err := m.doc.Check(); err != nil {
		return err
	}
	for i, root := range m.roots {
		if d := differPlain(fmt.Sprintf("root %d", i), plainOf(root), m.plain[i]); d != "" {
			return fmt.Errorf("the mirror differs: %s", d)
		}
	}
	return nil
}

// types are all types in the document, roots and nested ones.
func (m *mirrored) types() []crdt.Value {
	all := slices.Clone(m.roots)
	for i := 0; i < len(all); i++ {
		add := func(v crdt.Value) {
			if v.Kind() == crdt.ValueType {
				all = append(all, v)
			}
		}
		switch kind, _ := all[i].TypeKind(); kind {
		case crdt.KindText, crdt.KindXMLText:
			for _, op := range all[i].Text().Delta() {
				add(op.Insert)
			}
		case crdt.KindArray:
			for v := range all[i].Array().Values() {
				add(v)
			}
		default:
			for v := range all[i].XMLFragment().Children() {
				add(v)
			}
		}
		for _, v := range all[i].Entries() {
			add(v)
		}
	}
	return all
}

func randomValue(r *rand.Rand, deep int) crdt.Value {
	switch n := r.IntN(10); {
	case n < 4 || deep > 4:
		return crdt.Int(r.IntN(1000))
	case n < 5:
		return crdt.String(fmt.Sprint("s", r.IntN(100)))
	case n < 6:
		return crdt.NewText("inner")
	case n < 8:
		return crdt.NewArray(randomValue(r, deep+1), crdt.Int(1))
	}
	return crdt.NewMap(crdt.Field{Key: "k", Value: randomValue(r, deep+1)})
}

func randomNode(r *rand.Rand) crdt.Value {
	if r.IntN(2) == 0 {
		return crdt.NewXMLText(crdt.Delta{crdt.InsertText("node")})
	}
	return crdt.NewXMLElement("p", crdt.Attrs{{Key: "id", Value: crdt.Int(r.IntN(9))}}, crdt.NewXMLElement("b", nil))
}

var randomFormats = []crdt.Field{
	{Key: "bold", Value: crdt.Bool(true)},
	{Key: "bold", Value: crdt.Null()},
	{Key: "color", Value: crdt.String("red")},
	{Key: "color", Value: crdt.String("blue")},
	{Key: "color", Value: crdt.Null()},
	{Key: "link", Value: crdt.Object(crdt.Field{Key: "href", Value: crdt.String("u")})},
	{Key: "link", Value: crdt.Null()},
}

// edit makes one random edit of a random type.
func (m *mirrored) edit(r *rand.Rand, tx *crdt.Txn) {
	types := m.types()
	v := types[r.IntN(len(types))]
	key := string(rune('a' + r.IntN(4)))
	switch kind, _ := v.TypeKind(); kind {
	case crdt.KindText, crdt.KindXMLText:
		t := v.Text()
		at := r.IntN(t.Len() + 1)
		switch r.IntN(8) {
		case 0, 1:
			t.Insert(tx, at, "abc")
		case 2:
			t.InsertWith(tx, at, "xy", crdt.Attrs{randomFormats[r.IntN(len(randomFormats))]})
		case 3:
			t.InsertEmbed(tx, at, crdt.Object(crdt.Field{Key: "img", Value: crdt.Int(at)}), crdt.Attrs{})
		case 4, 5:
			t.Format(tx, at, min(1+r.IntN(6), t.Len()-at), crdt.Attrs{randomFormats[r.IntN(len(randomFormats))]})
		case 6:
			t.SetAttr(tx, key, crdt.Int(r.IntN(5)))
		case 7:
			if t.Len() > at {
				t.Delete(tx, at, min(1+r.IntN(5), t.Len()-at))
			}
		}
	case crdt.KindArray:
		a := v.Array()
		if at := r.IntN(a.Len() + 1); at < a.Len() && r.IntN(3) == 0 {
			a.Delete(tx, at, min(1+r.IntN(3), a.Len()-at))
		} else {
			a.Insert(tx, at, randomValue(r, 0), crdt.Int(7))
		}
	case crdt.KindMap:
		switch r.IntN(6) {
		case 0:
			v.Map().Delete(tx, key)
		case 1:
			v.Map().Clear(tx)
		default:
			v.Map().Set(tx, key, randomValue(r, 0))
		}
	default:
		f := v.XMLFragment()
		at := r.IntN(f.Len() + 1)
		switch {
		case kind == crdt.KindXMLElement && r.IntN(3) == 0:
			v.XMLElement().SetAttr(tx, key, crdt.Int(r.IntN(5)))
		case kind == crdt.KindXMLElement && r.IntN(5) == 0:
			v.XMLElement().RemoveAttr(tx, key)
		case at < f.Len() && r.IntN(3) == 0:
			f.Delete(tx, at, 1)
		default:
			f.Insert(tx, at, randomNode(r))
		}
	}
}

// What events say, done to plain data, keeps it equal to the document, through
// local and remote edits, of everything in one transaction or one by one.
func TestEventsKeepMirror(t *testing.T) {
	for seed := range uint64(32) {
		if err := mirrorHistory(seed); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

func mirrorHistory(seed uint64) error {
	r := rand.New(rand.NewPCG(seed, 3))
	var replicas []*mirrored
	for i := range 3 {
		opts := crdt.Options{KeepDeleted: r.IntN(3) == 0, NoFormatCleanup: r.IntN(4) == 0}
		replicas = append(replicas, newMirrored(crdt.ClientID(i+1), opts, func(u []byte) {
			for j, other := range replicas {
				if j != i {
					other.inbox = append(other.inbox, u)
				}
			}
		}))
	}
	for step := range 150 {
		m := replicas[r.IntN(3)]
		if len(m.inbox) > 0 && r.IntN(2) == 0 {
			n := 1 + r.IntN(min(4, len(m.inbox)))
			u, err := crdt.Merge(crdt.V1, m.inbox[:n]...)
			if err != nil {
				return err
			}
			m.inbox = m.inbox[n:]
			if _, err := m.doc.Apply(nil, crdt.V1, u); err != nil {
				return err
			}
		} else if _, err := m.doc.Transact(nil, func(tx *crdt.Txn) {
			for range 1 + r.IntN(4) {
				m.edit(r, tx)
			}
		}); err != nil {
			return err
		}
		if err := m.check(); err != nil {
			return fmt.Errorf("step %d: %w", step, err)
		}
	}
	return nil
}
