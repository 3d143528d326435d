package pebble

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"pgregory.net/rapid"

	"ysync/persistence"
)

// Keys sort as names do, come apart again, and no document's keys lie within
// the bounds of another.
func TestKeysKeepOrderAndApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfN(rapid.StringOfN(rapid.SampledFrom([]rune{0, 1, 2, 'a', 0xff, 0x10ffff}), 1, 6, 24), 2, 2).Draw(t, "names")
		a, b := names[0], names[1]
		ka, kb := appendRecordKey(nil, a), appendRecordKey(nil, b)
		if strings.Compare(a, b) != bytes.Compare(ka, kb) {
			t.Fatalf("%q and %q compare as %d, their keys as %d", a, b, strings.Compare(a, b), bytes.Compare(ka, kb))
		}
		if name, rest, err := cutName(ka[1:]); name != a || len(rest) != 0 || err != nil {
			t.Fatalf("%q came back as %q, rest %q, %v", a, name, rest, err)
		}
		p := persistence.Position(rapid.Uint64Range(1, 1<<62).Draw(t, "position"))
		key := appendEntryKey(nil, a, 1, p)
		if keyPosition(key) != p {
			t.Fatalf("position %d came back as %d", p, keyPosition(key))
		}
		within := func(lower, upper []byte) bool {
			return bytes.Compare(lower, key) <= 0 && bytes.Compare(key, upper) < 0
		}
		if !within(documentBounds(a)) || !within(entryBounds(a, 1)) || within(entryBounds(a, 2)) {
			t.Fatalf("%q at %d is not within its own bounds", a, p)
		}
		if a != b && (within(documentBounds(b)) || within(entryBounds(b, 1))) {
			t.Fatalf("an entry of %q is within the bounds of %q", a, b)
		}
	})
}

// store has entries written as a store does, and returns what is under each key.
func store(t testing.TB, entries []persistence.Entry) (keys, values [][]byte) {
	t.Helper()
	write := new(pebble.Batch)
	w := begin(write, "a", 1)
	for i := range entries {
		w.add(&entries[i])
	}
	w.end()
	for r := write.Reader(); ; {
		kind, key, value, ok, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return keys, values
		}
		if kind != pebble.InternalKeyKindSet {
			t.Fatalf("a write of kind %v", kind)
		}
		keys, values = append(keys, bytes.Clone(key)), append(values, bytes.Clone(value))
	}
}

// readGroup reads all entries under a key.
func readGroup(key, value []byte) (entries []persistence.Entry, err error) {
	g, err := openGroup(key, value)
	if err != nil {
		return nil, err
	}
	for g.next <= g.last {
		e, err := g.entry("ann")
		if err != nil {
			return entries, err
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// single is an entry as layout 1 stored it.
func single(key []byte, e *persistence.Entry) []byte {
	value := []byte{singleVersion, 0, 0, 0, 0}
	value = binary.AppendVarint(binary.AppendUvarint(value, uint64(e.Epoch)), e.Time.UnixMilli())
	value = append(appendString(value, e.Author), e.Update...)
	sealValue(key, value)
	return value
}

func equalEntries(a, b persistence.Entry) bool {
	return a.Position == b.Position && a.Epoch == b.Epoch && a.Time.Equal(b.Time) && a.Author == b.Author && bytes.Equal(a.Update, b.Update)
}

func TestGroupsRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		first := persistence.Position(rapid.Uint64Range(1, 1<<40).Draw(rt, "first"))
		var entries []persistence.Entry
		size := rapid.SampledFrom([]int{0, 3, 40, groupBytes / 3, 2 * groupBytes})
		for i := range rapid.IntRange(1, 12).Draw(rt, "entries") {
			entries = append(entries, persistence.Entry{
				Position: first + persistence.Position(i),
				Epoch:    persistence.Epoch(rapid.SampledFrom([]uint64{1, 1, 1, 1 << 60}).Draw(rt, "epoch")),
				Time:     time.UnixMilli(rapid.Int64Range(-1<<50, 1<<50).Draw(rt, "time")).UTC(),
				Author:   rapid.SampledFrom([]string{"", "ann", "bob"}).Draw(rt, "author"),
				Update:   bytes.Repeat([]byte{byte(i)}, size.Draw(rt, "size")),
			})
		}
		keys, values := store(t, entries)
		n := 0
		for i := range keys {
			got, err := readGroup(keys[i], values[i])
			if err != nil || len(got) == 0 {
				rt.Fatalf("%d entries of a group, %v", len(got), err)
			}
			for _, e := range got {
				if n == len(entries) || !equalEntries(e, entries[n]) {
					rt.Fatalf("entry %d came back as %+v", n, e)
				}
				n++
			}
			g, _ := openGroup(keys[i], values[i])
			if last := got[len(got)-1]; keyPosition(keys[i]) != last.Position || !g.ended().Equal(last.Time) {
				rt.Fatalf("the key says %d, the group %v, of %+v", keyPosition(keys[i]), g.ended(), last)
			}
			if len(values[i]) > groupBytes+100 && len(got) > 1 {
				rt.Fatalf("a group of %d bytes has %d entries", len(values[i]), len(got))
			}
		}
		if n != len(entries) {
			rt.Fatalf("%d of %d entries came back", n, len(entries))
		}
		// Any other place, and any flipped bit, is damage.
		key, value := keys[0], values[0]
		if _, err := readGroup(appendEntryKey(nil, "a", 1, keyPosition(key)+1), value); !errors.Is(err, persistence.ErrCorrupt) {
			rt.Fatalf("a group out of its place: %v", err)
		}
		value[rapid.IntRange(0, len(value)-1).Draw(rt, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(rt, "bit")
		if _, err := readGroup(key, value); !errors.Is(err, persistence.ErrCorrupt) {
			rt.Fatalf("a flipped bit: %v", err)
		}
	})
}

func TestEntriesOfLayout1(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := appendEntryKey(nil, "a", 1, 7)
		e := persistence.Entry{
			Position: 7,
			Epoch:    persistence.Epoch(rapid.Uint64().Draw(t, "epoch")),
			Time:     time.UnixMilli(rapid.Int64Range(-1<<50, 1<<50).Draw(t, "time")).UTC(),
			Author:   rapid.String().Draw(t, "author"),
			Update:   rapid.SliceOf(rapid.Byte()).Draw(t, "update"),
		}
		value := single(key, &e)
		got, err := readGroup(key, value)
		if err != nil || len(got) != 1 || !equalEntries(got[0], e) {
			t.Fatalf("%+v came back as %+v, %v", e, got, err)
		}
		if _, err := readGroup(appendEntryKey(nil, "a", 1, 8), value); !errors.Is(err, persistence.ErrCorrupt) {
			t.Fatalf("an entry out of its place: %v", err)
		}
	})
}

func TestRecordsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := appendRecordKey(nil, "a")
		at := time.UnixMilli(rapid.Int64Range(-1<<50, 1<<50).Draw(t, "time")).UTC()
		trimmed := persistence.Position(rapid.Uint64().Draw(t, "trimmed"))
		r := persistence.Record{
			Document: "a", Generation: 3, Epoch: persistence.Epoch(rapid.Uint64().Draw(t, "epoch")), Owner: rapid.String().Draw(t, "owner"),
			Head: trimmed, Trimmed: trimmed, Segmented: 9, SeedKey: rapid.String().Draw(t, "seed"),
			Snapshot:  persistence.Pointer{Position: 9, Key: rapid.String().Draw(t, "snapshot"), SHA256: [32]byte{1, 2, 3}},
			Tombstone: rapid.SampledFrom([]time.Time{{}, at}).Draw(t, "tombstone"),
		}
		if r.Snapshot.IsZero() {
			r.Snapshot = persistence.Pointer{}
		}
		value := appendRecord([]byte("before"), key, &r)[len("before"):]
		if got, err := decodeRecord("a", key, value); err != nil || got != r {
			t.Fatalf("%+v came back as %+v, %v", r, got, err)
		}
		value[rapid.IntRange(0, len(value)-1).Draw(t, "byte")] ^= 0x40
		if _, err := decodeRecord("a", key, value); !errors.Is(err, persistence.ErrCorrupt) {
			t.Fatalf("a flipped bit: %v", err)
		}
	})
}

// A value of a later version, intact, is not called damaged.
func TestValueOfALaterVersion(t *testing.T) {
	key := appendRecordKey(nil, "a")
	value := appendRecord(nil, key, &persistence.Record{Document: "a", Generation: 1})
	value[0] = recordVersion + 1
	sealValue(key, value)
	if _, err := decodeRecord("a", key, value); !errors.Is(err, persistence.ErrNewerFormat) {
		t.Errorf("got %v, want ErrNewerFormat", err)
	}
	keys, values := store(t, []persistence.Entry{{Position: 1, Epoch: 1, Time: time.UnixMilli(1), Update: []byte("x")}})
	values[0][0] = groupVersion + 1
	sealValue(keys[0], values[0])
	if _, err := openGroup(keys[0], values[0]); !errors.Is(err, persistence.ErrNewerFormat) {
		t.Errorf("a group: got %v, want ErrNewerFormat", err)
	}
	value[0] = 0
	sealValue(key, value)
	if _, err := decodeRecord("a", key, value); !errors.Is(err, persistence.ErrCorrupt) {
		t.Errorf("got %v, want ErrCorrupt", err)
	}
}

func FuzzDecodeEntry(f *testing.F) {
	e := persistence.Entry{Position: 6, Epoch: 1, Time: time.UnixMilli(1), Author: "ann", Update: []byte("u")}
	next := e
	next.Position = 7
	keys, values := store(f, []persistence.Entry{e, next})
	key := keys[0]
	f.Add(values[0])
	f.Add(single(key, &e))
	f.Fuzz(func(t *testing.T, value []byte) {
		if len(value) >= headerBytes {
			sealValue(key, value) // get past the checksum
		}
		entries, err := readGroup(key, value)
		if err != nil && !errors.Is(err, persistence.ErrCorrupt) && !errors.Is(err, persistence.ErrNewerFormat) {
			t.Errorf("unclassified: %v", err)
		}
		n := 0
		for i, e := range entries {
			n += len(e.Update)
			if len(e.Author) > len(value) || e.Position != entries[0].Position+persistence.Position(i) {
				t.Errorf("%+v of %d bytes", e, len(value))
			}
		}
		if n > len(value) || len(entries) > len(value) {
			t.Errorf("%d bytes became %d entries with %d", len(value), len(entries), n)
		}
		if err == nil && entries[len(entries)-1].Position != 7 {
			t.Errorf("the last is %+v", entries[len(entries)-1])
		}
	})
}

func FuzzDecodeRecord(f *testing.F) {
	key := appendRecordKey(nil, "a")
	f.Add(appendRecord(nil, key, &persistence.Record{Generation: 1, Owner: "n", Snapshot: persistence.Pointer{Key: "k"}, Tombstone: time.UnixMilli(5)}))
	f.Fuzz(func(t *testing.T, value []byte) {
		if len(value) >= headerBytes {
			sealValue(key, value)
		}
		r, err := decodeRecord("a", key, value)
		if err != nil {
			if !errors.Is(err, persistence.ErrCorrupt) && !errors.Is(err, persistence.ErrNewerFormat) {
				t.Errorf("unclassified: %v", err)
			}
			return
		}
		again, err := decodeRecord("a", key, appendRecord(nil, key, &r))
		if err != nil || again != r {
			t.Errorf("%+v came back as %+v, %v", r, again, err)
		}
	})
}

func FuzzCutName(f *testing.F) {
	f.Add(appendName(nil, "a\x00b"))
	f.Fuzz(func(t *testing.T, b []byte) {
		name, rest, err := cutName(b)
		if err == nil && !bytes.Equal(append(appendName(nil, name), rest...), b) {
			t.Errorf("%x came apart as %q and %x", b, name, rest)
		}
	})
}

func FuzzScan(f *testing.F) {
	f.Add(make([]byte, 40), true)
	f.Fuzz(func(t *testing.T, b []byte, wal bool) {
		end := 0
		damage, err := scan(bytes.NewReader(b), 0, wal, func(c chunk) { end = max(end, c.end) })
		if err != nil || damage >= int64(len(b)) || end > len(b) {
			t.Errorf("%d bytes: damage at %d, a chunk up to %d, %v", len(b), damage, end, err)
		}
	})
}
