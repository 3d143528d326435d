package snapshots

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"ysync/crdt"
	"ysync/persistence"
)

// mend puts right what examine has found. Every step leaves a document that is
// no worse than before, and that a next repair can begin with.
func (r *repairer) mend(ctx context.Context) error {
	if err := r.retireAgain(ctx); err != nil {
		return err
	}
	if err := r.putAside(ctx); err != nil {
		return err
	}
	if err := r.storeEntries(ctx); err != nil {
		return err
	}
	if err := r.storeStates(ctx); err != nil {
		return err
	}
	if n := len(r.damaged); n > 0 {
		if err := r.keeper.log.Trim(ctx, r.rec.Document, r.rec.Epoch, min(r.rec.Previous.Position, r.rec.Segmented)); err != nil {
			return err
		}
	}
	return r.verify(ctx)
}

// retireAgain writes the file with the retired clients of this generation anew
// if it is damaged, before that one is removed.
func (r *repairer) retireAgain(ctx context.Context) error {
	t, err := r.keeper.follow(ctx, r.rec.Document, r.rec.Generation)
	if err != nil || t.retired.Key == "" || !r.isDamaged(t.retired.Key) {
		return err
	}
	clients, err := r.keeper.retired(ctx, r.rec.Document, r.rec.Generation)
	if err != nil {
		return err
	}
	began, err := t.began(ctx)
	if err != nil {
		return err
	}
	return r.keeper.writeRetired(ctx, r.rec.Document, &retirement{
		retiredPlace: t.retired.retiredPlace, at: began, author: r.opts.Author, clients: clients,
	})
}

// putAside keeps the damaged bytes, and then removes the damaged files: their
// names are those that the good ones may have.
func (r *repairer) putAside(ctx context.Context) error {
	raw, _ := r.keeper.log.(persistence.RawReader)
	folder := asideName(Folder(r.rec.Document))
	// Neighbours may be stored as one: their bytes are kept once.
	var last []byte
	var lastAside string
	for i := range r.report.Findings {
		f := &r.report.Findings[i]
		var content []byte
		var name string
		var err error
		switch {
		case f.What == findEntry && raw != nil:
			name = fmt.Sprintf("%s.%020d-%020d.entry", folder, r.rec.Generation, f.To)
			content, err = raw.Raw(ctx, r.rec.Document, f.To)
			if isDamage(err) {
				f.Remedy += " (its bytes cannot be read out of the log: " + err.Error() + ")"
				continue
			}
			if err == nil && lastAside != "" && bytes.Equal(content, last) {
				f.Aside = lastAside
				continue
			}
		case f.Key != "" && r.isDamaged(f.Key):
			name = asideName(f.Key)
			content, err = r.keeper.store.Get(ctx, f.Key, maxFileBytes)
			if err != nil && isDamage(err) {
				f.Remedy = "its bytes cannot be had, it stays where it is: " + err.Error()
				continue
			}
		default:
			continue
		}
		if err != nil {
			return err
		}
		if len(content) > 0 {
			if f.Aside, err = r.opts.Aside(name, content); err != nil {
				return fmt.Errorf("%s could not be put aside: %w", name, err)
			}
			if f.What == findEntry {
				last, lastAside = content, f.Aside
			}
		}
		if f.Key != "" {
			if err := r.keeper.store.Delete(ctx, f.Key); err != nil {
				return err
			}
			r.report.Repaired = true
		}
	}
	return nil
}

func (r *repairer) isDamaged(key string) bool {
	for _, f := range r.files {
		if f.Key == key {
			return true
		}
	}
	return false
}

// storeEntries writes the segments that are lacking, as far as their entries
// are known. After the newest segment, where the log is damaged, an empty entry
// stands for each that is lost.
func (r *repairer) storeEntries(ctx context.Context) error {
	for _, u := range r.unstored {
		var run []persistence.Entry
		size := 0
		flush := func() error {
			if len(run) == 0 {
				return nil
			}
			err := r.keeper.writeSegment(ctx, r.rec, run)
			r.report.Repaired = r.report.Repaired || err == nil
			run, size = nil, 0
			return err
		}
		for p := u.from + 1; p <= u.to; p++ {
			e, ok := r.entries[p]
			if !ok && p > r.rec.Segmented {
				e, ok = r.empty(p), true
				r.entries[p] = e
			}
			if !ok {
				if err := flush(); err != nil {
					return err
				}
				continue
			}
			run = append(run, e)
			if size += entryBytes(e); size >= r.keeper.segmentBytes {
				if err := flush(); err != nil {
					return err
				}
			}
		}
		if err := flush(); err != nil {
			return err
		}
	}
	if len(r.damaged) == 0 || r.rec.Head <= r.rec.Segmented {
		return nil
	}
	return r.segmented(ctx, r.rec.Head)
}

func (r *repairer) segmented(ctx context.Context, to persistence.Position) error {
	if err := r.keeper.log.SetSegmented(ctx, r.rec.Document, r.rec.Epoch, to); err != nil {
		return err
	}
	r.rec.Segmented = to
	return nil
}

// noChange is an update V1 that holds nothing.
var noChange = []byte{0, 0}

// empty stands for an entry that is lost: of the time and epoch of the one
// before it.
func (r *repairer) empty(p persistence.Position) persistence.Entry {
	e := persistence.Entry{Position: p, Epoch: 1, Update: noChange}
	if before, ok := r.entries[p-1]; ok {
		e.Epoch, e.Time = before.Epoch, before.Time
		return e
	}
	// The first of its row: not after the one that comes.
	e.Time = time.UnixMilli(0).UTC()
	for next := p + 1; next <= r.rec.Head; next++ {
		if after, ok := r.entries[next]; ok {
			e.Epoch, e.Time = after.Epoch, after.Time
			break
		}
	}
	return e
}

// storeStates stores the repaired state until both snapshots on record are
// good, and lie behind everything that is damaged in the log.
func (r *repairer) storeStates(ctx context.Context) error {
	for range 4 {
		need, err := r.needsState(ctx)
		if err != nil || !need {
			return err
		}
		if r.rec.Head <= r.rec.Snapshot.Position {
			if err := r.mark(ctx); err != nil {
				return err
			}
		}
		state := r.doc.AppendStored(nil, crdt.V2)
		p, err := r.keeper.save(ctx, SnapshotHeader{
			Document: r.rec.Document, Generation: r.rec.Generation, Epoch: r.rec.Epoch, Position: r.rec.Head, Time: r.opts.Now,
		}, state)
		if err != nil {
			return err
		}
		if err := r.keeper.log.SetSnapshot(ctx, r.rec.Document, r.rec.Epoch, p); err != nil {
			return err
		}
		r.rec.Previous, r.rec.Snapshot = r.rec.Snapshot, p
		r.report.Snapshot, r.report.Repaired = p.Key, true
	}
	return fmt.Errorf("%w: a snapshot that was just stored cannot be read", ErrVerify)
}

// needsState tells whether a snapshot on record is missing, damaged, or older
// than a damaged entry of the log.
func (r *repairer) needsState(ctx context.Context) (bool, error) {
	if !r.pointers && len(r.damaged) == 0 {
		return false, nil
	}
	for i, p := range []persistence.Pointer{r.rec.Snapshot, r.rec.Previous} {
		if p.IsZero() {
			// A document may have one snapshot, or none, when its log is whole.
			if len(r.damaged) > 0 || i == 0 && r.pointers {
				return true, nil
			}
			continue
		}
		if n := len(r.damaged); n > 0 && p.Position < r.damaged[n-1] {
			return true, nil
		}
		if _, err := r.keeper.whole(ctx, r.rec, p); err != nil {
			if !isDamage(err) {
				return false, err
			}
			return true, nil
		}
	}
	return false, nil
}

// mark appends an empty entry, so that a further snapshot has a position of its
// own; it shows in the history when the document was repaired.
func (r *repairer) mark(ctx context.Context) error {
	log := r.keeper.log
	res := log.Append(ctx, []persistence.Batch{{
		Document: r.rec.Document, Generation: r.rec.Generation, Epoch: r.rec.Epoch,
		Entries: []persistence.NewEntry{{Time: r.opts.Now, Author: r.opts.Author, Update: noChange}},
	}})
	if err := res[0].Err; err != nil {
		return err
	}
	r.rec.Head = res[0].Last
	r.report.Position = r.rec.Head
	if r.rec.Segmented != r.rec.Head-1 {
		return nil // the owner will store it with what else it has to store
	}
	if _, err := r.keeper.segment(ctx, r.rec, r.rec.Head); err != nil {
		return err
	}
	return r.segmented(ctx, r.rec.Head)
}

// verify loads the document as a server would, and compares.
func (r *repairer) verify(ctx context.Context) error {
	got, rec, _, err := r.keeper.Load(ctx, r.rec.Document)
	if err != nil {
		return fmt.Errorf("%w: it cannot be loaded: %w", ErrVerify, err)
	}
	if rec.Head != r.rec.Head || rec.Generation != r.rec.Generation {
		return fmt.Errorf("%w: the log has position %d, repaired was %d", ErrVerify, rec.Head, r.rec.Head)
	}
	want := summary{r.doc.StateVector(), r.doc.Deletes(), r.doc.Pending()}
	if err := want.difference(summary{got.StateVector(), got.Deletes(), got.Pending()}); err != nil {
		return fmt.Errorf("%w: %w", ErrVerify, err)
	}
	checked, err := r.keeper.CheckLog(ctx, r.rec.Document)
	if err != nil {
		return err
	}
	if len(checked.Damaged) > 0 {
		return fmt.Errorf("%w: the log is damaged at position %d still: %w", ErrVerify, checked.Damaged[0].Position, checked.Damaged[0].Err)
	}
	return nil
}
