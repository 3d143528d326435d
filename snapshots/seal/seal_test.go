package seal_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ysync/snapshots"
	"ysync/snapshots/dir"
	"ysync/snapshots/seal"
	"ysync/snapshots/storetest"
)

var (
	keyA = [seal.KeyBytes]byte{1}
	keyB = [seal.KeyBytes]byte{2}
)

func folder(t *testing.T) *dir.Store {
	t.Helper()
	s, err := dir.Open(vfs.NewMem(), "/snapshots")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) snapshots.Store { return seal.New(folder(t), keyA) })
}

func put(t *testing.T, s snapshots.Store, key string, blob []byte) {
	t.Helper()
	if err := s.Put(t.Context(), key, blob); err != nil {
		t.Fatal(err)
	}
}

// TestSizes: around the borders of packages everything reads back, whole and in
// front parts, and a listing tells the size of what was put.
func TestSizes(t *testing.T) {
	inner := folder(t)
	s := seal.New(inner, keyA)
	for i, n := range []int{0, 1, 1 << 16, 1<<16 - 2, 1<<16 - 1, 1<<16 + 1, 1<<17 - 1, 1 << 17, 200_001} {
		key := string(rune('a'+i)) + "/x"
		blob := bytes.Repeat([]byte{7, 1, byte(i)}, n/3+1)[:n]
		put(t, s, key, blob)
		if b, err := s.Get(t.Context(), key, int64(n)); err != nil || !bytes.Equal(b, blob) {
			t.Errorf("%d bytes: Get = %d bytes, %v", n, len(b), err)
		}
		for _, front := range []int{0, 1, 100, 1<<16 - 2, 1<<16 - 1, 1 << 16, 1<<16 + 1, 1 << 17, 1 << 20} {
			if b, err := s.Head(t.Context(), key, front); err != nil || !bytes.Equal(b, blob[:min(front, n)]) {
				t.Errorf("%d bytes: Head(%d) = %d bytes, %v", n, front, len(b), err)
			}
		}
		for o, err := range s.List(t.Context(), key[:2]) {
			if err != nil || o.Size != int64(n) {
				t.Errorf("%d bytes: listed as %d, %v", n, o.Size, err)
			}
		}
		raw, err := inner.Get(t.Context(), key, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if n > 8 && bytes.Contains(raw, blob[:9]) {
			t.Errorf("%d bytes: the object holds what was to be hidden", n)
		}
	}
}

// TestDamage: a flip of any bit, a cut at any place and bytes put behind are
// all found.
func TestDamage(t *testing.T) {
	inner := folder(t)
	s := seal.New(inner, keyA)
	blob := make([]byte, 70_000)
	for i := range blob {
		blob[i] = byte(i * i)
	}
	put(t, s, "a/x", blob)
	raw, err := inner.Get(t.Context(), "a/x", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	damaged := func(what string, bytes []byte) {
		t.Helper()
		if err := inner.Delete(t.Context(), "a/x"); err != nil {
			t.Fatal(err)
		}
		put(t, inner, "a/x", bytes)
		if b, err := s.Get(t.Context(), "a/x", 1<<20); err == nil {
			t.Fatalf("%s: read as %d bytes without an error", what, len(b))
		}
	}
	for i := range 1000 {
		at := rnd.IntN(len(raw))
		if i < 60 {
			at = i // the head
		}
		broken := slices.Clone(raw)
		broken[at] ^= 1 << rnd.IntN(8)
		damaged("a flipped bit", broken)
	}
	for _, n := range []int{0, 7, 51, 52, 53, 84, 85, 1000, 52 + 65568, 52 + 65569, len(raw) - 1} {
		damaged("a cut", raw[:n])
	}
	damaged("a byte behind", append(slices.Clone(raw), 0))
	second := raw[52+65568:]
	damaged("a package twice", append(slices.Clone(raw), second...))
	damaged("the first package left out", append(slices.Clone(raw[:52]), second...))
}

// TestNewerFormat: what a newer release has encrypted is refused by name; a
// number that is damaged is damage, which reading may pass over.
func TestNewerFormat(t *testing.T) {
	inner := folder(t)
	s := seal.New(inner, keyA)
	put(t, s, "a/x", []byte("content"))
	raw, err := inner.Get(t.Context(), "a/x", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	raw[11] = 2
	body := raw[52:]
	for i := range body {
		body[i] ^= 0x55 // another format altogether
	}
	put(t, inner, "a/newer", raw)
	if _, err := s.Get(t.Context(), "a/newer", 1<<20); !errors.Is(err, snapshots.ErrNewerFormat) || !strings.Contains(err.Error(), "format 2") {
		t.Errorf("got %v, want ErrNewerFormat", err)
	}
	if _, err := s.Head(t.Context(), "a/newer", 10); !errors.Is(err, snapshots.ErrNewerFormat) {
		t.Errorf("the head: got %v, want ErrNewerFormat", err)
	}
	raw[11] = 0
	put(t, inner, "a/zero", raw)
	if _, err := s.Get(t.Context(), "a/zero", 1<<20); !errors.Is(err, snapshots.ErrCorrupt) {
		t.Errorf("format 0: got %v", err)
	}
	put(t, s, "b/x", []byte("content"))
	if raw, err = inner.Get(t.Context(), "b/x", 1<<20); err != nil {
		t.Fatal(err)
	}
	raw[10] ^= 4
	if err := inner.Delete(t.Context(), "b/x"); err != nil {
		t.Fatal(err)
	}
	put(t, inner, "b/x", raw)
	if _, err := s.Get(t.Context(), "b/x", 1<<20); !errors.Is(err, snapshots.ErrCorrupt) {
		t.Errorf("a flipped bit of the number: got %v, want ErrCorrupt", err)
	}
}

// TestMoved: an object under another's name does not open.
func TestMoved(t *testing.T) {
	inner := folder(t)
	s := seal.New(inner, keyA)
	put(t, s, "a/x", []byte("mine"))
	raw, err := inner.Get(t.Context(), "a/x", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	put(t, inner, "b/x", raw)
	if b, err := s.Get(t.Context(), "b/x", 100); !errors.Is(err, snapshots.ErrCorrupt) {
		t.Errorf("Get = %q, %v", b, err)
	}
}

func TestKeys(t *testing.T) {
	inner := folder(t)
	put(t, seal.New(inner, keyA), "a/x", []byte("text"))
	if b, err := seal.New(inner, keyB).Get(t.Context(), "a/x", 100); !errors.Is(err, seal.ErrKey) {
		t.Errorf("with another key: %q, %v", b, err)
	}
	if b, err := seal.New(inner, keyB, keyA).Get(t.Context(), "a/x", 100); err != nil || string(b) != "text" {
		t.Errorf("with the older key as well: %q, %v", b, err)
	}
	put(t, inner, "a/clear", []byte("a file that nobody encrypted, longer than the head of one that is"))
	if b, err := seal.New(inner, keyA).Get(t.Context(), "a/clear", 100); !errors.Is(err, snapshots.ErrCorrupt) {
		t.Errorf("a file in the clear: %q, %v", b, err)
	}
}

func TestParseKey(t *testing.T) {
	text := " \n" + base64.StdEncoding.EncodeToString(keyA[:]) + "\n"
	if key, err := seal.ParseKey([]byte(text)); err != nil || key != keyA {
		t.Errorf("ParseKey = %v, %v", key, err)
	}
	for _, bad := range []string{"", "AAAA", "not base64!", text + "A"} {
		if key, err := seal.ParseKey([]byte(bad)); err == nil {
			t.Errorf("ParseKey(%q) = %v", bad, key)
		}
	}
}
