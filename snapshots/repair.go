package snapshots

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"ysync/crdt"
	"ysync/persistence"
)

// RepairOptions say how a document is repaired.
type RepairOptions struct {
	// Aside keeps damaged bytes, durably, under a name of [0-9a-z.-], and
	// returns where, for people. Nil is a dry run: nothing is changed.
	Aside func(name string, content []byte) (where string, err error)
	// Owner is who claims the document; Author that of the entry that marks the
	// repair.
	Owner, Author string
	// Now is when it is repaired.
	Now time.Time
}

// Repair is what was found damaged of a document, and what was, or would be,
// done about it.
type Repair struct {
	Document   string                 `json:"document"`
	Generation persistence.Generation `json:"generation"`
	// Head is the newest position before the repair, Position after it.
	Head     persistence.Position `json:"head"`
	Position persistence.Position `json:"position"`
	// Damage is why the document could not be loaded before; empty if it could.
	Damage string `json:"damage,omitempty"`
	// Findings are what is damaged.
	Findings []Finding `json:"findings"`
	// Lost counts entries that nothing holds any more: their content is missing
	// until a client that has it comes. Their bytes are aside, if there are any.
	Lost int `json:"lost"`
	// PendingBlocks and PendingDeletes of the document wait for what is missing.
	PendingBlocks  int `json:"pendingBlocks"`
	PendingDeletes int `json:"pendingDeletes"`
	// Snapshot is the key of the verified state that the repair has stored.
	Snapshot string `json:"snapshot,omitempty"`
	// Repaired: something was changed.
	Repaired bool `json:"repaired"`
}

// Finding is one damaged thing.
type Finding struct {
	// What is "snapshot", "segment", "retired", "authors", "refused", "entry",
	// "history" (entries that no segment holds although one did) or "pending".
	What string `json:"what"`
	// From and To are the positions concerned, (From, To].
	From persistence.Position `json:"from,omitempty"`
	To   persistence.Position `json:"to,omitempty"`
	// Key is the file's, if it is one.
	Key    string `json:"key,omitempty"`
	Damage string `json:"damage"`
	// Remedy says what is done about it.
	Remedy string `json:"remedy"`
	// Aside is where the damaged bytes are kept.
	Aside string `json:"aside,omitempty"`
}

// What a Finding can be, beside kindSnapshot and kindSegment.
const (
	findEntry   = "entry"
	findHistory = "history"
	findPending = "pending"
)

// Repair finds out what is damaged of a document and puts it right from what is
// left: entries out of the log, segments and snapshots, whichever has them. The
// damaged bytes are kept aside before anything of theirs is removed. What
// nothing holds any more is lost: an empty entry stands in its place, so that
// history and positions go on.
//
// The repaired state is stored as verified snapshots under a claim of its own,
// by which an owner that is at work loses the document and loads it anew. All
// entries of the log are held in memory meanwhile. It may be stopped anywhere
// and called again.
//
// Errors: ErrNoDocument, persistence.ErrErased, ErrNewerFormat, ErrAway when the
// stores do not answer, ErrCorrupt when the log's record itself cannot be read
// (Rebuild makes a new one), and ErrVerify.
func (k *Keeper) Repair(ctx context.Context, document string, opts RepairOptions) (Repair, error) {
	report, err := k.repairDocument(ctx, document, opts)
	if err != nil {
		return report, &DocumentError{"repair", document, err}
	}
	return report, nil
}

func (k *Keeper) repairDocument(ctx context.Context, document string, opts RepairOptions) (Repair, error) {
	if k.log == nil {
		return Repair{Document: document}, ErrNoLog
	}
	r, err := k.examine(ctx, document)
	if err != nil || opts.Aside == nil || !r.broken() {
		return r.report, err
	}
	// From here on nobody else writes, so what is found now stays.
	if _, err := k.log.Claim(ctx, document, opts.Owner, r.rec.Epoch); err != nil {
		return r.report, err
	}
	if r, err = k.examine(ctx, document); err != nil {
		return r.report, err
	}
	r.opts = opts
	if err := r.mend(ctx); err != nil {
		return r.report, err
	}
	k.logger.Warn("the document was repaired", zap.String("document", document),
		zap.Int("findings", len(r.report.Findings)), zap.Int("lost", r.report.Lost), zap.String("snapshot", r.report.Snapshot))
	return r.report, nil
}

// repairer is one examination of a document. It belongs to one goroutine.
type repairer struct {
	keeper *Keeper
	opts   RepairOptions
	rec    persistence.Record
	report Repair

	// files are the damaged ones, snapshots the good ones of the generation, by
	// position.
	files     []CheckedFile
	snapshots []CheckedFile
	// entries are the good ones by position: of the log, and of segments where
	// the log lacks one that is needed.
	entries map[persistence.Position]persistence.Entry
	// damaged are the positions of damaged log entries, in order.
	damaged []persistence.Position
	// unstored are ranges of entries that segments should hold, and lack.
	unstored []keyRange
	// segments are the good ones.
	segments []segmentFile
	// pointers: one of the snapshots on record cannot be read.
	pointers bool
	doc      *crdt.Doc
}

// broken tells whether there is anything to repair.
func (r *repairer) broken() bool {
	return len(r.files) > 0 || len(r.damaged) > 0 || r.pointers || r.mendable()
}

// mendable tells whether entries are known that segments should hold.
func (r *repairer) mendable() bool {
	return slices.ContainsFunc(r.unstored, func(u keyRange) bool {
		for p := u.from + 1; p <= u.to; p++ {
			if _, ok := r.entries[p]; ok {
				return true
			}
		}
		return false
	})
}

func (r *repairer) find(f Finding) { r.report.Findings = append(r.report.Findings, f) }

// examine reads everything that there is of a document.
func (k *Keeper) examine(ctx context.Context, document string) (*repairer, error) {
	r := &repairer{keeper: k, report: Repair{Document: document, Findings: []Finding{}}, entries: make(map[persistence.Position]persistence.Entry)}
	rec, err := k.log.Open(ctx, document)
	switch {
	case err != nil:
		return r, err
	case !rec.Tombstone.IsZero():
		return r, persistence.ErrErased
	case !rec.Exists():
		return r, ErrNoDocument
	}
	r.rec = rec
	r.report.Generation, r.report.Head, r.report.Position = rec.Generation, rec.Head, rec.Head
	if _, _, _, err := k.Load(ctx, document); err != nil {
		if !Damaged(err) {
			return r, err
		}
		r.report.Damage = err.Error()
	}
	if err := r.readFiles(ctx); err != nil {
		return r, err
	}
	if err := r.readLog(ctx); err != nil {
		return r, err
	}
	r.findUnstored()
	for _, p := range []persistence.Pointer{rec.Snapshot, rec.Previous} {
		if p.IsZero() {
			continue
		}
		if _, err := k.whole(ctx, rec, p); err != nil {
			if !isDamage(err) {
				return r, err
			}
			r.pointers = true
			if errors.Is(err, ErrNotFound) {
				r.find(Finding{What: kindSnapshot, To: p.Position, Key: p.Key, Damage: err.Error(), Remedy: "the state is stored anew"})
			}
		}
	}
	return r, r.replay(ctx)
}

// readFiles reads all stored files, and keeps the entries of segments.
func (r *repairer) readFiles(ctx context.Context) error {
	// Files of a reset that was cut off say nothing about the document.
	t, err := r.keeper.follow(ctx, r.rec.Document, r.rec.Generation)
	if err != nil {
		return err
	}
	ours := make(map[string]bool)
	for _, f := range t.snapshots {
		ours[f.Key] = true
	}
	for _, f := range t.segments {
		ours[f.key] = true
	}
	for f, err := range r.keeper.Check(ctx, r.rec.Document) {
		if err != nil {
			return err
		}
		place, isSnapshot := snapshotPlace(f.Key)
		held, isSegment := segmentRange(f.Key)
		switch {
		case errors.Is(f.Err, ErrNotFound):
			continue // thinned out meanwhile
		case f.Err != nil && (!isDamage(f.Err) || errors.Is(f.Err, ErrNewerFormat)):
			return f.Err
		case f.Err != nil:
			r.files = append(r.files, f)
			r.find(Finding{What: f.Kind, From: held.from, To: max(held.to, place.position), Key: f.Key, Damage: f.Err.Error(), Remedy: remedyOf(f.Kind)})
			if isSegment && ours[f.Key] {
				r.unstored = append(r.unstored, held)
			}
		case isSnapshot && ours[f.Key]:
			r.snapshots = append(r.snapshots, f)
		case isSegment && ours[f.Key]:
			r.segments = append(r.segments, segmentFile{keyRange: held, key: f.Key})
		}
	}
	slices.SortFunc(r.snapshots, func(a, b CheckedFile) int { return cmp.Compare(a.To, b.To) })
	return nil
}

// remedyOf says what is done about a damaged file.
func remedyOf(kind string) string {
	switch kind {
	case kindRetired:
		return "put aside; the retired clients are written anew, out of the history"
	case kindAuthors:
		return "put aside; who wrote what is told by the file before it, and by the entries that are left"
	case kindRefused:
		return "put aside; it was no part of the document"
	default:
		return "put aside; what it held is stored anew where it is known"
	}
}

// readLog reads the log past its damage, and out of segments what it lacks.
func (r *repairer) readLog(ctx context.Context) error {
	var damage []error
	err := r.keeper.pastDamage(ctx, r.rec, func(e persistence.Entry, why error) {
		if why == nil {
			r.entries[e.Position] = e
			return
		}
		r.damaged = append(r.damaged, e.Position)
		damage = append(damage, why)
	})
	if err != nil {
		return err
	}
	base := r.base()
	for _, s := range r.segments {
		needed := s.to > base && s.from < r.rec.Trimmed
		if !needed && !slices.ContainsFunc(r.damaged, func(p persistence.Position) bool { return s.from < p && p <= s.to }) {
			continue
		}
		entries, err := r.keeper.entriesOf(ctx, r.rec.Document, s)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if _, ok := r.entries[e.Position]; !ok {
				r.entries[e.Position] = e
			}
		}
	}
	for i, p := range r.damaged {
		f := Finding{What: findEntry, From: p - 1, To: p, Damage: damage[i].Error()}
		switch _, held := r.entries[p]; {
		case held:
			f.Remedy = "a history segment has it"
		case p <= base:
			f.Remedy = "an empty entry stands in its place; a snapshot has its content"
		default:
			f.Remedy = "lost: an empty entry stands in its place"
		}
		r.find(f)
	}
	return nil
}

// base is the position of the newest good snapshot, 0 for none.
func (r *repairer) base() persistence.Position {
	if n := len(r.snapshots); n > 0 {
		return r.snapshots[n-1].To
	}
	return 0
}

// findUnstored finds the entries that no good segment holds although segments
// cover the log so far: damaged files, files that are gone, and, when the log
// is damaged, everything after.
func (r *repairer) findUnstored() {
	var covered []keyRange
	for _, s := range r.segments {
		covered = append(covered, s.keyRange)
	}
	slices.SortFunc(covered, func(a, b keyRange) int { return cmp.Compare(a.from, b.from) })
	// What retention has removed is older than everything that is stored.
	at := r.rec.Trimmed
	if len(covered) > 0 {
		at = min(at, covered[0].from)
	}
	for _, u := range r.unstored {
		at = min(at, u.from)
	}
	r.unstored = nil
	to := r.rec.Segmented
	if len(r.damaged) > 0 {
		to = r.rec.Head
	}
	for _, c := range append(covered, keyRange{generation: r.rec.Generation, from: to, to: to}) {
		if c.from > at && at < to {
			gap := keyRange{generation: r.rec.Generation, from: at, to: min(c.from, to)}
			r.unstored = append(r.unstored, gap)
			if gap.from < r.rec.Segmented {
				r.findGap(gap)
			}
		}
		at = max(at, c.to)
	}
}

// findGap tells of entries that no segment holds any more.
func (r *repairer) findGap(g keyRange) {
	known := 0
	g.to = min(g.to, r.rec.Segmented)
	for p := g.from + 1; p <= g.to; p++ {
		if _, ok := r.entries[p]; ok {
			known++
		}
	}
	remedy := "the history of these positions is lost; the state is not"
	switch {
	case known == int(g.to-g.from):
		remedy = "stored anew out of the log"
	case known > 0:
		remedy = fmt.Sprintf("%d of them are stored anew out of the log; the history of the others is lost", known)
	}
	r.find(Finding{What: findHistory, From: g.from, To: g.to, Damage: "no readable segment holds these entries", Remedy: remedy})
}

// replay makes the document of the newest good snapshot and the entries after
// it that there are.
func (r *repairer) replay(ctx context.Context) error {
	r.doc = replayDoc()
	at := r.base()
	if at > 0 {
		f := r.snapshots[len(r.snapshots)-1]
		file, err := r.keeper.store.Get(ctx, f.Key, maxFileBytes)
		if err != nil {
			return err
		}
		_, state, err := DecodeSnapshot(file)
		if err == nil {
			_, err = r.doc.Apply(nil, crdt.V2, state)
		}
		if err != nil {
			return &FileError{f.Key, err}
		}
	}
	trimmed := 0 // of what is lost, what the log does not hold
	for p := at + 1; p <= r.rec.Head; p++ {
		e, ok := r.entries[p]
		if !ok {
			r.report.Lost++
			if p <= r.rec.Trimmed {
				trimmed++
			}
			continue
		}
		if _, err := r.doc.Apply(nil, crdt.V1, e.Update); err != nil {
			return &persistence.Error{Op: "replay", Document: r.rec.Document, Position: p, Err: fmt.Errorf("%w: %w", persistence.ErrCorrupt, err)}
		}
	}
	if trimmed > 0 {
		r.find(Finding{
			What: findHistory, From: at, To: r.rec.Trimmed, Damage: "no good snapshot, and neither log nor segments hold all entries",
			Remedy: fmt.Sprintf("%d entries are lost until a client brings their content back", trimmed),
		})
	}
	pending := r.doc.Pending()
	r.report.PendingBlocks, r.report.PendingDeletes = pending.Blocks, pending.Deletes
	if !pending.Empty() {
		r.find(Finding{
			What: findPending, Damage: fmt.Sprintf("%d blocks and %d deletions wait for what is missing", pending.Blocks, pending.Deletes),
			Remedy: "kept: they count when a client brings what is missing",
		})
	}
	return nil
}

// asideName is the name under which the bytes of a file are kept.
func asideName(key string) string { return strings.ReplaceAll(path.Clean(key), "/", ".") }
