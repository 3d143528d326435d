package persistencetest

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"ysync/persistence"
)

// errSource is why the other log cannot be read.
var errSource = errors.New("the other log is away")

// other is a document in another log: generation 2, with entries of several
// epochs and authors.
type other struct {
	persistence.Record
	entries []persistence.Entry // from position 1
	// asked is after which position entries were asked for last.
	asked persistence.Position
	// breaks is the position at which reading fails, 0 for none.
	breaks persistence.Position
}

func newOther(document string, entries int) *other {
	o := &other{Record: persistence.Record{
		Document: document, Generation: 2, Epoch: 4, Owner: persistence.ReceivedUnchecked, SeedKey: "template",
	}}
	o.grow(entries)
	return o
}

// grow appends entries, every fourth of a new epoch.
func (o *other) grow(n int) {
	for range n {
		at := persistence.Position(len(o.entries) + 1)
		if at%4 == 0 {
			o.Epoch++
		}
		o.Head, o.Updated = at, noon.Add(time.Duration(at)*time.Second)
		o.entries = append(o.entries, persistence.Entry{
			Position: at, Epoch: o.Epoch, Time: o.Updated, Author: fmt.Sprint("author", at%3), Update: fmt.Appendf(nil, "update %d", at),
		})
	}
}

func (o *other) trim(to persistence.Position) {
	o.Previous, o.Snapshot = pointer(to), pointer(to+1)
	o.Trimmed, o.Segmented = to, to
}

func (o *other) read(after persistence.Position) iter.Seq2[persistence.Entry, error] {
	o.asked = after
	return func(yield func(persistence.Entry, error) bool) {
		for _, e := range o.entries[after:o.Head] {
			if e.Position == o.breaks {
				yield(persistence.Entry{}, errSource)
				return
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

func (s *store) receive(o *other) error {
	s.Helper()
	r, ok := s.log().(persistence.Receiver)
	if !ok {
		s.Fatal("the log is no persistence.Receiver")
	}
	return r.Receive(ctx, o.Record, o.read)
}

// wantOther checks that a document is here as it is there.
func (s *store) wantOther(o *other) {
	s.Helper()
	want := o.Record
	got := s.record(o.Document)
	if want.Head == want.Trimmed {
		want.Updated, got.Updated = time.Time{}, time.Time{}
	}
	if got != want {
		s.Fatalf("the record is %+v, want %+v", got, want)
	}
	if !want.Tombstone.IsZero() {
		return
	}
	entries, err := s.read(o.Document, o.Trimmed)
	s.ok(err, "reading")
	if !slices.EqualFunc(entries, o.entries[o.Trimmed:], func(a, b persistence.Entry) bool {
		return a.Position == b.Position && a.Epoch == b.Epoch && a.Time.Equal(b.Time) && a.Author == b.Author && string(a.Update) == string(b.Update)
	}) {
		s.Fatalf("the log holds %+v, want %+v", entries, o.entries[o.Trimmed:])
	}
}

var receiveChecks = []check{
	{"ReceivedDocumentGoesOn", func(s *store) {
		o := newOther("a", 10)
		s.ok(s.receive(o), "receive")
		s.wantOther(o)
		s.restart()
		s.wantOther(o)
		if r := s.claim("a", "n1"); r.Epoch != o.Epoch+1 || r.Generation != 2 || r.SeedKey != "template" {
			s.Errorf("the claim gives %+v", r)
		}
		if res := s.put("a", "11"); res.First != 11 {
			s.Errorf("the first entry after: %+v", res)
		}
		s.wantError(s.receive(o), persistence.ErrFenced, "a")
	}},
	{"ReceiveTakesWhatIsNew", func(s *store) {
		o := newOther("a", 10)
		s.ok(s.receive(o), "receive")
		o.grow(7)
		s.ok(s.receive(o), "more entries")
		if o.asked != 10 {
			s.Errorf("entries after %d were asked for", o.asked)
		}
		s.wantOther(o)
		o.trim(12)
		o.Owner = persistence.ReceivedChecked
		s.ok(s.receive(o), "a trim")
		s.wantOther(o)
		if _, err := s.read("a", 3); !errors.Is(err, persistence.ErrTrimmed) {
			s.Errorf("reading before the trim: %v", err)
		}
		o.asked = 99
		s.ok(s.receive(o), "nothing new")
		o.grow(8)
		o.trim(23)
		s.ok(s.receive(o), "entries, and a trim past what was here")
		s.restart()
		s.wantOther(o)
	}},
	{"ReceiveAnotherGeneration", func(s *store) {
		o := newOther("a", 10)
		s.ok(s.receive(o), "receive")
		n := &other{Record: o.Record}
		n.Generation, n.Head = 3, 0
		n.grow(3)
		s.ok(s.receive(n), "receive")
		s.restart()
		s.wantOther(n)
		s.wantError(s.receive(o), persistence.ErrFenced, "a")
	}},
	{"ReceiveTombstone", func(s *store) {
		o := newOther("a", 10)
		s.ok(s.receive(o), "receive")
		o.Record = o.ErasedAt(noon)
		o.Owner = persistence.ReceivedChecked
		s.ok(s.receive(o), "the tombstone")
		s.restart()
		if r := s.record("a"); r.Tombstone != noon || r.Head != 10 || r.Generation != 2 {
			s.Errorf("the record is %+v", r)
		}
		_, err := s.log().Claim(ctx, "a", "n1", s.record("a").Epoch)
		s.wantError(err, persistence.ErrErased, "a")
		s.wantError(s.receive(newOther("a", 12)), persistence.ErrErased, "a")
		b := newOther("b", 3)
		b.Record = b.ErasedAt(noon)
		b.Owner = persistence.ReceivedChecked
		s.ok(s.receive(b), "a tombstone of what was never here")
		if r := s.record("b"); r.Tombstone != noon {
			s.Errorf("the record is %+v", r)
		}
	}},
	{"ReceiveWithoutEntries", func(s *store) {
		o := newOther("a", 0)
		s.ok(s.receive(o), "a claim without an entry")
		s.wantOther(o)
		o.grow(5)
		o.trim(4)
		o.Trimmed, o.Segmented, o.Snapshot, o.Previous = 5, 5, pointer(5), pointer(5)
		s.ok(s.receive(o), "all of it trimmed")
		s.restart()
		s.wantOther(o)
		o.grow(2)
		s.ok(s.receive(o), "entries behind")
		s.wantOther(o)
	}},
	{"ReceiveThatBreaks", func(s *store) {
		o := newOther("a", 10)
		o.breaks = 6
		s.wantError(s.receive(o), errSource, "a")
		if r := s.record("a"); r.Exists() {
			s.Errorf("what broke left %+v", r)
		}
		s.restart()
		o.breaks = 0
		o.grow(3)
		o.trim(8)
		s.ok(s.receive(o), "again")
		s.wantOther(o)
		o.grow(9)
		o.breaks = 20
		s.wantError(s.receive(o), errSource, "a")
		if r := s.record("a"); r.Head < 13 || r.Head > 19 {
			s.Errorf("what broke left %+v", r)
		}
		o.breaks = 0
		s.ok(s.receive(o), "again")
		s.restart()
		s.wantOther(o)
	}},
	{"ReceiveRefuses", func(s *store) {
		s.claim("a", "n1")
		s.wantError(s.receive(newOther("a", 3)), persistence.ErrFenced, "a")
		s.ok(s.log().Erase(ctx, "b", noon), "erase")
		s.want(s.receive(newOther("b", 3)), persistence.ErrFenced, "an erased document that was never received")
		long := strings.Repeat("n", persistence.MaxDocumentName+1)
		s.wantError(s.receive(newOther(long, 1)), persistence.ErrInvalid, long)
		for name, spoil := range map[string]func(*other){
			"no owner":     func(o *other) { o.Owner = "n1" },
			"no document":  func(o *other) { o.Generation = 0 },
			"far snapshot": func(o *other) { o.Snapshot = pointer(11) },
			"far trim":     func(o *other) { o.Trimmed = 11 },
		} {
			o := newOther("c", 10)
			spoil(o)
			s.want(s.receive(o), persistence.ErrInvalid, "%s", name)
		}
		for name, spoil := range map[string]func(*other){
			"a gap": func(o *other) {
				o.entries = slices.Delete(o.entries, 4, 5)
				o.entries = append(o.entries, o.entries[0])
			},
			"too few":    func(o *other) { o.entries[9].Position = 11 },
			"a wild one": func(o *other) { o.entries[9].Epoch = 99 },
		} {
			o := newOther("c", 10)
			spoil(o)
			s.want(s.receive(o), persistence.ErrCorrupt, "%s", name)
		}
		if r := s.record("c"); r.Exists() {
			s.Errorf("what was refused left %+v", r)
		}
	}},
	{"ReceiveMuch", func(s *store) {
		o := newOther("a", 300)
		for i := range o.entries {
			o.entries[i].Update = []byte(strings.Repeat(string(rune('a'+i%26)), 50_000))
		}
		s.ok(s.receive(o), "15 MB")
		s.restart()
		s.wantOther(o)
	}},
}
