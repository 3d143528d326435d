package calls_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"ysync/persistence"
	"ysync/persistence/internal/calls"
)

func TestShutWaitsForCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := calls.New()
		for range 2 {
			if err := g.Begin(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		var shut error
		done := make(chan struct{})
		go func() {
			shut = g.Shut()
			close(done)
		}()
		<-g.Shutting()
		if err := g.Begin(t.Context()); !errors.Is(err, persistence.ErrClosed) {
			t.Errorf("a call was let in: %v", err)
		}
		if err := g.Alive(t.Context()); !errors.Is(err, persistence.ErrClosed) {
			t.Errorf("a sequence goes on: %v", err)
		}
		if err := g.Shut(); !errors.Is(err, persistence.ErrClosed) {
			t.Errorf("shut twice: %v", err)
		}
		g.End()
		synctest.Wait()
		select {
		case <-done:
			t.Error("it did not wait for the second call")
		default:
		}
		g.End()
		<-done
		if shut != nil {
			t.Error(shut)
		}
	})
}

func TestContextEndsCalls(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	g := calls.New()
	if err := errors.Join(g.Begin(ctx), g.Alive(ctx)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := g.Begin(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("begun: %v", err)
	}
	if err := g.Alive(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("alive: %v", err)
	}
	g.End()
	if err := g.Shut(); err != nil {
		t.Error(err)
	}
}
