package hub

import (
	"context"
	"sync"

	"ysync/persistence"
)

// faultyLog is a real log that can be made to fail, to stall, and to lose the
// answer to a commit.
type faultyLog struct {
	persistence.Shared

	mu      sync.Mutex
	err     error         // what every write fails with
	gate    chan struct{} // appends wait for it; nil for not
	forget  int           // so many appends happen, but say ErrUnknown
	vanish  int           // so many appends do not happen, and say ErrUnknown
	appends int
}

func (l *faultyLog) refuse(err error) {
	l.mu.Lock()
	l.err = err
	l.mu.Unlock()
}

// stall makes appends wait until unstall, or the returned function, is called.
func (l *faultyLog) stall() (release func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gate == nil {
		l.gate = make(chan struct{})
	}
	return l.unstall
}

func (l *faultyLog) unstall() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gate != nil {
		close(l.gate)
		l.gate = nil
	}
}

// loseAnswer makes the outcome of the next append unknown.
func (l *faultyLog) loseAnswer(happened bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if happened {
		l.forget = 1
	} else {
		l.vanish = 1
	}
}

// count is how many appends there were.
func (l *faultyLog) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.appends
}

func (l *faultyLog) state() (chan struct{}, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.gate, l.err
}

func (l *faultyLog) Append(ctx context.Context, batches []persistence.Batch) []persistence.Result {
	if gate, _ := l.state(); gate != nil {
		<-gate
	}
	results := make([]persistence.Result, len(batches))
	fail := func(err error) []persistence.Result {
		for i := range results {
			results[i] = persistence.Result{Err: &persistence.Error{Op: "append", Document: batches[i].Document, Err: err}}
		}
		return results
	}
	if _, err := l.state(); err != nil {
		return fail(err)
	}
	l.mu.Lock()
	l.appends++
	vanish, forget := l.vanish > 0, l.forget > 0
	if vanish {
		l.vanish--
	} else if forget {
		l.forget--
	}
	l.mu.Unlock()
	if vanish {
		return fail(persistence.ErrUnknown)
	}
	results = l.Shared.Append(ctx, batches)
	if forget {
		return fail(persistence.ErrUnknown)
	}
	return results
}

func (l *faultyLog) Claim(ctx context.Context, document, owner string, seen persistence.Epoch) (persistence.Record, error) {
	if _, err := l.state(); err != nil {
		return persistence.Record{}, err
	}
	return l.Shared.Claim(ctx, document, owner, seen)
}

func (l *faultyLog) Reset(ctx context.Context, document string, epoch persistence.Epoch, head persistence.Position, p persistence.Pointer) error {
	if _, err := l.state(); err != nil {
		return err
	}
	err := l.Shared.Reset(ctx, document, epoch, head, p)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.forget > 0 && err == nil {
		l.forget--
		return persistence.ErrUnknown
	}
	return err
}
