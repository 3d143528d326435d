package snapshots

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"ysync/crdt"
	"ysync/persistence"
)

// loadAttempts is how often Load starts over because the log was trimmed
// between reading the record and the entries.
const loadAttempts = 3

// Load rebuilds a document from its newest good snapshot and the log after it,
// entirely or not at all. A newest snapshot that is missing or damaged is
// logged as an error and passed over: the one before it serves, or the whole
// log when nothing of it was trimmed, or at last the history segments and the
// log after them. A document that was never written is
// empty, with a Record of generation 0.
//
// Errors: persistence.ErrErased, ErrNewerFormat (never passed over),
// ErrUnrecoverable with all causes, ErrAway, and those of reading the log. The Record's
// Head is that of the newest entry in the document.
func (k *Keeper) Load(ctx context.Context, document string) (*crdt.Doc, persistence.Record, persistence.Tail, error) {
	for attempt := 1; ; attempt++ {
		rec, err := k.log.Open(ctx, document)
		if err != nil {
			return nil, rec, persistence.Tail{}, &DocumentError{"load", document, err}
		}
		if !rec.Tombstone.IsZero() {
			return nil, rec, persistence.Tail{}, &DocumentError{"load", document, persistence.ErrErased}
		}
		doc, tail, err := k.rebuild(ctx, &rec)
		if err == nil {
			return doc, rec, tail, nil
		}
		if errors.Is(err, persistence.ErrTrimmed) && attempt < loadAttempts {
			continue
		}
		return nil, rec, persistence.Tail{}, &DocumentError{"load", document, err}
	}
}

// errAnew: a document has to be loaded anew to have its present state.
var errAnew = errors.New("what was loaded is not a beginning of what is there")

// Resume brings a document that Load returned, with its record and tail, to the
// present by the log alone. When it fails the document is of no use any more:
// it is to be loaded anew, which tells what is wrong.
func (k *Keeper) Resume(
	ctx context.Context, doc *crdt.Doc, rec persistence.Record, tail persistence.Tail,
) (persistence.Record, persistence.Tail, error) {
	now, err := k.log.Open(ctx, rec.Document)
	if err != nil {
		return now, tail, err
	}
	if !now.Tombstone.IsZero() || now.Generation != rec.Generation || now.Trimmed > rec.Head || now.Head < rec.Head {
		return now, tail, errAnew
	}
	more, err := k.replay(ctx, doc, &now, rec.Head)
	if err != nil {
		return now, tail, err
	}
	return now, persistence.Tail{Entries: tail.Entries + more.Entries, Bytes: tail.Bytes + more.Bytes}, nil
}

func (k *Keeper) rebuild(ctx context.Context, rec *persistence.Record) (*crdt.Doc, persistence.Tail, error) {
	if !rec.Exists() {
		return replayDoc(), persistence.Tail{}, nil
	}
	doc, after, err := k.base(ctx, *rec)
	if err != nil {
		return nil, persistence.Tail{}, err
	}
	tail, err := k.replay(ctx, doc, rec, after)
	if err != nil {
		return nil, persistence.Tail{}, err
	}
	return doc, tail, nil
}

// base returns the document at the position from which the log is to be
// replayed: that of the newest good snapshot, or 0.
func (k *Keeper) base(ctx context.Context, rec persistence.Record) (*crdt.Doc, persistence.Position, error) {
	var causes []error
	away := false // of the causes, one is no damage: a later try may succeed
	for _, p := range []persistence.Pointer{rec.Snapshot, rec.Previous} {
		if p.IsZero() {
			continue
		}
		if p.Position < rec.Trimmed {
			causes = append(causes, fmt.Errorf("%s: the log reaches back to %d only", p.Key, rec.Trimmed))
			continue
		}
		doc, err := k.open(ctx, rec, p)
		if err == nil {
			return doc, p.Position, nil
		}
		if ctx.Err() != nil || errors.Is(err, ErrNewerFormat) {
			return nil, 0, err
		}
		k.damaged(rec.Document, p, err, "snapshot unusable, falling back to an older one")
		causes = append(causes, err)
		away = away || !isDamage(err)
	}
	if rec.Trimmed == 0 {
		if len(causes) > 0 {
			k.logger.Error("no usable snapshot, replaying the whole log",
				zap.String("document", rec.Document), zap.Uint64("entries", uint64(rec.Head)))
		}
		return replayDoc(), 0, nil
	}
	doc, err := k.fromHistory(ctx, rec)
	if err != nil {
		class := ErrUnrecoverable
		if away || !isDamage(err) {
			class = ErrAway
		}
		return nil, 0, errors.Join(append([]error{class}, append(causes, err)...)...)
	}
	return doc, rec.Trimmed, nil
}

// isDamage tells whether an error shows that stored bytes are damaged or gone,
// and not that they cannot be had just now.
func isDamage(err error) bool {
	for _, class := range []error{ErrCorrupt, ErrNotFound, ErrNewerFormat, ErrThinned, ErrMoment, ErrUnrecoverable, persistence.ErrCorrupt, persistence.ErrNewerFormat} {
		if errors.Is(err, class) {
			return true
		}
	}
	return false
}

// Damaged tells whether the error of Load shows damage, so that to load the
// document again would fail again.
func Damaged(err error) bool { return isDamage(err) && !errors.Is(err, ErrAway) }

// fromHistory replays the segments up to where the log begins, on an older
// snapshot or from the beginning: the last resort when both snapshots that the
// record points at are damaged.
func (k *Keeper) fromHistory(ctx context.Context, rec persistence.Record) (*crdt.Doc, error) {
	k.logger.Error("no usable snapshot and a trimmed log, replaying the history",
		zap.String("document", rec.Document), zap.Uint64("entries", uint64(rec.Trimmed)))
	doc, _, err := k.at(ctx, rec.Document, AtPosition(rec.Trimmed).In(rec.Generation), AtOptions{})
	return doc, err
}

// open decodes the snapshot at p into a fresh document.
func (k *Keeper) open(ctx context.Context, rec persistence.Record, p persistence.Pointer) (*crdt.Doc, error) {
	state, err := k.whole(ctx, rec, p)
	if err != nil {
		return nil, err
	}
	doc := replayDoc()
	if _, err := doc.Apply(nil, crdt.V2, state); err != nil {
		return nil, &FileError{p.Key, corrupt("its state does not apply: %v", err)}
	}
	return doc, nil
}

// whole reads the state of the snapshot that rec points at. Its digests say
// that these are the bytes which were decoded and compared when it was saved.
func (k *Keeper) whole(ctx context.Context, rec persistence.Record, p persistence.Pointer) ([]byte, error) {
	h, state, err := k.fetch(ctx, p)
	if err != nil {
		return nil, err
	}
	if h.Document != rec.Document || h.Generation != rec.Generation || h.Position != p.Position {
		return nil, &FileError{p.Key, corrupt("it holds %q, generation %d, position %d", h.Document, h.Generation, h.Position)}
	}
	return state, nil
}

// replay applies the log after a position and moves rec.Head to the newest
// entry applied.
func (k *Keeper) replay(
	ctx context.Context, doc *crdt.Doc, rec *persistence.Record, after persistence.Position,
) (persistence.Tail, error) {
	var tail persistence.Tail
	last := after
	for e, err := range k.log.Read(ctx, rec.Document, after) {
		if err != nil {
			return tail, err
		}
		if e.Position != last+1 {
			return tail, gap(rec.Document, last+1)
		}
		if _, err := doc.Apply(nil, crdt.V1, e.Update); err != nil {
			return tail, &persistence.Error{
				Op: "replay", Document: rec.Document, Position: e.Position,
				Err: fmt.Errorf("%w: %w", persistence.ErrCorrupt, err),
			}
		}
		last = e.Position
		tail.Entries++
		tail.Bytes += len(e.Update)
	}
	if last < rec.Head {
		return tail, gap(rec.Document, last+1)
	}
	rec.Head = last
	return tail, nil
}

// gap is the error for an entry that should be in the log and is not.
func gap(document string, at persistence.Position) error {
	return &persistence.Error{
		Op: "read", Document: document, Position: at,
		Err: fmt.Errorf("%w: the entry is missing", persistence.ErrCorrupt),
	}
}
