package memory

import (
	"context"
	"errors"
	"fmt"

	"ysync/persistence"
)

var _ persistence.Shared = (*Log)(nil)

// Holdings implements persistence.Shared.
func (l *Log) Holdings(ctx context.Context, documents []string) ([]persistence.Holding, error) {
	if len(documents) > persistence.MaxHoldings {
		return nil, &persistence.Error{Op: "holdings", Err: fmt.Errorf("%w: %d documents", persistence.ErrInvalid, len(documents))}
	}
	if err := l.begin(ctx); err != nil {
		return nil, &persistence.Error{Op: "holdings", Err: err}
	}
	defer l.store.mu.Unlock()
	holdings := make([]persistence.Holding, len(documents))
	for i, name := range documents {
		r := l.store.recordLocked(name)
		holdings[i] = persistence.Holding{Document: name, Epoch: r.Epoch, Owner: r.Owner}
	}
	return holdings, nil
}

// ClaimAll implements persistence.Shared.
func (l *Log) ClaimAll(ctx context.Context, owner string, seen []persistence.Holding) ([]persistence.Record, error) {
	if len(seen) > persistence.MaxHoldings {
		return nil, &persistence.Error{Op: "claim all", Err: fmt.Errorf("%w: %d documents", persistence.ErrInvalid, len(seen))}
	}
	records := make([]persistence.Record, len(seen))
	for i, h := range seen {
		r, err := l.Claim(ctx, h.Document, owner, h.Epoch)
		switch {
		case err == nil:
			records[i] = r
		case !errors.Is(err, persistence.ErrFenced) && !errors.Is(err, persistence.ErrErased):
			return nil, err
		}
	}
	return records, nil
}

// Release implements persistence.Shared.
func (l *Log) Release(ctx context.Context, name, owner string, e persistence.Epoch) error {
	_, err := l.change(ctx, "release", name, func(r persistence.Record) (persistence.Record, error) { return r.Released(owner, e) })
	return err
}
