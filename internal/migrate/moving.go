package migrate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"

	"ysync/persistence"
	"ysync/snapshots"
)

// moving is one document on its way.
type moving struct {
	Move
	mover *Mover
	// record is what the log there said of it last, here what the one here did.
	record, here persistence.Record
	// source are the keys of its files there, have those here.
	source, have map[string]struct{}
}

// moveAttempts is how often a document is looked at again that changes while it
// is copied.
const moveAttempts = 10

// run copies the document and compares it, and says what became of it.
func (d *moving) run(ctx context.Context) {
	if d.upToDate() {
		d.Outcome = Unchanged
		return
	}
	if d.here.Exists() && !persistence.Receiving(d.here.Owner) {
		d.Outcome, d.Err = Exists, errors.New("a server has written it here")
		return
	}
	d.Outcome = Moved
	if !d.record.Tombstone.IsZero() {
		d.Outcome = Removed
	}
	if d.mover.DryRun {
		d.rehearse()
		return
	}
	for attempt := 1; ; attempt++ {
		err := d.copy(ctx)
		if err == nil {
			err = d.compare(ctx)
		}
		switch {
		case err == nil:
			return
		case attempt < moveAttempts && ctx.Err() == nil && (errors.Is(err, persistence.ErrTrimmed) ||
			errors.Is(err, persistence.ErrErased) || errors.Is(err, snapshots.ErrNotFound)):
			// It was trimmed, thinned out or erased since it was looked at.
			if err = d.lookAgain(ctx); err == nil {
				continue
			}
		}
		d.Err, d.Outcome = err, outcomeOf(err)
		return
	}
}

func outcomeOf(err error) Outcome {
	switch {
	case errors.Is(err, persistence.ErrFenced), errors.Is(err, snapshots.ErrExists):
		return Exists
	case errors.Is(err, persistence.ErrCorrupt), errors.Is(err, snapshots.ErrCorrupt), errors.Is(err, snapshots.ErrNotFound),
		errors.Is(err, snapshots.ErrUnrecoverable), errors.Is(err, snapshots.ErrThinned), errors.Is(err, persistence.ErrTrimmed),
		errors.Is(err, persistence.ErrNewerFormat), errors.Is(err, snapshots.ErrNewerFormat):
		return Damaged
	}
	return Failed
}

// upToDate reports whether there is nothing to do.
func (d *moving) upToDate() bool {
	checked := d.here.Owner == persistence.ReceivedChecked
	return checked && same(d.record, d.here) && maps.Equal(d.source, d.have)
}

// rehearse counts what a run would copy.
func (d *moving) rehearse() {
	for key := range d.source {
		if _, there := d.have[key]; !there {
			d.Files++
		}
	}
	for key := range d.have {
		if _, there := d.source[key]; !there {
			d.Deleted++
		}
	}
	if d.record.Tombstone.IsZero() {
		d.Entries = int(d.record.Head - max(d.record.Trimmed, min(d.here.Head, d.record.Head)))
	}
}

// lookAgain reads what the stores there have now.
func (d *moving) lookAgain(ctx context.Context) (err error) {
	from := d.mover.From
	if d.record, err = from.Log.Open(ctx, d.Document); err != nil {
		return err
	}
	d.source = map[string]struct{}{}
	for o, err := range from.Files.List(ctx, snapshots.Folder(d.Document)) {
		if err != nil {
			return err
		}
		d.source[o.Key] = struct{}{}
	}
	return nil
}

// copy makes the document here what it is there: first the files that its record
// points at, then the record with the entries, at last it removes files that are
// gone there.
func (d *moving) copy(ctx context.Context) error {
	// The record first: what it points at was written before it, and is listed.
	if err := d.lookAgain(ctx); err != nil {
		return err
	}
	if !d.record.Tombstone.IsZero() {
		d.Outcome, d.source = Removed, nil
	}
	if d.have == nil {
		d.have = map[string]struct{}{}
	}
	for _, key := range slices.Sorted(maps.Keys(d.source)) {
		if _, have := d.have[key]; have {
			continue
		}
		if err := d.file(ctx, key); err != nil {
			return err
		}
	}
	if err := d.receive(ctx, persistence.ReceivedUnchecked); err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(d.have)) {
		if _, there := d.source[key]; there {
			continue
		}
		if err := d.mover.To.Files.Delete(ctx, key); err != nil {
			return err
		}
		delete(d.have, key)
		d.Deleted++
	}
	return nil
}

// maxObject is more than any file has.
const maxObject = 2 * snapshots.MaxRawBytes

// file copies a file and reads it back.
func (d *moving) file(ctx context.Context, key string) error {
	blob, err := d.mover.From.Files.Get(ctx, key, maxObject)
	if err != nil {
		return err
	}
	if err := d.mover.To.Files.Put(ctx, key, blob); err != nil {
		return err
	}
	back, err := d.mover.To.Files.Get(ctx, key, maxObject)
	if err != nil {
		return err
	}
	if !bytes.Equal(blob, back) {
		return &snapshots.FileError{Key: key, Err: snapshots.ErrVerify}
	}
	d.have[key] = struct{}{}
	d.Files++
	d.Bytes += int64(len(blob))
	return nil
}

// receive puts the record and the entries that are missing here.
func (d *moving) receive(ctx context.Context, owner string) error {
	to, ok := d.mover.To.Log.(persistence.Receiver)
	if !ok {
		return errors.New("this update log cannot take documents over")
	}
	rec := d.record
	rec.Owner = owner
	var entries int
	var size int64
	err := to.Receive(ctx, rec, func(after persistence.Position) iter.Seq2[persistence.Entry, error] {
		entries, size = 0, 0 // of the attempt that counts, which is the last one
		return func(yield func(persistence.Entry, error) bool) {
			for e, err := range d.entries(ctx, d.mover.From.Log, after) {
				entries, size = entries+1, size+int64(len(e.Update))
				if !yield(e, err) {
					return
				}
			}
		}
	})
	if err == nil {
		d.Entries, d.Bytes = d.Entries+entries, d.Bytes+size
	}
	return err
}

// entries are those of a log after a position up to the head of the record.
func (d *moving) entries(ctx context.Context, log persistence.Log, after persistence.Position) iter.Seq2[persistence.Entry, error] {
	return func(yield func(persistence.Entry, error) bool) {
		for e, err := range log.Read(ctx, d.Document, after) {
			if err == nil && e.Position > d.record.Head {
				return
			}
			if !yield(e, err) || e.Position == d.record.Head {
				return
			}
		}
	}
}

// compare reads the document here and there, entry by entry and loaded, and
// notes that it did.
func (d *moving) compare(ctx context.Context) error {
	to := d.mover.To
	back, err := to.Log.Open(ctx, d.Document)
	if err != nil {
		return err
	}
	if !same(back, d.record) {
		return fmt.Errorf("its record reads back as %+v, written was %+v", back, d.record)
	}
	if d.record.Tombstone.IsZero() && d.record.Head > 0 {
		if err := d.compareEntries(ctx); err != nil {
			return err
		}
		if err := d.compareLoaded(ctx); err != nil {
			return err
		}
	}
	return d.receive(ctx, persistence.ReceivedChecked)
}

func (d *moving) compareEntries(ctx context.Context) error {
	there, stop := iter.Pull2(d.entries(ctx, d.mover.From.Log, d.record.Trimmed))
	defer stop()
	next := d.record.Trimmed
	for here, err := range d.entries(ctx, d.mover.To.Log, d.record.Trimmed) {
		if err != nil {
			return err
		}
		e, err, ok := there()
		switch {
		case err != nil:
			return err
		case !ok || here.Position != e.Position || here.Epoch != e.Epoch || !here.Time.Equal(e.Time) ||
			here.Author != e.Author || !bytes.Equal(here.Update, e.Update):
			return fmt.Errorf("entry %d reads back otherwise", here.Position)
		}
		next = here.Position
	}
	if next != d.record.Head {
		return fmt.Errorf("entry %d is not here", next+1)
	}
	return nil
}

// compareLoaded loads the document as a server would, here, and there as it was
// at the position that was copied.
func (d *moving) compareLoaded(ctx context.Context) error {
	from, to := d.mover.From, d.mover.To
	at := snapshots.AtPosition(d.record.Head).In(d.record.Generation)
	there, point, err := snapshots.New(from.Files, from.Log, snapshots.Options{}).At(ctx, d.Document, at, snapshots.AtOptions{})
	if err != nil {
		return fmt.Errorf("loading it there: %w", err)
	}
	here, _, _, err := snapshots.New(to.Files, to.Log, snapshots.Options{}).Load(ctx, d.Document)
	if err != nil {
		return fmt.Errorf("loading it here: %w", err)
	}
	if point.Position != d.record.Head {
		return fmt.Errorf("there it can be loaded up to position %d only: %w", point.Position, point.Short)
	}
	if err := difference(there, here); err != nil {
		return fmt.Errorf("it loads otherwise here: %w", err)
	}
	return nil
}
