package memory

import (
	"context"

	"ysync/persistence"
)

var _ persistence.Adopter = (*Log)(nil)

// Adopt implements persistence.Adopter.
func (l *Log) Adopt(ctx context.Context, rec persistence.Record) error {
	_, err := l.change(ctx, "adopt", rec.Document, func(r persistence.Record) (persistence.Record, error) { return r.Adopted(rec) })
	return err
}
