package pebble

import (
	"bytes"
	"context"
	"iter"

	"github.com/cockroachdb/pebble/v2"

	"ysync/persistence"
)

var _ persistence.Receiver = (*Log)(nil)

// receiveBytes is about how much one write of Receive holds.
const receiveBytes = 4 << 20

// Receive implements persistence.Receiver. Entries are written first. When the
// process dies before the record, they are not seen, or make a document that is
// here longer by entries that it had there.
func (l *Log) Receive(ctx context.Context, rec persistence.Record, read func(persistence.Position) iter.Seq2[persistence.Entry, error]) error {
	if err := l.receive(ctx, rec, read); err != nil {
		return &persistence.Error{Op: "receive", Document: rec.Document, Err: err}
	}
	return nil
}

func (l *Log) receive(ctx context.Context, rec persistence.Record, read func(persistence.Position) iter.Seq2[persistence.Entry, error]) error {
	if err := persistence.CheckName(rec.Document); err != nil {
		return err
	}
	if err := l.calls.Begin(ctx); err != nil {
		return err
	}
	defer l.calls.End()
	d := l.cache.acquire(rec.Document)
	defer l.cache.release(d)
	d.mu.Lock()
	defer d.mu.Unlock()
	var from persistence.Position
	after, err := l.allowed(d, func(r persistence.Record) (after persistence.Record, err error) {
		after, from, err = r.Received(rec)
		return after, err
	})
	if err != nil || after == d.record {
		return err
	}
	d.loaded = false // whatever becomes of it, the disk tells
	begun := false
	err = persistence.ReceivedRow(rec, from, read(from), receiveBytes, func(part []persistence.Entry) error {
		size := 0
		for i := range part {
			size += len(part[i].Author) + len(part[i].Update) + 64
		}
		if err := l.space.admit(size); err != nil {
			return err
		}
		write := l.db.NewBatchWithSize(size)
		if !begun {
			// Groups that an attempt left behind need not end where these do.
			begun = true
			_, upper := entryBounds(rec.Document, rec.Generation)
			if err := write.DeleteRange(appendEntryKey(nil, rec.Document, rec.Generation, from+1), upper, nil); err != nil {
				return err
			}
		}
		w := begin(write, rec.Document, rec.Generation)
		for i := range part {
			w.add(&part[i])
		}
		w.end()
		if err := l.applyLater(write); err != nil {
			return err
		}
		return write.Close()
	})
	if err != nil {
		return err
	}
	write := l.db.NewBatch()
	if err := putReceived(write, &after); err != nil {
		return err
	}
	c, err := l.apply(write)
	if err != nil {
		return err
	}
	d.last = c
	return l.land(write, c)
}

// putReceived adds a received record to a write, with the removal of all that is
// not of it: other generations, what is trimmed, and what an attempt left behind
// that died.
func putReceived(write *pebble.Batch, rec *persistence.Record) error {
	lower, upper := documentBounds(rec.Document)
	first := appendEntryKey(nil, rec.Document, rec.Generation, rec.Trimmed+1)
	behind := appendEntryKey(nil, rec.Document, rec.Generation, rec.Head+1)
	if !rec.Tombstone.IsZero() {
		first, behind = upper, upper
	}
	for _, r := range [][2][]byte{{lower, first}, {behind, upper}} {
		if bytes.Compare(r[0], r[1]) >= 0 {
			continue
		}
		if err := write.DeleteRange(r[0], r[1], nil); err != nil {
			return err
		}
	}
	key := appendRecordKey(nil, rec.Document)
	return write.Set(key, appendRecord(nil, key, rec), nil)
}
