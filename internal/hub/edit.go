package hub

import (
	"context"
	"time"

	"ysync/crdt"
	"ysync/persistence"
)

// Terms are under what conditions the server changes a document.
type Terms struct {
	// Author becomes that of the log entry.
	Author string
	// New: only a document that was never written; ErrExists otherwise.
	New bool
	// At: only while the newest position is this one, committed or not;
	// ErrChanged otherwise. Nil for any.
	At *persistence.Position
}

// Outcome is what became of a change.
type Outcome struct {
	// Position is the newest position when the change was made. Everything up
	// to it is durable.
	Position persistence.Position
	// Changed: it changed the document.
	Changed bool
	// Added and Deleted count the units that it brought and deleted.
	Added, Deleted uint64
	// Pending: part of it waits for updates that the document lacks.
	Pending bool
}

// OutcomeOf is the outcome of a commit, but for its position.
func OutcomeOf(commit *crdt.Commit) Outcome {
	o := Outcome{Changed: !commit.Empty(), Pending: commit.LeftPending()}
	for _, r := range commit.Added() {
		o.Added += uint64(r.Len())
	}
	deletes := commit.Deletes()
	for _, r := range deletes.All() {
		o.Deleted += uint64(r.Len())
	}
	return o
}

// Edit runs fn in a transaction on a document, loading it as needed, as an edit
// of a client ID that is fresh with every load. It returns when the log has
// committed it; the sessions see it at once. fn runs on the goroutine that
// serves the document, must not block, and must not keep the transaction.
//
// Errors: those of the transaction (what it did before it failed stays),
// ErrInvalidName, ErrClosed, ErrExists, ErrChanged, ErrNotCommitting, and
// ErrEnded when the document was erased, moved or could not be loaded. After
// ErrEnded and the context's error it may have happened or not.
func (h *Hub) Edit(ctx context.Context, document string, t Terms, fn func(*crdt.Txn)) (Outcome, error) {
	return h.change(ctx, document, &change{terms: t, edit: fn})
}

// Apply is Edit with an update V1, which it takes over. It fails also with
// ErrTooLarge, crdt.ErrMalformed and crdt.ErrLimit.
func (h *Hub) Apply(ctx context.Context, document string, t Terms, update []byte) (Outcome, error) {
	return h.change(ctx, document, &change{terms: t, update: update})
}

// Seed gives a document that was never written its initial content, an update
// V1, which it takes over. key (1 to persistence.MaxSeedKey bytes) makes that
// happen once: whoever seeds with the key of the content that is there is told
// that nothing changed. ErrExists when there is other content. The other errors
// are those of Apply.
func (h *Hub) Seed(ctx context.Context, document, author, key string, update []byte) (Outcome, error) {
	if !persistence.ValidSeedKey(key) {
		return Outcome{}, ErrInvalidKey
	}
	return h.change(ctx, document, &change{terms: Terms{Author: author}, seed: key, update: update})
}

func (h *Hub) change(ctx context.Context, document string, order *change) (Outcome, error) {
	r := &request{change: order}
	if err := h.ask(ctx, document, cmdChange, r); err != nil {
		return Outcome{}, err
	}
	return r.outcome, r.err
}

// Erase puts a tombstone into the log, ends the document's subscriptions with
// CodeErased, and forgets its refused updates. When it returns without an error,
// this process stores nothing of the document any more, so that its snapshots
// and segments can be removed for good. Erasing again does no harm.
func (h *Hub) Erase(ctx context.Context, document string) error {
	if !persistence.ValidName(document) {
		return ErrInvalidName
	}
	if err := h.opt.Log.Erase(ctx, document, h.opt.Now()); err != nil {
		return err
	}
	h.recovered(document)
	r := &request{done: make(chan struct{})}
	if d := h.find(document, command{kind: cmdErased, request: r}); d != nil {
		if err := waitFor(ctx, r.done); err != nil {
			return err
		}
		d.mu.Lock()
		job := d.job
		d.mu.Unlock()
		if job != nil {
			if err := waitFor(ctx, job); err != nil {
				return err
			}
		}
	}
	// No session can have anything refused any more.
	if storing := h.sick.forget(document); storing != nil {
		return waitFor(ctx, storing)
	}
	return nil
}

// Reset begins the document's next generation: what from holds, or what is there
// now when from is nil, made anew by one fresh client. All clients of before are
// retired for good, and sessions end with CodeReset; so does every later one that
// brings anything of theirs. It returns the new generation. Until then nothing is
// taken in; what a client made meanwhile and was not told to be saved is lost
// with its old copy. from is the hub's from now on.
//
// Errors: ErrNotFound, ErrClosed, ErrInvalidName, ErrNotCommitting when another
// reset is under way, ErrEnded when the document moved or it is not known whether
// it happened, and those of the stores. After ErrEnded and the context's error it
// may have happened, or may still.
func (h *Hub) Reset(ctx context.Context, document, author string, from *crdt.Doc) (persistence.Generation, error) {
	r := &request{reset: &resetOrder{author: author, from: from}}
	if err := h.ask(ctx, document, cmdReset, r); err != nil {
		return 0, err
	}
	return r.record.Generation, r.err
}

// DocumentStats are figures of a document that is in memory.
type DocumentStats struct {
	Subscriptions, Writers int
	// Presences are the clients that are shown as being there.
	Presences int
	// Version is the position of the newest update taken in, Committed that of
	// the newest one that the log has confirmed.
	Version, Committed persistence.Position
	UncommittedBytes   int
	// MemoryBytes is what the document takes in memory.
	MemoryBytes int
	// Units are those that it was ever given.
	Units   crdt.Units
	Pending crdt.Pending
	// Owned: the newest claim of the document is this process's.
	Owned bool
	// Discarding: updates are set aside because the log does not commit.
	Discarding bool
	// Tail is what the log holds beyond the newest snapshot.
	Tail persistence.Tail
	// Unsegmented is when the oldest entry came that no history segment holds;
	// the zero time for none.
	Unsegmented time.Time
	// Storing: a snapshot or segment is being written.
	Storing bool
}

// Inspect returns the figures of a document. loaded is false when it is not in
// memory; Inspect does not load it.
func (h *Hub) Inspect(ctx context.Context, document string) (stats DocumentStats, loaded bool, err error) {
	r := &request{done: make(chan struct{})}
	if h.find(document, command{kind: cmdInspect, request: r}) == nil {
		return DocumentStats{}, false, nil
	}
	if err := waitFor(ctx, r.done); err != nil {
		return DocumentStats{}, false, err
	}
	return r.stats, r.err == nil, nil
}

// Limits returns the limits in force, defaults filled in.
func (h *Hub) Limits() Limits { return h.limits }
