package hub

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"ysync/persistence"
	"ysync/syncproto"
)

// A document that is given up is committed, claimed by nobody and closed; its
// sessions hear that it moved, and what they sent was acknowledged or kept by them.
func TestReleaseGivesADocumentUp(t *testing.T) {
	run(t, Options{Logger: zap.NewNop()}, func(t *testing.T, w *world) {
		ctx := context.Background()
		a, reader := join(t, w.hub, "d", 1), join(t, w.hub, "d", 2)
		settle(a, reader)
		a.send(syncproto.KindUpdate, a.write("kept"))
		if err := w.hub.Release(ctx, "d"); err != nil {
			t.Fatal(err)
		}
		if w.hub.Holds("d") || len(w.hub.Loaded()) != 0 {
			t.Error("the document is still open")
		}
		for _, c := range []*connected{a, reader} {
			if end := c.sub.End(); !errors.Is(end, ErrMoved) || !errors.Is(end, ErrEnded) {
				t.Errorf("a subscription ended with %v", end)
			}
		}
		rec, err := w.log.Open(ctx, "d")
		if err != nil || rec.Owner != "" || rec.Head != 1 {
			t.Fatalf("the record is %+v, %v", rec, err)
		}
		if err := w.hub.Release(ctx, "d"); err != nil {
			t.Errorf("giving up what is not open: %v", err)
		}
		again := join(t, w.hub, "d", 3)
		settle(again)
		if state, err := w.hub.Document(ctx, "d"); err != nil || state.Position != 1 {
			t.Errorf("opened again: position %d, %v", state.Position, err)
		}
		again.send(syncproto.KindUpdate, again.write("more"))
		settle(again)
		pass(time.Second)
		if rec, err = w.log.Open(ctx, "d"); err != nil || rec.Head != 2 || rec.Owner == "" {
			t.Errorf("after an edit the record is %+v, %v", rec, err)
		}
	})
}

// placementFunc is a Placement.
type placementFunc func(ctx context.Context, document string) (persistence.Epoch, error)

func (f placementFunc) Open(ctx context.Context, document string) (persistence.Epoch, error) {
	return f(ctx, document)
}

func TestDocumentsThatAreElsewhereAreNotOpened(t *testing.T) {
	elsewhere := placementFunc(func(_ context.Context, document string) (persistence.Epoch, error) {
		if document == "theirs" {
			return 0, persistence.ErrFenced
		}
		return 0, nil
	})
	run(t, Options{Logger: zap.NewNop(), Placement: elsewhere}, func(t *testing.T, w *world) {
		theirs, ours := join(t, w.hub, "theirs", 1), join(t, w.hub, "ours", 2)
		settle(ours)
		if end := theirs.sub.End(); !errors.Is(end, ErrMoved) {
			t.Errorf("the subscription ended with %v", end)
		}
		if _, err := w.hub.Document(t.Context(), "theirs"); !errors.Is(err, ErrMoved) {
			t.Errorf("a copy: %v", err)
		}
		if end := ours.sub.End(); end != nil {
			t.Errorf("our own ended with %v", end)
		}
		w.hub.Lost("ours")
		synctest.Wait()
		if end := ours.sub.End(); !errors.Is(end, ErrMoved) || w.hub.Holds("ours") {
			t.Errorf("lost: the subscription ended with %v", end)
		}
	})
}
