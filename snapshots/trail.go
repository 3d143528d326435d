package snapshots

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"

	"go.uber.org/zap"

	"ysync/persistence"
)

// trail is what is left of one generation of a document: the files and the log.
// It is read once, at the beginning, and belongs to one goroutine.
type trail struct {
	keeper     *Keeper
	document   string
	generation persistence.Generation
	// record is that of the log; zero unless the log has this generation.
	record persistence.Record
	// noLog is why the log is not read, nil when it is or when the generation
	// is a retired one, of which it has nothing.
	noLog     error
	snapshots []snapshotFile // by position
	segments  []segmentFile  // by position
	// authorsFiles are in the order of their positions.
	authorsFiles []authorsFile
	// retired is the file at the beginning of the generation; none for the first.
	retired retiredFile
	// damage are the faults of segments that were passed over.
	damage []error
	// newest is the newest segment that was read, which reading backwards
	// comes to again.
	newest  string
	entries []persistence.Entry
}

type snapshotFile struct {
	keyPlace
	Object
	header  SnapshotHeader
	headed  bool
	damaged bool
}

// follow opens the trail of a document. Generation 0 stands for the newest.
func (k *Keeper) follow(ctx context.Context, document string, g persistence.Generation) (*trail, error) {
	t := &trail{keeper: k, document: document, generation: g}
	rec, err := t.openLog(ctx)
	if err != nil {
		return nil, err
	}
	if err := t.list(ctx, rec); err != nil {
		return nil, err
	}
	if t.generation == rec.Generation {
		t.record = rec
	} else if t.noLog == nil && !rec.Exists() {
		t.noLog = fmt.Errorf("%w: it does not know the document", ErrNoLog)
	}
	if t.noLog != nil && (len(t.snapshots) > 0 || len(t.segments) > 0) {
		k.logger.Error("the log is not there, only the stored history is", zap.String("document", document), zap.Error(t.noLog))
	}
	if !t.record.Exists() && len(t.snapshots) == 0 && len(t.segments) == 0 {
		return nil, errors.Join(ErrNoDocument, t.noLog)
	}
	return t, nil
}

// openLog reads the record, and notes it when the log cannot be read.
func (t *trail) openLog(ctx context.Context) (persistence.Record, error) {
	if t.keeper.log == nil {
		t.noLog = ErrNoLog
		return persistence.Record{}, nil
	}
	rec, err := t.keeper.log.Open(ctx, t.document)
	switch {
	case err == nil && !rec.Tombstone.IsZero():
		return rec, persistence.ErrErased
	case err == nil:
		return rec, nil
	case ctx.Err() != nil, errors.Is(err, persistence.ErrInvalid), errors.Is(err, persistence.ErrErased):
		return rec, err
	}
	t.noLog = fmt.Errorf("%w: %w", ErrNoLog, err)
	return persistence.Record{}, nil
}

// list reads the keys of the document's files. It settles on a generation.
func (t *trail) list(ctx context.Context, rec persistence.Record) error {
	var snapshots []snapshotFile
	var segments []segmentFile
	var retired []retiredFile
	authors := make(map[persistence.Generation][]authorsFile)
	for o, err := range t.keeper.store.List(ctx, Folder(t.document)) {
		if err != nil {
			return err
		}
		if p, ok := snapshotPlace(o.Key); ok {
			snapshots = append(snapshots, snapshotFile{keyPlace: p, Object: o})
		} else if r, ok := segmentRange(o.Key); ok {
			segments = append(segments, segmentFile{keyRange: r, key: o.Key, size: o.Size})
		} else if g, to, ok := authorsPlace(o.Key); ok {
			authors[g] = append(authors[g], authorsFile{o, to})
		} else if p, ok := retiredPlaceOf(o.Key); ok {
			retired = append(retired, retiredFile{p, o})
		}
	}
	if t.generation == 0 {
		t.generation = rec.Generation
		if !rec.Exists() {
			t.generation = newestGeneration(snapshots, segments, retired)
		}
	}
	t.authorsFiles = authors[t.generation]
	t.retired, _ = newestRetired(retired, t.generation)
	began := t.retired.epoch
	t.snapshots = slices.DeleteFunc(snapshots, func(f snapshotFile) bool {
		return f.generation != t.generation || cutOff(f.position, f.epoch, began)
	})
	t.segments = slices.DeleteFunc(segments, func(f segmentFile) bool {
		return f.generation != t.generation || cutOff(f.from+1, f.epoch, began)
	})
	sortSnapshots(t.snapshots)
	return nil
}

func sortSnapshots(fs []snapshotFile) {
	slices.SortStableFunc(fs, func(a, b snapshotFile) int {
		return cmp.Or(cmp.Compare(a.position, b.position), cmp.Compare(a.epoch, b.epoch))
	})
}

// logHas tells whether the log holds the entry after a position.
func (t *trail) logHas(at persistence.Position) bool {
	return t.noLog == nil && t.record.Exists() && at >= t.record.Trimmed && at < t.record.Head
}

// reach is the newest position of which anything is known.
func (t *trail) reach() persistence.Position {
	p := t.record.Head
	for _, f := range t.segments {
		p = max(p, f.to)
	}
	if n := len(t.snapshots); n > 0 {
		p = max(p, t.snapshots[n-1].position)
	}
	return p
}

// read yields the entries (after, to], out of the log where it has them and
// out of segments elsewhere. When nothing holds the next entry it ends with
// ErrCorrupt if a damaged file did, with ErrThinned if one further on is known,
// and else without an error.
func (t *trail) read(ctx context.Context, after, to persistence.Position) iter.Seq2[persistence.Entry, error] {
	return func(yield func(persistence.Entry, error) bool) {
		at := after
		trims := 0
		for at < to {
			var err error
			from := at
			goOn := true
			take := func(e persistence.Entry) bool {
				at = e.Position
				goOn = yield(e, nil)
				return goOn && at < to
			}
			fromLog := t.logHas(at)
			if fromLog {
				err = t.readLog(ctx, at, take)
			} else if i := covering(t.segments, at); i >= 0 {
				err = t.readSegment(ctx, i, at, take)
			} else {
				err = t.missing(at)
				if err == nil {
					return
				}
				yield(persistence.Entry{}, err)
				return
			}
			if !goOn {
				return
			}
			if errors.Is(err, persistence.ErrTrimmed) && trims < loadAttempts {
				trims++
				err = t.refresh(ctx)
			} else if err == nil && at == from && (!fromLog || t.noLog == nil) {
				err = gap(t.document, at+1)
			}
			if err != nil {
				yield(persistence.Entry{}, err)
				return
			}
		}
	}
}

// readLog takes entries out of the log until it ends or take declines. A log
// that fails is not asked again.
func (t *trail) readLog(ctx context.Context, at persistence.Position, take func(persistence.Entry) bool) error {
	for e, err := range t.keeper.log.Read(ctx, t.document, at) {
		if err == nil && e.Position != at+1 {
			err = gap(t.document, at+1)
		}
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, persistence.ErrTrimmed) || errors.Is(err, persistence.ErrErased) {
				return err
			}
			t.noLog = fmt.Errorf("%w: %w", ErrNoLog, err)
			t.keeper.logger.Error("the log cannot be read, going on with the stored history",
				zap.String("document", t.document), zap.Uint64("position", uint64(at+1)), zap.Error(err))
			if covering(t.segments, at) < 0 {
				return err
			}
			return nil
		}
		at = e.Position
		if !take(e) {
			return nil
		}
	}
	return nil
}

// refresh reads the record and the listing again, after the log was trimmed.
func (t *trail) refresh(ctx context.Context) error {
	rec, err := t.openLog(ctx)
	if err != nil {
		return err
	}
	if rec.Generation == t.generation {
		t.record = rec
	}
	return t.list(ctx, rec)
}

// readSegment takes entries out of a segment. A damaged file is struck off.
func (t *trail) readSegment(ctx context.Context, i int, at persistence.Position, take func(persistence.Entry) bool) error {
	file := t.segments[i]
	if t.newest != file.key {
		entries, err := t.keeper.entriesOf(ctx, t.document, file)
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, ErrNewerFormat) {
				return err
			}
			t.keeper.logger.Error("history segment unusable", zap.String("document", t.document),
				zap.String("key", file.key), zap.Error(err))
			t.keeper.onDamage(t.document, file.key, err)
			t.damage = append(t.damage, err)
			t.segments = slices.Delete(t.segments, i, i+1)
			if covering(t.segments, at) < 0 {
				return errors.Join(t.missingDamaged(at)...)
			}
			return t.readSegment(ctx, covering(t.segments, at), at, take)
		}
		t.newest, t.entries = file.key, entries
	}
	for _, e := range t.entries[at-file.from:] {
		if !take(e) {
			return nil
		}
	}
	return nil
}

func (t *trail) missingDamaged(at persistence.Position) []error {
	return append([]error{corrupt("no readable segment holds entry %d", at+1)}, t.damage...)
}

// missing says why nothing holds the entry after a position; nil when nothing
// further on is known either.
func (t *trail) missing(at persistence.Position) error {
	switch {
	case len(t.damage) > 0:
		return errors.Join(t.missingDamaged(at)...)
	case t.noLog != nil && t.record.Exists() && at >= t.record.Trimmed:
		return t.noLog
	case at >= t.reach():
		return nil
	}
	return fmt.Errorf("%w: nothing holds entry %d", ErrThinned, at+1)
}

// next is the position from which entries can be read again, after those that
// are missing at a position; the largest one when there are none.
func (t *trail) next(at persistence.Position) persistence.Position {
	found := persistence.Position(math.MaxUint64)
	for _, f := range t.segments {
		if f.from >= at {
			found = min(found, f.from)
		}
	}
	if t.noLog == nil && t.record.Trimmed >= at && t.record.Head > t.record.Trimmed {
		found = min(found, t.record.Trimmed)
	}
	return found
}

// entriesOf reads a whole segment and checks that it is what its key says.
func (k *Keeper) entriesOf(ctx context.Context, document string, file segmentFile) ([]persistence.Entry, error) {
	h, entries, err := k.fetchSegment(ctx, file.key)
	if err == nil && (h.Document != document || h.Generation != file.generation || h.From != file.from || h.To != file.to) {
		err = &FileError{file.key, corrupt("it holds %q, generation %d, (%d, %d]", h.Document, h.Generation, h.From, h.To)}
	}
	return entries, err
}

// Entries yields the entries (after, to] of a generation of a document (0: the
// newest) in order, out of the log and the segments together. It ends after the
// newest entry, with ErrThinned before the first that retention has removed,
// and with ErrCorrupt before the first that no readable file holds.
func (k *Keeper) Entries(
	ctx context.Context, document string, generation persistence.Generation, after, to persistence.Position,
) iter.Seq2[persistence.Entry, error] {
	return func(yield func(persistence.Entry, error) bool) {
		t, err := k.follow(ctx, document, generation)
		if err != nil {
			yield(persistence.Entry{}, &DocumentError{"entries", document, err})
			return
		}
		for e, err := range t.read(ctx, after, min(to, t.reach())) {
			if err != nil {
				err = &DocumentError{"entries", document, err}
			}
			if !yield(e, err) {
				return
			}
		}
	}
}
