package pebble

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

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

func TestEntriesAndRecordsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := appendEntryKey(nil, "a", 1, 7)
		e := persistence.Entry{
			Position: 7,
			Epoch:    persistence.Epoch(rapid.Uint64().Draw(t, "epoch")),
			Time:     time.UnixMilli(rapid.Int64Range(-1<<50, 1<<50).Draw(t, "time")).UTC(),
			Author:   rapid.String().Draw(t, "author"),
			Update:   rapid.SliceOf(rapid.Byte()).Draw(t, "update"),
		}
		value := make([]byte, entryBytes(&e))
		putEntry(value, key, &e)
		got, err := decodeEntry(key, value, "ann")
		if err != nil || got.Position != e.Position || got.Epoch != e.Epoch || !got.Time.Equal(e.Time) || got.Author != e.Author || !bytes.Equal(got.Update, e.Update) {
			t.Fatalf("%+v came back as %+v, %v", e, got, err)
		}
		// Any other place, and any flipped bit, is damage.
		if _, err := decodeEntry(appendEntryKey(nil, "a", 1, 8), value, ""); !errors.Is(err, persistence.ErrCorrupt) {
			t.Fatalf("an entry out of its place: %v", err)
		}
		value[rapid.IntRange(0, len(value)-1).Draw(t, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if _, err := decodeEntry(key, value, "ann"); !errors.Is(err, persistence.ErrCorrupt) {
			t.Fatalf("a flipped bit: %v", err)
		}

		key = appendRecordKey(nil, "a")
		trimmed := persistence.Position(rapid.Uint64().Draw(t, "trimmed"))
		r := persistence.Record{
			Document: "a", Generation: 3, Epoch: e.Epoch, Owner: rapid.String().Draw(t, "owner"),
			Head: trimmed, Trimmed: trimmed, Segmented: 9, SeedKey: rapid.String().Draw(t, "seed"),
			Snapshot:  persistence.Pointer{Position: 9, Key: rapid.String().Draw(t, "snapshot"), SHA256: [32]byte{1, 2, 3}},
			Tombstone: rapid.SampledFrom([]time.Time{{}, e.Time}).Draw(t, "tombstone"),
		}
		if r.Snapshot.IsZero() {
			r.Snapshot = persistence.Pointer{}
		}
		value = appendRecord([]byte("before"), key, &r)[len("before"):]
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
	entryKey := appendEntryKey(nil, "a", 1, 1)
	e := persistence.Entry{Position: 1, Epoch: 1, Time: time.UnixMilli(1), Update: []byte("x")}
	entry := make([]byte, entryBytes(&e))
	putEntry(entry, entryKey, &e)
	entry[0] = entryVersion + 1
	sealValue(entryKey, entry)
	if _, err := decodeEntry(entryKey, entry, ""); !errors.Is(err, persistence.ErrNewerFormat) {
		t.Errorf("an entry: got %v, want ErrNewerFormat", err)
	}
	value[0] = 0
	sealValue(key, value)
	if _, err := decodeRecord("a", key, value); !errors.Is(err, persistence.ErrCorrupt) {
		t.Errorf("got %v, want ErrCorrupt", err)
	}
}

func FuzzDecodeEntry(f *testing.F) {
	key := appendEntryKey(nil, "a", 1, 7)
	e := persistence.Entry{Epoch: 1, Time: time.UnixMilli(1), Author: "ann", Update: []byte("u")}
	value := make([]byte, entryBytes(&e))
	putEntry(value, key, &e)
	f.Add(value)
	f.Fuzz(func(t *testing.T, value []byte) {
		if len(value) >= headerBytes {
			sealValue(key, value) // get past the checksum
		}
		e, err := decodeEntry(key, value, "ann")
		if err != nil && !errors.Is(err, persistence.ErrCorrupt) && !errors.Is(err, persistence.ErrNewerFormat) {
			t.Errorf("unclassified: %v", err)
		}
		if len(e.Author)+len(e.Update) > len(value) {
			t.Errorf("%d bytes became %d", len(value), len(e.Author)+len(e.Update))
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
