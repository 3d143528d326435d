package snapshots

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"flag"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"ysync/persistence"
)

var update = flag.Bool("update", false, "write testdata anew (a new format version only)")

func testHeader() SnapshotHeader {
	return SnapshotHeader{
		Document: "trips/2026 ☂/../ü", Generation: 3, Epoch: 7, Position: 1 << 40,
		Time: time.UnixMilli(1_790_000_000_123), Label: "before the import",
	}
}

func testEntries(from persistence.Position, n int) []persistence.Entry {
	out := make([]persistence.Entry, n)
	for i := range out {
		out[i] = persistence.Entry{
			Position: from + persistence.Position(i) + 1,
			Epoch:    persistence.Epoch(2 + i/3),
			Time:     milli(time.UnixMilli(1_790_000_000_000 + int64(i/2)*250)),
			Author:   strings.Repeat("mira", i%2),
			Update:   bytes.Repeat([]byte{byte(i), 1, 2, 0}, i*5%17),
		}
	}
	return out
}

func encodeSnapshot(t testing.TB, h SnapshotHeader, state []byte) []byte {
	t.Helper()
	file, _, err := EncodeSnapshot(h, state)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func encodeSegment(t testing.TB, entries []persistence.Entry) []byte {
	t.Helper()
	file, _, err := EncodeSegment(SegmentHeader{Document: "d", Generation: 1, Epoch: 9}, entries)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func TestSnapshotRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := SnapshotHeader{
			Document:   rapid.String().Draw(t, "document"),
			Generation: persistence.Generation(rapid.Uint64().Draw(t, "generation")),
			Epoch:      persistence.Epoch(rapid.Uint64().Draw(t, "epoch")),
			Position:   persistence.Position(rapid.Uint64().Draw(t, "position")),
			Time:       time.UnixMilli(rapid.Int64().Draw(t, "time")),
			Label:      rapid.String().Draw(t, "label"),
		}
		state := rapid.SliceOf(rapid.Byte()).Draw(t, "state")
		file, written, err := EncodeSnapshot(h, state)
		if err != nil {
			t.Fatal(err)
		}
		got, back, err := DecodeSnapshot(file)
		if err != nil || got != written || !bytes.Equal(back, state) {
			t.Fatalf("DecodeSnapshot = %+v, %d bytes, %v; want %+v", got, len(back), err, written)
		}
		if got.Document != h.Document || !got.Time.Equal(h.Time) || got.RawBytes != int64(len(state)) {
			t.Fatalf("header %+v, written as %+v", got, h)
		}
		if head, err := DecodeSnapshotHeader(file[:min(len(file), headBytes)]); err != nil || head != written {
			t.Fatalf("DecodeSnapshotHeader = %+v, %v", head, err)
		}
	})
}

func TestSegmentRoundTrip(t *testing.T) {
	for _, n := range []int{1, 2, 100, 5000} {
		entries := testEntries(41, n)
		file := encodeSegment(t, entries)
		h, got, err := DecodeSegment(file)
		if err != nil {
			t.Fatal(err)
		}
		if h.From != 41 || h.To != persistence.Position(41+n) || !h.First.Equal(entries[0].Time) || !h.Last.Equal(entries[n-1].Time) {
			t.Errorf("header %+v", h)
		}
		if len(got) != n {
			t.Fatalf("%d entries of %d", len(got), n)
		}
		for i := range got {
			if !sameEntry(got[i], entries[i]) {
				t.Fatalf("entry %d is %+v, want %+v", i, got[i], entries[i])
			}
		}
		if head, err := DecodeSegmentHeader(file); err != nil || head != h {
			t.Errorf("DecodeSegmentHeader = %+v, %v", head, err)
		}
	}
}

// TestEveryBitAndEveryCutIsFound flips each bit and cuts at each length.
func TestEveryBitAndEveryCutIsFound(t *testing.T) {
	decoders := map[string]struct {
		file   []byte
		decode func([]byte) error
	}{
		"snapshot": {encodeSnapshot(t, testHeader(), bytes.Repeat([]byte("state "), 100)), func(b []byte) error {
			_, _, err := DecodeSnapshot(b)
			return err
		}},
		"segment": {encodeSegment(t, testEntries(0, 12)), func(b []byte) error {
			_, _, err := DecodeSegment(b)
			return err
		}},
	}
	for name, d := range decoders {
		t.Run(name, func(t *testing.T) {
			if err := d.decode(d.file); err != nil {
				t.Fatal(err)
			}
			for i := range d.file {
				for bit := range 8 {
					bad := bytes.Clone(d.file)
					bad[i] ^= 1 << bit
					if err := d.decode(bad); !errors.Is(err, ErrCorrupt) {
						t.Fatalf("bit %d of byte %d flipped: %v", bit, i, err)
					}
				}
				if err := d.decode(d.file[:i]); !errors.Is(err, ErrCorrupt) {
					t.Fatalf("cut to %d bytes: %v", i, err)
				}
			}
			if err := d.decode(append(bytes.Clone(d.file), 0)); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("one byte too many: %v", err)
			}
		})
	}
}

func TestDamagedHeaderIsFoundWithoutTheBody(t *testing.T) {
	file := encodeSnapshot(t, testHeader(), []byte("state"))
	end := prefixBytes + int(binary.BigEndian.Uint32(file[12:])) + crc32.Size
	for i := range end {
		bad := bytes.Clone(file[:end])
		bad[i] ^= 0x10
		if _, err := DecodeSnapshotHeader(bad); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("byte %d flipped: %v", i, err)
		}
	}
}

// reseal makes the checksums of a tampered file right again.
func reseal(m magic, header, body []byte, version uint32) []byte {
	file := seal(m, header, body)
	binary.BigEndian.PutUint32(file[8:], version)
	end := prefixBytes + len(header)
	binary.BigEndian.PutUint32(file[end:], crc32.Checksum(file[:end], castagnoli))
	sum := sha256.Sum256(file[:len(file)-sha256.Size])
	copy(file[len(file)-sha256.Size:], sum[:])
	return file
}

func TestNewerFormatIsRefusedByName(t *testing.T) {
	newer := reseal(snapshotMagic, []byte("fields of a later day"), []byte("body"), formatVersion+1)
	if _, _, err := DecodeSnapshot(newer); !errors.Is(err, ErrNewerFormat) || errors.Is(err, ErrCorrupt) {
		t.Errorf("snapshot: %v", err)
	} else if !strings.Contains(err.Error(), "version 2") {
		t.Errorf("the message %q does not name the version", err)
	}
	if _, err := DecodeSnapshotHeader(newer); !errors.Is(err, ErrNewerFormat) {
		t.Errorf("snapshot header: %v", err)
	}
	newer = reseal(segmentMagic, []byte("fields of a later day"), []byte("body"), 1<<31)
	if _, _, err := DecodeSegment(newer); !errors.Is(err, ErrNewerFormat) {
		t.Errorf("segment: %v", err)
	}
	newer = reseal(authorsMagic, []byte("fields of a later day"), []byte("body"), formatVersion+1)
	if _, err := decodeAuthors(newer, "doc", 1, 1); !errors.Is(err, ErrNewerFormat) {
		t.Errorf("authors: %v", err)
	}
	newer = reseal(retiredMagic, []byte("fields of a later day"), []byte("body"), formatVersion+1)
	if _, err := decodeRetired(newer, "doc", retiredPlace{}); !errors.Is(err, ErrNewerFormat) {
		t.Errorf("retired: %v", err)
	}
	newer = reseal(refusedMagic, []byte("fields of a later day"), []byte("body"), formatVersion+1)
	if _, err := decodeRefused(newer, "doc"); !errors.Is(err, ErrNewerFormat) {
		t.Errorf("refused: %v", err)
	}
	if _, _, err := DecodeSnapshot(reseal(snapshotMagic, nil, nil, 0)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("version 0: %v", err)
	}
	if _, _, err := DecodeSnapshot(encodeSegment(t, testEntries(0, 1))); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a segment read as a snapshot: %v", err)
	}
}

// snapshotClaiming is a file whose header claims other sizes than its body
// has, with right checksums.
func snapshotClaiming(raw, stored int64, body []byte) []byte {
	h := testHeader()
	h.RawBytes, h.StoredBytes = raw, stored
	return reseal(snapshotMagic, appendSnapshotHeader(nil, h), body, formatVersion)
}

func TestFalseSizesAreHarmless(t *testing.T) {
	// A bomb: 1 GiB out of less than 256 KiB, in 64 frames.
	zeros := bytes.Repeat(compress(make([]byte, 16<<20)), 64)
	if len(zeros) > 256<<10 {
		t.Fatalf("the bomb has %d bytes", len(zeros))
	}
	small := compress([]byte("state"))
	for name, file := range map[string][]byte{
		"bomb that claims little":        snapshotClaiming(1000, int64(len(zeros)), zeros),
		"bomb that claims nothing":       snapshotClaiming(0, int64(len(zeros)), zeros),
		"little that claims a lot":       snapshotClaiming(MaxRawBytes, int64(len(small)), small),
		"a claim beyond the format":      snapshotClaiming(MaxRawBytes+1, int64(len(small)), small),
		"a claim that overflows":         snapshotClaiming(-1, int64(len(small)), small),
		"one byte less than claimed":     snapshotClaiming(6, int64(len(small)), small),
		"one byte more than claimed":     snapshotClaiming(4, int64(len(small)), small),
		"a body shorter than claimed":    snapshotClaiming(5, int64(len(small))+1, small),
		"no zstd at all":                 snapshotClaiming(5, 5, []byte("state")),
		"a frame that claims 2^60 bytes": snapshotClaiming(5, 17, append([]byte{0x28, 0xb5, 0x2f, 0xfd, 0xc0, 0x00}, 0, 0, 0, 0, 0, 0, 0, 0x10, 1, 0, 0)),
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, _, err := DecodeSnapshot(file)
			runtime.ReadMemStats(&after)
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("DecodeSnapshot = %v", err)
			}
			if n := after.TotalAlloc - before.TotalAlloc; n > 16<<20 {
				t.Errorf("%d bytes were allocated for a file of %d", n, len(file))
			}
		})
	}
}

func TestTooLargeIsRefusedBeforeItIsWritten(t *testing.T) {
	if _, _, err := EncodeSnapshot(testHeader(), make([]byte, MaxRawBytes+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("state: %v", err)
	}
	h := testHeader()
	h.Label = strings.Repeat("x", maxHeaderBytes)
	if _, _, err := EncodeSnapshot(h, nil); !errors.Is(err, ErrTooLarge) {
		t.Errorf("label: %v", err)
	}
	if _, _, err := EncodeSegment(SegmentHeader{}, nil); err == nil {
		t.Error("a segment without entries was written")
	}
}

func TestRowsThatAreNone(t *testing.T) {
	for name, damage := range map[string]func([]persistence.Entry){
		"gap":             func(e []persistence.Entry) { e[2].Position++ },
		"repeated":        func(e []persistence.Entry) { e[2].Position-- },
		"time goes back":  func(e []persistence.Entry) { e[2].Time = e[0].Time.Add(-time.Millisecond) },
		"epoch goes back": func(e []persistence.Entry) { e[2].Epoch = 0 },
	} {
		entries := testEntries(10, 5)
		damage(entries)
		if _, _, err := EncodeSegment(SegmentHeader{Document: "d"}, entries); err == nil {
			t.Errorf("%s: EncodeSegment = nil", name)
		}
	}
}

// TestFalseRows has files with right checksums whose entries and header differ.
func TestFalseRows(t *testing.T) {
	for name, falsify := range map[string]func(*SegmentHeader){
		"more entries than there are":  func(h *SegmentHeader) { h.To++ },
		"fewer entries than there are": func(h *SegmentHeader) { h.To-- },
		"countless entries":            func(h *SegmentHeader) { h.From, h.To = 0, math.MaxUint64 },
		"an empty range":               func(h *SegmentHeader) { h.From = h.To },
		"an earlier last time":         func(h *SegmentHeader) { h.Last = h.Last.Add(-time.Millisecond) },
		"a later last time":            func(h *SegmentHeader) { h.Last = h.Last.Add(time.Millisecond) },
		"times the wrong way round":    func(h *SegmentHeader) { h.First, h.Last = h.Last.Add(1e9), h.First },
	} {
		file, h, err := EncodeSegment(SegmentHeader{Document: "d"}, testEntries(10, 5))
		if err != nil {
			t.Fatal(err)
		}
		_, body, err := openFile(segmentMagic, file)
		if err != nil {
			t.Fatal(err)
		}
		falsify(&h)
		if _, _, err := DecodeSegment(seal(segmentMagic, appendSegmentHeader(nil, h), body)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: DecodeSegment = %v", name, err)
		}
	}
}

func TestKeys(t *testing.T) {
	for _, name := range []string{"", ".", "..", "../../etc/passwd", "a/b", "ü", "tmp", strings.Repeat("n", 4000), "\x00", "\xff"} {
		folder := Folder(name)
		if len(folder) != 65 || strings.ContainsAny(folder[:64], "./\\") {
			t.Errorf("Folder(%q) = %q", name, folder)
		}
	}
	var sum [32]byte
	h := SegmentHeader{Document: "d", Generation: 1<<64 - 1, From: 5, To: 1<<64 - 1, Epoch: 3}
	key := SegmentKey(h, sum)
	want := keyRange{h.Generation, h.From, h.To, h.Epoch}
	if got, ok := segmentRange(key); !ok || got != want {
		t.Errorf("segmentRange(%s) = %v, %v", key, got, ok)
	}
	if _, ok := segmentRange(SnapshotKey(SnapshotHeader{Document: "d"}, sum)); ok {
		t.Error("a snapshot's key was taken for a segment's")
	}
	if a, b := SnapshotKey(SnapshotHeader{Position: 9}, sum), SnapshotKey(SnapshotHeader{Position: 10}, sum); a >= b {
		t.Errorf("%s sorts after %s", a, b)
	}
}

// TestFixturesKeepOpening reads files that earlier releases wrote.
func TestFixturesKeepOpening(t *testing.T) {
	snapshotFile := filepath.Join("testdata", "v1.snapshot")
	segmentFile := filepath.Join("testdata", "v1.segment")
	state := []byte("this stands for a state; the envelope does not look inside")
	if *update {
		write := func(name string, b []byte) {
			if err := os.WriteFile(name, b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		write(snapshotFile, encodeSnapshot(t, testHeader(), state))
		write(segmentFile, encodeSegment(t, testEntries(41, 9)))
	}
	file, err := os.ReadFile(snapshotFile)
	if err != nil {
		t.Fatal(err)
	}
	h, got, err := DecodeSnapshot(file)
	if err != nil || !bytes.Equal(got, state) {
		t.Fatalf("DecodeSnapshot = %q, %v", got, err)
	}
	want := testHeader()
	want.Time = milli(want.Time)
	want.RawBytes, want.StoredBytes, want.RawSHA256 = int64(len(state)), h.StoredBytes, sha256.Sum256(state)
	if h != want {
		t.Errorf("header %+v, want %+v", h, want)
	}
	if file, err = os.ReadFile(segmentFile); err != nil {
		t.Fatal(err)
	}
	sh, entries, err := DecodeSegment(file)
	if err != nil {
		t.Fatal(err)
	}
	if sh.Document != "d" || sh.Epoch != 9 || sh.From != 41 || sh.To != 50 {
		t.Errorf("header %+v", sh)
	}
	for i, e := range testEntries(41, 9) {
		if !sameEntry(entries[i], e) {
			t.Errorf("entry %d is %+v, want %+v", i, entries[i], e)
		}
	}
	if len(entries) != 9 {
		t.Errorf("%d entries", len(entries))
	}
}

// fuzzFile fuzzes a decoder with files as they are and with the checksums of
// the mutated file made right, so that the fuzzer gets behind them.
func fuzzFile(f *testing.F, m magic, seeds [][]byte, decode func(*testing.T, []byte)) {
	for _, s := range seeds {
		f.Add(s)
		f.Add(s[:len(s)/2])
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		decode(t, file)
		if len(file) < prefixBytes+1 {
			return
		}
		n := int(file[15]) % (len(file) - prefixBytes)
		header, body := file[prefixBytes:prefixBytes+n], file[prefixBytes+n:]
		decode(t, reseal(m, header, body, formatVersion))
	})
}

func FuzzDecodeSnapshot(f *testing.F) {
	seeds := [][]byte{
		encodeSnapshot(f, testHeader(), []byte("state")),
		encodeSnapshot(f, SnapshotHeader{}, nil),
		snapshotClaiming(MaxRawBytes, 20, bytes.Repeat([]byte{1}, 20)),
	}
	fuzzFile(f, snapshotMagic, seeds, func(t *testing.T, file []byte) {
		h, state, err := DecodeSnapshot(file)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrNewerFormat) {
				t.Fatalf("unclassified: %v", err)
			}
			return
		}
		again, back, err := DecodeSnapshot(encodeSnapshot(t, h, state))
		h.StoredBytes = again.StoredBytes
		if err != nil || !bytes.Equal(back, state) || again != h {
			t.Fatalf("what was decoded does not survive another round: %v", err)
		}
	})
}

func FuzzDecodeSegment(f *testing.F) {
	seeds := [][]byte{encodeSegment(f, testEntries(0, 1)), encodeSegment(f, testEntries(1<<50, 20))}
	fuzzFile(f, segmentMagic, seeds, func(t *testing.T, file []byte) {
		h, entries, err := DecodeSegment(file)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrNewerFormat) {
				t.Fatalf("unclassified: %v", err)
			}
			return
		}
		again, _, err := EncodeSegment(h, entries)
		if err != nil {
			t.Fatal(err)
		}
		if _, back, err := DecodeSegment(again); err != nil || !reflect.DeepEqual(back, entries) {
			t.Fatalf("what was decoded does not survive another round: %v", err)
		}
	})
}
