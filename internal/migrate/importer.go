package migrate

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"ysync/crdt"
	"ysync/persistence"
	"ysync/snapshots"
)

// Author is the author of imported entries in the log.
const Author = "import"

// EntryBytes is about how long an entry of the log is that an import writes. One
// value of a document that is longer than this is not cut.
const EntryBytes = 1 << 20

// workers is how many documents are imported at once: their writes share commits.
const workers = 8

// Outcome is what became of one document.
type Outcome string

// The outcomes of a document.
const (
	// Imported: it was written, read back and compared; with Importer.DryRun
	// it would be.
	Imported Outcome = "imported"
	// Unchanged: the document is here already, exactly as in the source.
	Unchanged Outcome = "unchanged"
	// Empty: nobody ever edited it, so that there is nothing to import.
	Empty Outcome = "empty"
	// Exists: another document of this name is here. It was not touched.
	Exists Outcome = "exists"
	// Erased: a document of this name was erased here, which is for good.
	Erased Outcome = "erased"
	// Refused: the name cannot be one here.
	Refused Outcome = "refused"
	// Damaged: the source does not hold it whole. Nothing was written.
	Damaged Outcome = "damaged"
	// Failed: reading or writing failed here.
	Failed Outcome = "failed"
)

// Good tells whether the document is here as it is in the source.
func (o Outcome) Good() bool {
	return o == Imported || o == Unchanged || o == Empty || o == Moved || o == Removed
}

// Result is what became of one document.
type Result struct {
	// Source is the name in the source, Document the one here.
	Source, Document string
	// Updates and Bytes are what was read.
	Updates, Bytes int
	Outcome        Outcome
	// Notes tell what a person should know beside the outcome.
	Notes []string
	// Err is why the outcome is not good, or nil.
	Err error
}

// Importer copies documents from a source.
type Importer struct {
	Source Source
	// Log and Keeper are where documents go. With DryRun they may be nil, when
	// there is nothing yet.
	Log    persistence.Log
	Keeper *snapshots.Keeper
	// Owner names this run in the claims of documents.
	Owner string
	// Now is the time of what is written.
	Now func() time.Time
	// Name is what a document of the source is called here.
	Name func(string) (string, error)
	// DryRun reads and compares and writes nothing.
	DryRun bool
}

// Run imports the documents of these names and hands each result to done, in
// the order in which they end, one at a time. A document that cannot be imported
// does not stop the others; what makes all of them fail does, and is the error.
func (im *Importer) Run(ctx context.Context, names []string, done func(Result)) error {
	var mu sync.Mutex
	taken := map[string]string{}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(workers)
	for _, name := range names {
		if ctx.Err() != nil {
			break
		}
		r := Result{Source: name}
		var err error
		if r.Document, err = im.Name(name); err == nil {
			if other, twice := taken[r.Document]; twice {
				err = fmt.Errorf("%q is the same document here", other)
			}
			taken[r.Document] = name
		}
		group.Go(func() error {
			if err != nil {
				r.Outcome, r.Err = Refused, err
			} else {
				im.document(ctx, &r)
			}
			mu.Lock()
			defer mu.Unlock()
			done(r)
			if errors.Is(r.Err, persistence.ErrReadOnly) || errors.Is(r.Err, persistence.ErrClosed) {
				return r.Err
			}
			return ctx.Err()
		})
	}
	return group.Wait()
}

// document imports the document of r and fills in the rest of it.
func (im *Importer) document(ctx context.Context, r *Result) {
	stored, err := im.Source.Read(ctx, r.Source)
	r.Updates, r.Bytes, r.Notes = len(stored.Updates), stored.Bytes(), stored.Notes
	var doc *crdt.Doc
	if err == nil {
		doc, err = rebuild(&stored)
	}
	if err != nil {
		r.Err, r.Outcome = err, Failed
		if errors.Is(err, ErrDamaged) || errors.Is(err, ErrTooLarge) {
			r.Outcome = Damaged
		}
		return
	}
	if waits := doc.Pending(); !waits.Empty() {
		r.Notes = append(r.Notes, fmt.Sprintf("%d blocks and %d deletions wait for edits that the source lacks", waits.Blocks, waits.Deletes))
	} else if doc.StateVector().Len() == 0 {
		r.Outcome = Empty
		return
	}
	r.Outcome, r.Err = im.store(ctx, r.Document, doc, &stored)
}

// rebuild applies everything that the source has of a document. Collecting
// garbage as the server will, but without its clean-up of formats: a document is
// what its clients sent.
func rebuild(stored *Stored) (*crdt.Doc, error) {
	doc := crdt.New(crdt.Options{NoFormatCleanup: true, RetryAll: true})
	for i, update := range stored.Updates {
		if _, err := doc.Apply(nil, crdt.V1, update); err != nil {
			return nil, damaged("update %d of %d does not apply: %w", i+1, len(stored.Updates), err)
		}
	}
	if !doc.StateVector().Contains(stored.Known) {
		return nil, damaged("its updates lack edits that its own state vector names")
	}
	return doc, nil
}

// store writes the document unless one of its name is there.
func (im *Importer) store(ctx context.Context, name string, doc *crdt.Doc, stored *Stored) (Outcome, error) {
	if im.Log == nil {
		return Imported, nil
	}
	record, err := im.Log.Open(ctx, name)
	switch {
	case err != nil:
		return Failed, err
	case !record.Tombstone.IsZero():
		return Erased, fmt.Errorf("it was erased here on %s", record.Tombstone.Format(time.RFC3339))
	case record.Head > 0:
		return im.compare(ctx, name, doc)
	case im.DryRun:
		return Imported, nil
	}
	// A record without entries is what an import left that ended in between.
	if record, err = im.Log.Claim(ctx, name, im.Owner, record.Epoch); err != nil {
		return Failed, err
	}
	if err := im.write(ctx, record, doc, stored); err != nil {
		return Failed, err
	}
	back, _, _, err := im.Keeper.Load(ctx, name)
	if err != nil {
		return Failed, fmt.Errorf("reading back what was written: %w", err)
	}
	if err := difference(doc, back); err != nil {
		return Failed, fmt.Errorf("what was written reads back otherwise: %w", err)
	}
	return Imported, nil
}

// compare says what a document that is here already has to do with the one of
// the source.
func (im *Importer) compare(ctx context.Context, name string, doc *crdt.Doc) (Outcome, error) {
	here, _, _, err := im.Keeper.Load(ctx, name)
	if err != nil {
		return Failed, err
	}
	if difference(doc, here) == nil {
		return Unchanged, nil
	}
	deletes, known := doc.Deletes(), here.Deletes()
	deletes.Subtract(&known)
	if here.StateVector().Contains(doc.StateVector()) && deletes.Empty() {
		return Exists, errors.New("it exists, with all edits of the source and others")
	}
	return Exists, errors.New("it exists, and lacks edits of the source")
}

// write appends the document in one commit, then puts it where a store of
// snapshots alone is enough to have it back.
func (im *Importer) write(ctx context.Context, record persistence.Record, doc *crdt.Doc, stored *Stored) error {
	at := im.Now()
	batch := persistence.Batch{Document: record.Document, Generation: record.Generation, Epoch: record.Epoch}
	add := func(update []byte) {
		batch.Entries = append(batch.Entries, persistence.NewEntry{Time: at, Author: Author, Update: update})
	}
	if doc.Pending().Empty() {
		for chunk := range doc.Chunks(crdt.StateVector{}, EntryBytes) {
			add(chunk)
		}
	} else {
		// What waits is in no chunk. The updates as they are have all of it.
		for _, update := range stored.Updates {
			add(update)
		}
	}
	if err := im.Log.Append(ctx, []persistence.Batch{batch})[0].Err; err != nil {
		return err
	}
	record, err := im.Log.Open(ctx, record.Document)
	if err != nil {
		return err
	}
	to, err := im.Keeper.Segment(ctx, record, record.Head)
	if err != nil {
		return err
	}
	if err := im.Log.SetSegmented(ctx, record.Document, record.Epoch, to); err != nil {
		return err
	}
	if len(batch.Entries) == 1 {
		return nil
	}
	pointer, err := im.Keeper.Save(ctx, record, record.Head, at, Author, doc.AppendStored(nil, crdt.V2))
	if err != nil {
		return err
	}
	return im.Log.SetSnapshot(ctx, record.Document, record.Epoch, pointer)
}
