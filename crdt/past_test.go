package crdt

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"ysync/internal/lib0"
)

// eyes read types as they are, or as they were at a snapshot.
type eyes struct{ at *Snapshot }

func (e eyes) delta(t Text) Delta {
	if e.at != nil {
		return t.DeltaAt(*e.at)
	}
	return t.Delta()
}

func (e eyes) values(a Array) []Value {
	if e.at != nil {
		return slices.Collect(a.ValuesAt(*e.at))
	}
	return slices.Collect(a.Values())
}

func (e eyes) children(f XMLFragment) []Value {
	if e.at != nil {
		return slices.Collect(f.ChildrenAt(*e.at))
	}
	return slices.Collect(f.Children())
}

func (e eyes) attrs(x XMLElement) (fs []Field) {
	seq := x.Attrs()
	if e.at != nil {
		seq = x.AttrsAt(*e.at)
	}
	for k, v := range seq {
		fs = append(fs, Field{k, v})
	}
	return byKey(fs)
}

// byKey sorts what comes in the order of arrival.
func byKey(fs []Field) []Field {
	slices.SortFunc(fs, func(a, b Field) int { return strings.Compare(a.Key, b.Key) })
	return fs
}

func (e eyes) entries(m Map) (fs []Field) {
	seq := m.All()
	if e.at != nil {
		seq = m.AllAt(*e.at)
	}
	for k, v := range seq {
		fs = append(fs, Field{k, v})
		if e.at != nil {
			if one, ok := m.ValueAt(*e.at, k); !ok || one.Kind() != v.Kind() {
				fs = append(fs, Field{k, String("ValueAt differs")})
			}
		}
	}
	return byKey(fs)
}

// dump writes everything about a value, with all types in it.
func (e eyes) dump(b *strings.Builder, v Value) {
	kind, ok := v.TypeKind()
	if !ok {
		b.Write(v.AppendJSON(nil))
		return
	}
	list := func(vs []Value) {
		for _, v := range vs {
			e.dump(b, v)
			b.WriteByte(',')
		}
	}
	fields := func(fs []Field) {
		for _, f := range fs {
			b.WriteString(f.Key + "=")
			e.dump(b, f.Value)
			b.WriteByte(',')
		}
	}
	fmt.Fprintf(b, "%d(", kind)
	switch kind {
	case KindText, KindXMLText:
		for _, op := range e.delta(v.Text()) {
			e.dump(b, op.Insert)
			b.Write(Object(byKey(op.Attrs)...).AppendJSON(nil))
		}
	case KindArray:
		list(e.values(v.Array()))
	case KindMap, KindXMLHook:
		fields(e.entries(v.Map()))
	case KindXMLElement:
		b.WriteString(v.XMLElement().Tag() + " ")
		fields(e.attrs(v.XMLElement()))
		list(e.children(v.XMLFragment()))
	case KindXMLFragment:
		list(e.children(v.XMLFragment()))
	}
	b.WriteByte(')')
}

func (e eyes) dumpDoc(d *Doc) string {
	var b strings.Builder
	for _, v := range []Value{d.Text("t").Value(), d.Array("a").Value(), d.Map("m").Value(), d.XMLFragment("x").Value()} {
		e.dump(&b, v)
		b.WriteByte('\n')
	}
	return b.String()
}

func (e eyes) json(d *Doc) string {
	if e.at != nil {
		return inOrder(d.JSONAt(*e.at, nil))
	}
	return inOrder(d.JSON(nil))
}

// inOrder is JSON with the entries of objects, which come in the order of arrival, sorted.
func inOrder(v Value) string {
	var b strings.Builder
	switch v.Kind() {
	case ValueList:
		for e := range v.Elements() {
			b.WriteString(inOrder(e) + ",")
		}
	case ValueObject:
		var fs []Field
		for k, e := range v.Fields() {
			fs = append(fs, Field{k, e})
		}
		for _, f := range byKey(fs) {
			b.WriteString(f.Key + ":" + inOrder(f.Value) + ",")
		}
	default:
		b.Write(v.AppendJSON(nil))
	}
	return "(" + b.String() + ")"
}

// moment is what a document showed at a time.
type moment struct {
	at   Snapshot
	dump string
	json string
}

func momentOf(d *Doc) moment { return moment{d.Snapshot(), eyes{}.dumpDoc(d), eyes{}.json(d)} }

// check compares the views of a document at a moment of its past with what it showed then.
func (m moment) check(d *Doc) error {
	if got := (eyes{&m.at}).dumpDoc(d); got != m.dump {
		return fmt.Errorf("the view shows\n%s\nthe document showed\n%s", got, m.dump)
	}
	if got := (eyes{&m.at}).json(d); got != m.json {
		return fmt.Errorf("the view is\n%s\nthe document was\n%s", got, m.json)
	}
	if lost := d.Lost(m.at); !lost.Empty() {
		return fmt.Errorf("lost %v", lost)
	}
	for _, opts := range []Options{{}, {KeepDeleted: true}} {
		past, err := d.At(m.at, opts)
		if err != nil {
			return err
		}
		if err := past.Check(); err != nil {
			return err
		}
		if got := (eyes{}).dumpDoc(past); got != m.dump {
			return fmt.Errorf("the document of the past shows\n%s\nthe document showed\n%s", got, m.dump)
		}
		if got := (eyes{}).json(past); got != m.json {
			return fmt.Errorf("the document of the past is\n%s\nthe document was\n%s", got, m.json)
		}
		if !past.Snapshot().Equal(m.at) {
			return fmt.Errorf("the document of the past is at %v, not at %v", past.Snapshot(), m.at)
		}
	}
	return nil
}

// scribble makes random edits of all kinds of types, also nested ones.
func (s *swarm) scribble(d *Doc, tx *Txn) {
	text, array, m, x := d.Text("t"), d.Array("a"), d.Map("m"), d.XMLFragment("x")
	texts, maps, elements := []Text{text}, []Map{m}, []XMLFragment{x}
	visit := func(v Value) {
		if t := v.Text(); t.Valid() {
			texts = append(texts, t)
		}
		if inner := v.Map(); inner.Valid() {
			maps = append(maps, inner)
			if t := inner.At("y").Text(); t.Valid() {
				texts = append(texts, t)
			}
		}
		if e := v.XMLFragment(); e.Valid() {
			elements = append(elements, e)
		}
	}
	for v := range array.Values() {
		visit(v)
	}
	for _, v := range m.All() {
		visit(v)
	}
	for v := range x.Descendants() {
		visit(v)
	}
	switch s.rng.IntN(10) {
	case 0, 1, 2, 3:
		s.scribbleText(tx, texts[s.rng.IntN(len(texts))])
	case 4, 5:
		n := array.Len()
		at := s.rng.IntN(n + 1)
		if s.rng.IntN(3) > 0 {
			array.Insert(tx, at, s.value(), s.value())
		} else {
			array.Delete(tx, at, s.rng.IntN(min(4, n-at+1)))
		}
	case 6, 7:
		in, key := maps[s.rng.IntN(len(maps))], string(rune('a'+s.rng.IntN(4)))
		if s.rng.IntN(4) == 0 {
			in.Delete(tx, key)
		} else {
			in.Set(tx, key, s.value())
		}
	default:
		f := elements[s.rng.IntN(len(elements))]
		n := f.Len()
		at := s.rng.IntN(n + 1)
		e := f.Value().XMLElement()
		switch {
		case e.Valid() && s.rng.IntN(3) == 0:
			e.SetAttr(tx, "class", String(s.word()))
		case e.Valid() && s.rng.IntN(5) == 0:
			e.RemoveAttr(tx, "class")
		case s.rng.IntN(4) == 0:
			f.Delete(tx, at, s.rng.IntN(min(3, n-at+1)))
		default:
			f.Insert(tx, at, NewXMLElement("p", Attrs{{"id", Int(s.rng.IntN(9))}}, NewXMLText(Delta{InsertText(s.word(), Field{"b", Bool(true)})})))
		}
	}
}

func (s *swarm) scribbleText(tx *Txn, t Text) {
	at := s.rng.IntN(t.Len() + 1)
	var attrs Attrs
	switch key := []string{"bold", "7"}[s.rng.IntN(2)]; s.rng.IntN(3) {
	case 0:
		attrs = Attrs{{key, Bool(true)}}
	case 1:
		attrs = Attrs{{key, Object(Field{"href", String(s.word())})}}
	default:
		attrs = Attrs{{key, Null()}}
	}
	switch s.rng.IntN(8) {
	case 0:
		t.Format(tx, at, 1+s.rng.IntN(6), attrs)
	case 1:
		t.InsertEmbed(tx, at, Object(Field{"img", String(s.word())}), attrs)
	case 2:
		t.InsertEmbed(tx, at, NewMap(Field{"in", String(s.word())}), nil)
	case 3, 4:
		if t.Len() > 0 {
			t.Delete(tx, at, s.rng.IntN(9))
		}
	case 5:
		t.SetAttr(tx, "dir", String(s.word()))
	default:
		t.Insert(tx, at, s.word())
	}
}

// TestViewsAgainstRecordings keeps what a document shows at random moments and compares the views at
// those moments, later and after more edits, with that: in the document itself if it keeps what is
// deleted, and in one that its log was replayed into.
func TestViewsAgainstRecordings(t *testing.T) {
	for seed := range uint64(24) {
		v := Version(1 + seed%2)
		s := newSwarm(t, "views", seed, v, 3)
		keep := seed%3 > 0
		for i := range s.docs {
			s.docs[i] = New(Options{ClientID: ClientID(1 + s.rng.IntN(100)*3 + i), KeepDeleted: keep, NoFormatCleanup: seed%4 == 0})
		}
		d := s.docs[0]
		replay := New(Options{KeepDeleted: true, NoFormatCleanup: true})
		for _, doc := range []*Doc{d, replay} {
			eyes{}.dumpDoc(doc) // defines the roots
		}
		var moments []moment
		log := func(c *Commit) {
			for ; c != nil; c = c.Next() {
				if _, err := replay.Apply(nil, v, c.AppendUpdate(nil, v)); err != nil {
					t.Fatalf("%s: replay: %v", s.name, err)
				}
			}
		}
		for range 150 {
			i := s.rng.IntN(3)
			if s.rng.IntN(2) == 0 && len(s.inbox[i]) > 0 {
				k := s.rng.IntN(len(s.inbox[i]))
				c, err := s.docs[i].Apply("remote", v, s.inbox[i][k])
				if err != nil {
					t.Fatalf("%s: %v", s.name, err)
				}
				s.inbox[i] = slices.Delete(s.inbox[i], k, k+1)
				if i == 0 {
					log(c)
				}
				s.send(i, c)
			} else {
				c, err := s.docs[i].Transact("local", func(tx *Txn) { s.scribble(s.docs[i], tx) })
				if err != nil {
					t.Fatalf("%s: %v", s.name, err)
				}
				if i == 0 {
					log(c)
				}
				s.send(i, c)
			}
			if s.rng.IntN(6) == 0 {
				moments = append(moments, momentOf(d))
			}
		}
		moments = append(moments, momentOf(d))
		readers := []*Doc{replay}
		if keep {
			readers = append(readers, d)
		}
		for _, reader := range readers {
			before := reader.AppendState(nil, V2)
			for i, m := range moments {
				if err := m.check(reader); err != nil {
					t.Fatalf("%s, moment %d of %d: %v", s.name, i, len(moments), err)
				}
				other := moments[s.rng.IntN(len(moments))].at
				checkChanges(t, reader.Text("t"), other, m.at)
				checkListChanges(t, reader.Array("a"), other, m.at)
				checkEntryChanges(t, reader.Map("m"), other, m.at)
			}
			if err := reader.Check(); err != nil {
				t.Fatalf("%s: %v", s.name, err)
			}
			if !bytes.Equal(before, reader.AppendState(nil, V2)) {
				t.Fatalf("%s: reading the past changed the document", s.name)
			}
		}
	}
}

// checkChanges compares the changes between two snapshots, in either order of time, with the text at
// each.
func checkChanges(t *testing.T, text Text, prev, next Snapshot) {
	t.Helper()
	var before, after, both []string
	for c := range text.Changes(prev, next) {
		if n := unitsOf(c.Insert); int(c.Run.Clocks.Len()) != n {
			t.Fatalf("run %v has %d units: %v", c.Run, n, c.Insert.Str())
		}
		for clock := c.Run.Clocks.From; clock < c.Run.Clocks.To; clock++ {
			id := ID{c.Run.Client, clock}
			if prev.Shows(id) != (c.Change != Added) || next.Shows(id) != (c.Change != Removed) {
				t.Fatalf("%v is said to be %v", id, c.Change)
			}
		}
		both = appendUnits(both, c.Insert, nil)
		if c.Change != Added {
			before = appendUnits(before, c.Insert, c.Before)
		}
		if c.Change != Removed {
			after = appendUnits(after, c.Insert, c.After)
		}
	}
	for _, c := range []struct {
		name  string
		got   []string
		delta Delta
		attrs bool
	}{
		{"earlier", before, text.DeltaAt(prev), true},
		{"later", after, text.DeltaAt(next), true},
		{"both", both, text.DeltaBetween(prev, next, nil), false},
	} {
		var want []string
		for _, op := range c.delta {
			if !c.attrs {
				op.Attrs = nil
			}
			want = appendUnits(want, op.Insert, op.Attrs)
		}
		if !slices.Equal(c.got, want) {
			t.Fatalf("%s: got %q, want %q", c.name, c.got, want)
		}
	}
}

func unitsOf(v Value) int {
	if v.Kind() == ValueString {
		return v.Len()
	}
	return 1
}

// appendUnits appends what each unit is, with its attributes.
func appendUnits(dst []string, v Value, attrs Attrs) []string {
	a := string(Object(attrs...).AppendJSON(nil))
	if v.Kind() == ValueString {
		for _, u := range lib0.AppendUTF16(nil, v.Str()) {
			dst = append(dst, fmt.Sprintf("%04x%s", u, a))
		}
		return dst
	}
	return append(dst, string(v.JSON().AppendJSON(nil))+a)
}

func checkListChanges(t *testing.T, array Array, prev, next Snapshot) {
	t.Helper()
	var before, after []Value
	for c := range array.Changes(prev, next) {
		if int(c.Run.Clocks.Len()) != len(c.Values) {
			t.Fatalf("run %v has %d elements", c.Run, len(c.Values))
		}
		if id := (ID{c.Run.Client, c.Run.Clocks.To - 1}); prev.Shows(id) != (c.Change != Added) || next.Shows(id) != (c.Change != Removed) {
			t.Fatalf("%v is said to be %v", id, c.Change)
		}
		if c.Change != Added {
			before = append(before, c.Values...)
		}
		if c.Change != Removed {
			after = append(after, c.Values...)
		}
	}
	for _, c := range []struct {
		at  Snapshot
		got []Value
	}{{prev, before}, {next, after}} {
		if want := slices.Collect(array.ValuesAt(c.at)); inOrder(List(c.got...)) != inOrder(List(want...)) {
			t.Fatalf("got %s, want %s", inOrder(List(c.got...)), inOrder(List(want...)))
		}
	}
}

func checkEntryChanges(t *testing.T, m Map, prev, next Snapshot) {
	t.Helper()
	changed := map[string]bool{}
	for c := range m.Changes(prev, next) {
		changed[c.Key] = true
		old, had := m.ValueAt(prev, c.Key)
		now, has := m.ValueAt(next, c.Key)
		if had != (c.Action != KeyAdd) || has != (c.Action != KeyDelete) || inOrder(old) != inOrder(c.Before) || inOrder(now) != inOrder(c.After) {
			t.Fatalf("%s: %v from %s to %s, want from %s to %s", c.Key, c.Action, inOrder(c.Before), inOrder(c.After), inOrder(old), inOrder(now))
		}
		if at := next; has && !at.Shows(c.Author) {
			t.Fatalf("%s was set by %v, which does not show", c.Key, c.Author)
		}
	}
	for k, v := range m.AllAt(next) {
		if old, had := m.ValueAt(prev, k); !changed[k] && (!had || inOrder(old) != inOrder(v)) {
			t.Fatalf("%s has changed", k)
		}
	}
}
