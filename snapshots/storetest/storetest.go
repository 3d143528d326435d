// Package storetest is the conformance suite of snapshots.Store: every
// implementation passes it.
package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"ysync/snapshots"
)

// Run runs the suite. open returns an empty store.
func Run(t *testing.T, open func(t *testing.T) snapshots.Store) {
	t.Helper()
	for _, c := range []struct {
		name string
		run  func(*testing.T, snapshots.Store)
	}{
		{"what is put is got", putGet},
		{"a key is written once", writtenOnce},
		{"the blob stays the caller's", blobUntouched},
		{"absent", absent},
		{"limits", limits},
		{"list", list},
		{"delete", deleted},
		{"keys that are none", badKeys},
		{"concurrent puts", concurrent},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, open(t)) })
	}
}

func mustPut(t *testing.T, s snapshots.Store, key string, blob []byte) {
	t.Helper()
	if err := s.Put(t.Context(), key, blob); err != nil {
		t.Fatalf("Put(%s) = %v", key, err)
	}
}

func wantBlob(t *testing.T, s snapshots.Store, key string, want []byte) {
	t.Helper()
	got, err := s.Get(t.Context(), key, 1<<30)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("Get(%s) = %d bytes, %v; want %d bytes", key, len(got), err, len(want))
	}
}

func putGet(t *testing.T, s snapshots.Store) {
	for i, n := range []int{0, 1, 4096, 300_000, 1 << 20} {
		key := fmt.Sprintf("folder-%d/sub/blob.%d", i, n)
		blob := bytes.Repeat([]byte{byte(i), 0xfe, 0}, n)[:n]
		mustPut(t, s, key, blob)
		wantBlob(t, s, key, blob)
		head, err := s.Head(t.Context(), key, 1000)
		if err != nil || !bytes.Equal(head, blob[:min(n, 1000)]) {
			t.Errorf("Head(%s, 1000) = %d bytes, %v", key, len(head), err)
		}
	}
}

func writtenOnce(t *testing.T, s snapshots.Store) {
	mustPut(t, s, "a/k", []byte("first"))
	mustPut(t, s, "a/k", []byte("first"))
	for _, other := range []string{"", "firs", "FIRST", "first and more"} {
		if err := s.Put(t.Context(), "a/k", []byte(other)); !errors.Is(err, snapshots.ErrExists) {
			t.Errorf("Put of %q over other bytes = %v, want ErrExists", other, err)
		}
	}
	wantBlob(t, s, "a/k", []byte("first"))
}

func blobUntouched(t *testing.T, s snapshots.Store) {
	blob := bytes.Repeat([]byte("abc"), 200_000)
	kept := bytes.Clone(blob)
	mustPut(t, s, "a/k", blob)
	if !bytes.Equal(blob, kept) {
		t.Fatal("Put changed the caller's bytes")
	}
	clear(blob)
	wantBlob(t, s, "a/k", kept)
}

func absent(t *testing.T, s snapshots.Store) {
	if _, err := s.Get(t.Context(), "no/such", 10); !errors.Is(err, snapshots.ErrNotFound) {
		t.Errorf("Get = %v, want ErrNotFound", err)
	}
	if _, err := s.Head(t.Context(), "no/such", 10); !errors.Is(err, snapshots.ErrNotFound) {
		t.Errorf("Head = %v, want ErrNotFound", err)
	}
	if err := s.Delete(t.Context(), "no/such"); err != nil {
		t.Errorf("Delete = %v, want nil", err)
	}
	for o, err := range s.List(t.Context(), "no/") {
		t.Errorf("List yields %v, %v", o, err)
	}
}

func limits(t *testing.T, s snapshots.Store) {
	mustPut(t, s, "a/k", []byte("12345"))
	if _, err := s.Get(t.Context(), "a/k", 4); !errors.Is(err, snapshots.ErrTooLarge) {
		t.Errorf("Get over the limit = %v, want ErrTooLarge", err)
	}
	if b, err := s.Get(t.Context(), "a/k", 5); err != nil || string(b) != "12345" {
		t.Errorf("Get at the limit = %q, %v", b, err)
	}
}

func keysBelow(t *testing.T, s snapshots.Store, prefix string) []string {
	t.Helper()
	var keys []string
	for o, err := range s.List(t.Context(), prefix) {
		if err != nil {
			t.Fatalf("List(%q): %v", prefix, err)
		}
		if o.Size != int64(len(o.Key)) {
			t.Errorf("%s has size %d, want %d", o.Key, o.Size, len(o.Key))
		}
		keys = append(keys, o.Key)
	}
	return keys
}

func list(t *testing.T, s snapshots.Store) {
	all := []string{"a/1", "a/2", "a/b/3", "ab/1", "b/1"}
	for i := range all { // not in order
		key := all[(i*3)%len(all)]
		mustPut(t, s, key, []byte(key))
	}
	for prefix, want := range map[string][]string{"": all, "a/": all[:3], "a/b/": all[2:3], "b/": all[4:], "c/": nil} {
		if got := keysBelow(t, s, prefix); strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("List(%q) = %q, want %q", prefix, got, want)
		}
	}
	for range s.List(t.Context(), "") {
		break // a listing may be left early
	}
}

func deleted(t *testing.T, s snapshots.Store) {
	mustPut(t, s, "a/1", []byte("a/1"))
	mustPut(t, s, "a/2", []byte("a/2"))
	if err := s.Delete(t.Context(), "a/1"); err != nil {
		t.Fatal(err)
	}
	if got := keysBelow(t, s, ""); len(got) != 1 || got[0] != "a/2" {
		t.Fatalf("after Delete: %q", got)
	}
	mustPut(t, s, "a/1", []byte("again"))
	wantBlob(t, s, "a/1", []byte("again"))
}

func badKeys(t *testing.T, s snapshots.Store) {
	for _, key := range []string{
		"", "/", "a/", "/a", "a//b", ".", "..", "a/../b", "../a", "a/.hidden", "A", "a b", "a\\b", "a\x00b", "ü",
		"con:1", strings.Repeat("a", 600), "a/" + strings.Repeat("b", 300),
	} {
		if err := s.Put(t.Context(), key, []byte("x")); err == nil {
			t.Errorf("Put(%q) = nil", key)
		}
		if _, err := s.Get(t.Context(), key, 10); err == nil || errors.Is(err, snapshots.ErrNotFound) {
			t.Errorf("Get(%q) = %v", key, err)
		}
		if err := s.Delete(t.Context(), key); err == nil {
			t.Errorf("Delete(%q) = nil", key)
		}
	}
	if got := keysBelow(t, s, ""); len(got) != 0 {
		t.Errorf("a refused key left %q", got)
	}
}

func concurrent(t *testing.T, s snapshots.Store) {
	const writers, keys = 8, 5
	var wg sync.WaitGroup
	won := make([][keys]error, writers)
	for w := range writers {
		wg.Go(func() {
			for k := range keys {
				won[w][k] = s.Put(t.Context(), fmt.Sprintf("a/%d", k), fmt.Appendf(nil, "writer %d", w))
			}
		})
	}
	wg.Wait()
	for k := range keys {
		winners := 0
		for w := range writers {
			switch err := won[w][k]; {
			case err == nil:
				winners++
				wantBlob(t, s, fmt.Sprintf("a/%d", k), fmt.Appendf(nil, "writer %d", w))
			case !errors.Is(err, snapshots.ErrExists):
				t.Errorf("Put = %v", err)
			}
		}
		if winners != 1 {
			t.Errorf("key %d has %d winners", k, winners)
		}
	}
}
