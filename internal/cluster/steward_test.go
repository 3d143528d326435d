//go:build unix

package cluster_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"ysync/persistence"
)

// openDocuments stands for the hub: documents that are open, some claimed.
type openDocuments struct {
	log  persistence.Shared
	boot string

	mu     sync.Mutex
	epochs map[string]persistence.Epoch // 0: open without a claim
	lost   []string
	change chan struct{}
}

func (o *openDocuments) Holds(document string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, ok := o.epochs[document]
	return ok
}

func (o *openDocuments) Loaded() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var names []string
	for name := range o.epochs {
		names = append(names, name)
	}
	return names
}

func (o *openDocuments) Release(ctx context.Context, document string) error {
	o.mu.Lock()
	epoch := o.epochs[document]
	o.mu.Unlock()
	if epoch > 0 {
		if err := o.log.Release(ctx, document, o.boot, epoch); err != nil {
			return err
		}
	}
	o.close(document)
	return nil
}

func (o *openDocuments) Lost(document string) {
	o.mu.Lock()
	o.lost = append(o.lost, document)
	o.mu.Unlock()
	o.close(document)
}

func (o *openDocuments) close(document string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.epochs, document)
	select {
	case o.change <- struct{}{}:
	default:
	}
}

// until waits for a change until a condition holds.
func (o *openDocuments) until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for !holds() {
		select {
		case <-o.change:
		case <-ctx.Done():
			t.Fatalf("%s: open are %q, lost were %q", what, o.Loaded(), o.lost)
		}
	}
}

// When a node comes, what is placed there is given up: at once what nobody has
// claimed, and what is claimed when the members have settled. When somebody else claims a document,
// it is closed. What belongs here stays.
func TestStewardMovesDocuments(t *testing.T) {
	s := newSite(t)
	a := s.join("a")
	docs := &openDocuments{log: a.log, boot: "a", epochs: map[string]persistence.Epoch{}, change: make(chan struct{}, 1)}
	const count = 60
	for i := range count {
		document := fmt.Sprint("d", i)
		docs.epochs[document] = 0
		if i%2 == 0 {
			r, err := a.log.Claim(t.Context(), document, "a", 0)
			if err != nil {
				t.Fatal(err)
			}
			docs.epochs[document] = r.Epoch
		}
	}
	a.Keep(docs)
	b := s.join("b")
	s.sees(a, "a", "b")
	s.sees(b, "a", "b")
	docs.until(t, "documents of the newcomer", func() bool {
		for _, name := range docs.Loaded() {
			if s.owner(b, name) != "a" {
				return false
			}
		}
		return len(docs.Loaded()) < count*3/4
	})
	if left := len(docs.Loaded()); left < count/4 {
		t.Errorf("%d of %d documents are left", left, count)
	}
	for i := range count {
		document := fmt.Sprint("d", i)
		r, err := a.log.Open(t.Context(), document)
		if err != nil {
			t.Fatal(err)
		}
		want := ""
		if i%2 == 0 && docs.Holds(document) {
			want = "a"
		}
		if r.Owner != want {
			t.Errorf("%s is held by %q, want %q", document, r.Owner, want)
		}
	}
	stolen := docs.Loaded()[0]
	if _, err := a.log.Claim(t.Context(), stolen, "b", docs.epochs[stolen]); err != nil {
		t.Fatal(err)
	}
	docs.until(t, "a claim of another", func() bool { return !docs.Holds(stolen) })
	if !slices.Contains(docs.lost, stolen) {
		t.Errorf("%q was given up, not lost", stolen)
	}
	if err := a.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := docs.Loaded(); len(left) > 0 {
		t.Errorf("after the drain %q are open", left)
	}
}
