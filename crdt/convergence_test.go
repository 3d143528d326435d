package crdt

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// swarm is some replicas whose updates reach each other late, in any order, and more than once.
type swarm struct {
	t      *testing.T
	rng    *rand.Rand
	v      Version
	docs   []*Doc
	inbox  [][][]byte // per replica, what it is yet to receive
	name   string
	edited int

	undo []*UndoManager // per replica, nil without
	now  int64          // milliseconds
}

func newSwarm(t *testing.T, name string, seed uint64, v Version, replicas int) *swarm {
	s := &swarm{t: t, rng: rand.New(rand.NewPCG(seed, 3)), v: v, inbox: make([][][]byte, replicas)}
	s.name = fmt.Sprintf("%s, seed %d, V%d", name, seed, v)
	for i := range replicas {
		s.docs = append(s.docs, New(Options{ClientID: ClientID(1 + s.rng.IntN(1000)*replicas + i), KeepDeleted: s.rng.IntN(4) == 0}))
	}
	return s
}

// send queues the updates of a commit, and of those that follow from it, for all other replicas.
func (s *swarm) send(from int, c *Commit) {
	for ; c != nil; c = c.Next() {
		if c.Empty() || c.Origin() == "remote" {
			continue
		}
		update := c.AppendUpdate(nil, s.v)
		for i := range s.docs {
			if i != from {
				s.inbox[i] = append(s.inbox[i], update)
			}
		}
	}
}

func (s *swarm) edit(i int, fn func(tx *Txn)) {
	s.edited++
	c, err := s.docs[i].Transact("local", fn)
	if err != nil {
		s.t.Fatalf("%s: edit %d: %v", s.name, s.edited, err)
	}
	s.send(i, c)
}

// deliver gives a replica one update out of its inbox, which may stay there to come again.
func (s *swarm) deliver(i int, again bool) {
	box := s.inbox[i]
	if len(box) == 0 {
		return
	}
	k := s.rng.IntN(len(box))
	update := box[k]
	if !again {
		box[k] = box[len(box)-1]
		s.inbox[i] = box[:len(box)-1]
	}
	c, err := s.docs[i].Apply("remote", s.v, update)
	if err != nil {
		s.t.Fatalf("%s: apply %x: %v", s.name, update, err)
	}
	s.send(i, c)
}

// settle delivers everything and compares the replicas by show.
func (s *swarm) settle(show func(*Doc) string) {
	for busy := true; busy; {
		busy = false
		for i := range s.docs {
			for len(s.inbox[i]) > 0 {
				busy = true
				s.deliver(i, false)
			}
		}
	}
	want := show(s.docs[0])
	for i, d := range s.docs {
		if err := d.Check(); err != nil {
			s.t.Fatalf("%s: replica %d: %v", s.name, i, err)
		}
		if !d.Pending().Empty() {
			s.t.Fatalf("%s: replica %d waits for %+v", s.name, i, d.Pending())
		}
		if got := show(d); got != want {
			s.t.Fatalf("%s: replica %d has\n%s\nreplica 0 has\n%s", s.name, i, got, want)
		}
		if !d.StateVector().Equal(s.docs[0].StateVector()) {
			s.t.Fatalf("%s: state vectors of replicas 0 and %d differ", s.name, i)
		}
		copied := New(Options{})
		if _, err := copied.Apply("remote", s.v, d.AppendStored(nil, s.v)); err != nil {
			s.t.Fatalf("%s: state of replica %d: %v", s.name, i, err)
		}
		if got := show(copied); got != want {
			s.t.Fatalf("%s: state of replica %d loads as\n%s\nwant\n%s", s.name, i, got, want)
		}
	}
}

// converge edits at random, half of the time with undoing and redoing in between.
func converge(t *testing.T, name string, edit func(s *swarm, d *Doc, tx *Txn), show func(*Doc) string) {
	for _, v := range []Version{V1, V2} {
		for seed := range uint64(24) {
			s := newSwarm(t, name, seed, v, 3+int(seed%3))
			if seed >= 12 {
				s.undoing()
			}
			for range 120 {
				i := s.rng.IntN(len(s.docs))
				switch s.rng.IntN(3) {
				case 0, 1:
					if s.undo != nil && s.rng.IntN(3) == 0 {
						s.goBack(i)
						continue
					}
					s.edit(i, func(tx *Txn) {
						for range 1 + s.rng.IntN(3) {
							edit(s, s.docs[i], tx)
						}
					})
				default:
					for range s.rng.IntN(6) {
						s.deliver(i, s.rng.IntN(4) == 0)
					}
				}
			}
			s.settle(show)
		}
	}
}

func (s *swarm) word() string {
	return []string{"a", "bc", "déf", "中文字", "0123456789"}[s.rng.IntN(5)]
}

func (s *swarm) value() Value {
	switch s.rng.IntN(8) {
	case 0:
		return Null()
	case 1:
		return Object(Field{"k", Int(s.rng.IntN(9))}, Field{"1", List(Bool(true))})
	case 2:
		return Bytes([]byte{1, 2, byte(s.rng.IntN(256))})
	case 3:
		return NewMap(Field{"x", String(s.word())}, Field{"y", NewText(s.word())})
	case 4:
		return NewArray(Int(1), NewArray(Int(2)))
	case 5:
		return NewSubdoc(Subdoc{GUID: s.word()})
	}
	return Int(s.rng.IntN(1000))
}

func TestConvergenceText(t *testing.T) {
	converge(t, "text", func(s *swarm, d *Doc, tx *Txn) {
		text := d.Text("t")
		at := s.rng.IntN(text.Len() + 1)
		if s.rng.IntN(3) > 0 || text.Len() == 0 {
			text.Insert(tx, at, s.word())
		} else {
			text.Delete(tx, at, s.rng.IntN(6))
		}
	}, func(d *Doc) string { return d.Text("t").String() })
}

func TestConvergenceFormattedText(t *testing.T) {
	attrs := func(s *swarm) Attrs {
		a := Attrs{}
		for _, k := range []string{"bold", "7", "link"} {
			switch s.rng.IntN(5) {
			case 0:
				a = append(a, Field{k, Bool(true)})
			case 1:
				a = append(a, Field{k, Null()})
			case 2:
				a = append(a, Field{k, Object(Field{"href", List(String(s.word()))})})
			}
		}
		return a
	}
	converge(t, "formatted text", func(s *swarm, d *Doc, tx *Txn) {
		text := d.Text("t")
		at := s.rng.IntN(text.Len() + 1)
		switch s.rng.IntN(6) {
		case 0, 1:
			text.Insert(tx, at, s.word())
		case 2:
			text.InsertWith(tx, at, s.word(), attrs(s))
		case 3:
			text.InsertEmbed(tx, at, Object(Field{"img", String(s.word())}), attrs(s))
		case 4:
			text.Format(tx, at, 1+s.rng.IntN(8), attrs(s))
		default:
			if text.Len() > 0 {
				text.Delete(tx, at, s.rng.IntN(9))
			}
		}
	}, func(d *Doc) string {
		out := ""
		for op := range d.Text("t").Chunks() {
			out += string(op.Insert.AppendJSON(nil)) + " " + string(Object(op.Attrs...).AppendJSON(nil)) + "\n"
		}
		return out
	})
}

func TestConvergenceArray(t *testing.T) {
	converge(t, "array", func(s *swarm, d *Doc, tx *Txn) {
		array := d.Array("a")
		n := array.Len()
		at := s.rng.IntN(n + 1)
		switch s.rng.IntN(5) {
		case 0, 1:
			array.Insert(tx, at, s.value(), s.value())
		case 2:
			array.Push(tx, s.value())
		case 3:
			array.Delete(tx, at, s.rng.IntN(min(5, n-at+1)))
		default:
			if at < n {
				if m := array.At(at).Map(); m.Valid() {
					m.Set(tx, "x", s.value())
					m.At("y").Text().Insert(tx, 0, s.word())
				}
			}
		}
	}, func(d *Doc) string { return string(d.Array("a").JSON().AppendJSON(nil)) })
}

func TestConvergenceMap(t *testing.T) {
	converge(t, "map", func(s *swarm, d *Doc, tx *Txn) {
		m := d.Map("m")
		key := string(rune('a' + s.rng.IntN(5)))
		switch s.rng.IntN(6) {
		case 0:
			m.Delete(tx, key)
		case 1:
			if inner := m.At(key).Map(); inner.Valid() {
				inner.Set(tx, "x", s.value())
			}
		case 2:
			if s.rng.IntN(5) == 0 {
				m.Clear(tx)
			}
		default:
			m.Set(tx, key, s.value())
		}
	}, func(d *Doc) string {
		m := d.Map("m")
		out := ""
		for c := 'a'; c <= 'e'; c++ {
			out += fmt.Sprintf("%c %v %s\n", c, m.Has(string(c)), sortedJSON(m.At(string(c)).JSON()))
		}
		return out
	})
}

// sortedJSON is JSON with the entries of objects, which come in the order of arrival, sorted.
func sortedJSON(v Value) string {
	if v.Kind() != ValueObject {
		return string(v.AppendJSON(nil))
	}
	out := "{"
	for _, key := range []string{"1", "k", "x", "y", "guid"} {
		if f := v.Field(key); !f.IsUndefined() {
			out += key + ":" + sortedJSON(f) + ","
		}
	}
	return out + "}"
}

func TestConvergenceXML(t *testing.T) {
	converge(t, "XML", func(s *swarm, d *Doc, tx *Txn) {
		f := d.XMLFragment("x")
		for range s.rng.IntN(3) {
			if n := f.Len(); n > 0 {
				if e := f.At(s.rng.IntN(n)).XMLElement(); e.Valid() {
					f = e.XMLFragment
				}
			}
		}
		n := f.Len()
		at := s.rng.IntN(n + 1)
		switch s.rng.IntN(6) {
		case 0, 1:
			f.Insert(tx, at, NewXMLElement("p", Attrs{{"id", Int(s.rng.IntN(9))}}, NewXMLText(Delta{InsertText(s.word())})))
		case 2:
			f.Push(tx, NewXMLText(Delta{InsertText(s.word(), Field{"b", Bool(true)})}), NewXMLHook("hook", Field{"k", Int(1)}))
		case 3:
			f.Delete(tx, at, s.rng.IntN(min(3, n-at+1)))
		case 4:
			if at < n {
				f.InsertAfter(tx, f.At(at), NewXMLElement("q", nil))
			}
		default:
			if at < n {
				child := f.At(at)
				if e := child.XMLElement(); e.Valid() {
					e.SetAttr(tx, "class", String(s.word()))
				}
				if text := child.XMLText(); text.Valid() {
					text.Insert(tx, 0, s.word())
				}
			}
		}
	}, func(d *Doc) string { return d.XMLFragment("x").String() })
}
