package dir_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ysync/snapshots/dir"
)

// While files are held, nothing that was listed goes.
func TestHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := dir.Open(vfs.NewMem(), "/files")
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Put(t.Context(), "a/b", []byte("x")); err != nil {
			t.Fatal(err)
		}
		first, second := s.Hold(), s.Hold()
		deleted := make(chan error, 1)
		go func() { deleted <- s.Delete(context.Background(), "a/b") }()
		synctest.Wait()
		first()
		synctest.Wait()
		if _, err := s.Get(t.Context(), "a/b", 10); err != nil {
			t.Errorf("the file went while it was held: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Delete(ctx, "a/b"); !errors.Is(err, context.Canceled) {
			t.Errorf("a delete that nobody waits for: %v", err)
		}
		second()
		if err := <-deleted; err != nil {
			t.Error(err)
		}
		s.Hold()()
		if err := s.Delete(t.Context(), "a/b"); err != nil {
			t.Error(err)
		}
	})
}
