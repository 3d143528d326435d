package crdt

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"ysync/internal/lib0"
)

// FuzzRevert reverts documents made of arbitrary updates to others, related or not. Then they hold the
// same, and a replica that gets the revert as an update does, too.
func FuzzRevert(f *testing.F) {
	var last []byte
	seedUpdates(f, func(u goldenUpdate) {
		f.Add(u.V1, last, len(last)%2 == 0)
		last = u.V1
	})
	f.Fuzz(func(t *testing.T, a, b []byte, related bool) {
		past, d := New(Options{ClientID: 1}), serverDoc()
		if _, err := past.Apply(nil, V1, b); err != nil {
			return
		}
		if related {
			if _, err := d.Apply(nil, V1, b); err != nil {
				return
			}
		}
		if _, err := d.Apply(nil, V1, a); err != nil {
			return
		}
		peer := serverDoc()
		if _, err := peer.Apply(nil, V2, d.AppendDiff(nil, V2, StateVector{})); err != nil {
			t.Fatal(err)
		}
		c, err := d.Transact(nil, func(tx *Txn) { tx.Revert(past) })
		for _, doc := range []*Doc{d, past} {
			if err := doc.Check(); err != nil {
				t.Fatal(err)
			}
		}
		if errors.Is(err, ErrLimit) && c.Empty() {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := sameLive(d, past); err != nil {
			t.Fatal(err)
		}
		if _, err := peer.Apply(nil, V2, c.AppendUpdate(nil, V2)); err != nil {
			t.Fatal(err)
		}
		if err := sameLive(peer, past); err != nil {
			t.Fatalf("another replica: %v", err)
		}
	})
}

// sameLive compares what of two documents is not deleted, whatever its IDs.
func sameLive(a, b *Doc) error {
	names := map[string]bool{}
	for _, d := range []*Doc{a, b} {
		for r := range d.roots() {
			names[d.key(d.branch(r).name)] = true
		}
	}
	rootOf := func(d *Doc, name string) branchRef {
		k, _ := d.lookupKey(name)
		return d.findRoot(k)
	}
	for name := range names {
		got, want := a.tokens(rootOf(a, name)), b.tokens(rootOf(b, name))
		if !slices.Equal(got, want) {
			return fmt.Errorf("root %q holds\n%q\nwant\n%q", name, got, want)
		}
	}
	return nil
}

// tokens are the contents of a type that are not deleted, in order, with those of the types in it;
// keys are sorted.
func (d *Doc) tokens(b branchRef) (out []string) {
	var text []byte
	flush := func() {
		if len(text) > 0 {
			out = append(out, string(text))
			text = text[:0]
		}
	}
	add := func(it *item, from uint32) {
		data := d.data(it)
		if it.kind == kindString {
			text = appendJoined(text, textFrom(data, from))
			return
		}
		flush()
		if it.kind == kindAny || it.kind == kindJSON {
			r := lib0.NewReader(skipValues(data, from))
			for range it.length - from {
				out = append(out, fmt.Sprint(it.kind, string(bytes.Clone(appendCanonical(nil, &r)))))
			}
			return
		}
		out = append(out, fmt.Sprint(it.kind, string(data)))
		if nb := it.branch(); nb != 0 {
			out = append(out, fmt.Sprint(d.branch(nb).kind, d.key(d.branch(nb).name), "("))
			out = append(append(out, d.tokens(nb)...), ")")
		}
	}
	for r := d.start(b); r != 0; r = d.item(r).right {
		if it := d.item(r); !it.deleted() {
			add(it, 0)
		}
	}
	flush()
	type entry struct {
		key string
		it  *item
	}
	var keys []entry
	for k, it := range d.keyItems(b) {
		keys = append(keys, entry{k, it})
	}
	slices.SortFunc(keys, func(a, b entry) int { return bytes.Compare([]byte(a.key), []byte(b.key)) })
	for _, k := range keys {
		out = append(out, k.key+"=")
		add(k.it, k.it.length-1) // the last one is the value
		flush()
	}
	return out
}
