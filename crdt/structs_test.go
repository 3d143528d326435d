package crdt

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"ysync/internal/lib0"
)

// The listing names everything that a block can hold.
func TestWalkStructs(t *testing.T) {
	d := New(Options{ClientID: 7})
	CheckAtEnd(t, d)
	m := d.Map("m")
	transact(t, d, func(tx *Txn) {
		m.Set(tx, "doc", NewSubdoc(Subdoc{GUID: "g", AutoLoad: true}))
		m.Set(tx, "bin", Bytes([]byte{1, 2}))
		m.Set(tx, "el", NewXMLElement("p", nil))
		d.Text("t").InsertWith(tx, 0, "ab", Attrs{{"b", Bool(true)}})
	})
	type listed struct {
		Struct
		root, key, name, text string
		values                []Value
	}
	var got []listed
	u := d.AppendState(nil, V2)
	if _, err := WalkStructs(V2, u, func(s *Struct) {
		got = append(got, listed{*s, s.Root(), s.Key(), s.Name(), s.Text(), slices.Collect(s.Values())})
	}); err != nil {
		t.Fatal(err)
	}
	if len(got) != 6 {
		t.Fatalf("%d blocks", len(got))
	}
	if s := got[0]; s.Kind != ContentDoc || s.name != "g" || s.key != "doc" || !s.HasKey || !s.HasRoot || s.root != "m" || !s.values[0].Subdoc().AutoLoad {
		t.Errorf("subdocument: %+v", s)
	}
	if s := got[1]; s.Kind != ContentBinary || !bytes.Equal(s.values[0].Bytes(), []byte{1, 2}) {
		t.Errorf("bytes: %+v", s)
	}
	if s := got[2]; s.Kind != ContentType || s.Type != KindXMLElement || s.name != "p" {
		t.Errorf("element: %+v", s)
	}
	if s := got[3]; s.Kind != ContentFormat || s.name != "b" || !s.values[0].Bool() || s.ID != (ID{7, 3}) {
		t.Errorf("format: %+v", s)
	}
	if s := got[4]; s.Kind != ContentString || s.text != "ab" || s.Len != 2 || !s.HasOrigin || s.Origin != (ID{7, 3}) {
		t.Errorf("text: %+v", s)
	}
	if s := got[5]; s.Kind != ContentFormat || !s.values[0].IsNull() {
		t.Errorf("end of the format: %+v", s)
	}
}

// A listing calls nobody for an update that is broken at its end.
func TestWalkStructsChecksFirst(t *testing.T) {
	d := New(Options{ClientID: 7})
	CheckAtEnd(t, d)
	transact(t, d, func(tx *Txn) { d.Text("t").Insert(tx, 0, "abc") })
	u := d.AppendState(nil, V1)
	calls := 0
	_, err := WalkStructs(V1, u[:len(u)-1], func(*Struct) { calls++ })
	if !errors.Is(err, ErrMalformed) || calls > 0 {
		t.Errorf("%v, %d calls", err, calls)
	}
	if _, err := WalkStructs(3, u, func(*Struct) { calls++ }); err == nil || calls > 0 {
		t.Errorf("%v, %d calls", err, calls)
	}
}

// FuzzWalkStructs lists any bytes: what is listed agrees with ContentsOf, and no
// value is larger than the bytes can say.
func FuzzWalkStructs(f *testing.F) {
	seedUpdates(f, func(u goldenUpdate) {
		f.Add(u.V1, false)
		f.Add(u.V2, true)
	})
	f.Fuzz(func(t *testing.T, update []byte, second bool) {
		v := V1
		if second {
			v = V2
		}
		want, wantErr := ContentsOf(v, update)
		var blocks IDSet
		deletes, err := WalkStructs(v, update, func(s *Struct) {
			if s.Len == 0 {
				t.Fatal("empty block")
			}
			switch s.Kind {
			case ContentAny, ContentJSON:
				n := uint64(0)
				for range s.Values() {
					n++
				}
				if n != s.Len {
					t.Fatalf("%d values in %d units", n, s.Len)
				}
			case ContentString:
				if n := lib0.UTF16Len(s.Text()); uint64(n) != s.Len {
					t.Fatalf("%d units of text in %d", n, s.Len)
				}
			}
			if s.Kind != ContentSkip {
				blocks.push(deleteRun{s.ID.Client, Range{s.ID.Clock, s.ID.Clock + Clock(s.Len)}})
			}
		})
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("listing: %v, ContentsOf: %v", err, wantErr)
		}
		blocks.normalise()
		if !blocks.Equal(&want.Blocks) || !deletes.Equal(&want.Deletes) {
			t.Fatal("the listing has other units than ContentsOf")
		}
	})
}
