package snapshots

import (
	"context"
	"errors"
	"fmt"

	"ysync/crdt"
	"ysync/persistence"
)

// CheckedLog is what reading the whole log of a document has shown.
type CheckedLog struct {
	// Entries and Bytes are the good entries and the size of their updates.
	Entries uint64
	Bytes   int64
	// Damaged are the others, by position.
	Damaged []DamagedEntry
}

// DamagedEntry is a log entry that is missing, does not check or is no update.
type DamagedEntry struct {
	Position persistence.Position
	Err      error
}

// CheckLog reads every entry that the log of a document holds, on past damage,
// and decodes every update. The error is why the log could not be read at all.
func (k *Keeper) CheckLog(ctx context.Context, document string) (CheckedLog, error) {
	var c CheckedLog
	rec, err := k.log.Open(ctx, document)
	if err != nil || !rec.Exists() || !rec.Tombstone.IsZero() {
		return c, err
	}
	err = k.pastDamage(ctx, rec, func(e persistence.Entry, damage error) {
		if damage != nil {
			c.Damaged = append(c.Damaged, DamagedEntry{e.Position, damage})
			return
		}
		c.Entries++
		c.Bytes += int64(len(e.Update))
	})
	return c, err
}

// pastDamage visits every entry of the log after rec.Trimmed up to rec.Head. A
// damaged one has its position and, when its checksum is right, its fields.
func (k *Keeper) pastDamage(ctx context.Context, rec persistence.Record, visit func(e persistence.Entry, damage error)) error {
	trims := 0
	for at := rec.Trimmed; at < rec.Head; {
		from := at
		var failed error
		for e, err := range k.log.Read(ctx, rec.Document, at) {
			if err == nil && e.Position != at+1 {
				err = gap(rec.Document, at+1)
			}
			if err != nil {
				failed = err
				break
			}
			at++
			visit(e, noUpdate(e))
			if at == rec.Head {
				return nil
			}
		}
		switch {
		case failed == nil && at > from:
			continue
		case failed == nil:
			failed = gap(rec.Document, at+1)
		case errors.Is(failed, persistence.ErrTrimmed) && trims < loadAttempts:
			trims++
			now, err := k.log.Open(ctx, rec.Document)
			if err != nil {
				return err
			}
			at = max(at, now.Trimmed)
			continue
		case !errors.Is(failed, persistence.ErrCorrupt):
			return failed
		}
		at++
		visit(persistence.Entry{Position: at}, failed)
	}
	return nil
}

// noUpdate says why an entry does not hold an update; nil when it does.
func noUpdate(e persistence.Entry) error {
	if _, err := crdt.ContentsOf(crdt.V1, e.Update); err != nil {
		return fmt.Errorf("%w: entry %d is no update: %w", ErrCorrupt, e.Position, err)
	}
	return nil
}
