package awareness

import (
	"bytes"
	"errors"
	"runtime"
	"testing"
	"time"
)

func fuzzSeeds(f *testing.F) {
	for _, b := range [][]byte{
		{0},
		{},
		one(7, 1, `{}`),
		one(1<<53-1, 1<<53-1, `{"a":[1,"é"]}`),
		many(entry1(7, 1, `{}`), entry1(7, 2, `null`), entry1(8, 0, `{}`)),
		append([]byte{0xff, 0xff, 0xff, 0xff, 0x0f}, one(5, 1, `{}`)[1:]...),
		append(one(8, 1, `{"a":1}`), 9, 9),
	} {
		f.Add(b)
	}
}

// FuzzDecoder: what decodes comes back from the encoder, and states lie where
// their offsets say.
func FuzzDecoder(f *testing.F) {
	fuzzSeeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		var entries []Entry
		d := NewDecoder(b)
		for e, ok := d.Next(); ok; e, ok = d.Next() {
			if !bytes.Equal(b[e.Offset:e.Offset+len(e.State)], e.State) {
				t.Fatalf("state %q is not at %d", e.State, e.Offset)
			}
			entries = append(entries, e)
		}
		if err := d.Err(); err != nil {
			if e := (*Error)(nil); !errors.As(err, &e) || e.Offset > len(b) {
				t.Fatalf("%v", err)
			}
			return
		}
		again := NewDecoder(many(entries...))
		for _, want := range entries {
			got, ok := again.Next()
			if !ok || got.ClientID != want.ClientID || got.Clock != want.Clock || string(got.State) != string(want.State) {
				t.Fatalf("%+v became %+v", want, got)
			}
		}
	})
}

// FuzzPresence: any updates from two sessions leave the presence sound, what it
// relays is acceptable to a client, and memory is in proportion to the input.
func FuzzPresence(f *testing.F) {
	f.Add(one(7, 1, `{}`), one(7, 1, `{}`), one(7, 2, `null`))
	f.Add(many(entry1(7, 1, `{}`), entry1(8, 1, `{}`)), one(7, 1, `null`), one(8, 0, `{}`))
	f.Fuzz(func(t *testing.T, a, b, c []byte) {
		s := newServer(t, Options{MaxStateBytes: 100, MaxPerSession: 3, MaxEntries: 4, MaxTotalBytes: 150})
		peer := New(1<<53-1, start)
		now := start
		for i, update := range [][]byte{a, b, c} {
			before := allocated()
			out, err := s.Apply(uint64(i%2), "", update, now)
			if used := allocated() - before; used > 8*uint64(len(update))+64<<10 {
				t.Fatalf("%d bytes for an update of %d", used, len(update))
			}
			s.check()
			if len(s.entries) > 4 || s.Bytes() > 150 {
				t.Fatalf("%d entries of %d bytes", len(s.entries), s.Bytes())
			}
			for _, told := range [][]byte{out.Relay, out.Repair} {
				if told == nil {
					continue
				}
				if _, err := peer.Apply(told, now); err != nil || out.Relay == nil && out.Repair == nil {
					t.Fatalf("%q: %v", told, err)
				}
			}
			if err != nil && (out.Relay != nil || out.Repair != nil) {
				t.Fatalf("%v, and yet %+v", err, out)
			}
			now = now.Add(20 * time.Second)
			if told := s.Expire(now); told != nil {
				if _, err := peer.Apply(told, now); err != nil {
					t.Fatal(err)
				}
			}
			s.check()
		}
		s.Leave(0, now)
		s.Leave(1, now)
		for range 4 {
			now = now.Add(ForgetAfter)
			s.Expire(now)
		}
		if s.check(); len(s.entries) != 0 || len(s.sessions) != 0 || !s.NextExpiry().IsZero() {
			t.Fatalf("%d entries remain", len(s.entries))
		}
	})
}

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// FuzzAwareness: any update is refused or taken in, and what the replica then
// says of itself is taken in by another.
func FuzzAwareness(f *testing.F) {
	fuzzSeeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		a := New(7, start)
		c, err := a.Apply(b, start)
		if err != nil && c.IsUpdate() {
			t.Fatalf("%v, and yet %+v", err, c)
		}
		var ids []uint64
		for id := range a.States() {
			ids = append(ids, id)
		}
		update, err := a.AppendUpdate(nil, ids...)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := New(1<<53-1, start).Apply(update, start); err != nil {
			t.Fatalf("%q: %v", update, err)
		}
		same, err := Modify(update, func(_ uint64, state []byte) ([]byte, error) { return state, nil })
		if err != nil || !bytes.Equal(same, update) {
			t.Fatalf("%q became %q, %v", update, same, err)
		}
	})
}
