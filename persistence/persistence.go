package persistence

import (
	"context"
	"crypto/sha256"
	"iter"
	"time"
)

// Position is the place of an entry in its document's log. The first entry of
// a generation has position 1; 0 means "before the first".
type Position uint64

// Epoch is a fencing number: it grows by one with every claim of a document.
// 0 means that nobody has claimed it yet.
type Epoch uint64

// Generation counts the histories of a document. 1 is the first; 0 means that
// the document was never written.
type Generation uint64

// Pointer names one stored snapshot.
type Pointer struct {
	// Position is the newest log entry that the snapshot contains.
	Position Position
	// Key is the snapshot's key in the snapshot store; empty for no snapshot.
	Key string
	// SHA256 is the digest of the stored object.
	SHA256 [sha256.Size]byte
}

// IsZero reports whether p names no snapshot.
func (p Pointer) IsZero() bool { return p.Key == "" }

// Record is what the log knows about one document beside its entries. The zero
// Record (but for Document) is that of a document which was never written.
type Record struct {
	Document   string
	Generation Generation
	// Epoch and Owner are those of the newest claim. Owner is the boot ID of
	// the process that made it.
	Epoch Epoch
	Owner string
	// Head is the position of the newest entry.
	Head Position
	// Trimmed is the newest position that is gone from the log. Entries
	// Trimmed+1 … Head are readable.
	Trimmed Position
	// Segmented is the newest position that history segments cover.
	Segmented Position
	// Snapshot is the newest verified snapshot, Previous the one before it.
	Snapshot, Previous Pointer
	// Updated is the time of the newest entry.
	Updated time.Time
	// Tombstone is when the document was erased; the zero time if it was not.
	Tombstone time.Time
	// SeedKey is the idempotency key of the initial content, if it was seeded.
	SeedKey string
}

// Exists reports whether the document was ever written.
func (r Record) Exists() bool { return r.Generation != 0 }

// Entry is one logged update.
type Entry struct {
	Position Position
	Epoch    Epoch
	// Time is when the owner received the update, in whole milliseconds, never
	// before the entry in front of it.
	Time time.Time
	// Author is the subject of the grant under which the update came; empty in
	// open mode.
	Author string
	// Update is the update's bytes (update V1).
	Update []byte
}

// NewEntry is an entry before the log gave it a position.
type NewEntry struct {
	Time   time.Time
	Author string
	Update []byte
}

// Batch is what one document appends in one commit. Entries is not empty and
// is not retained after Append returned.
type Batch struct {
	Document   string
	Generation Generation
	Epoch      Epoch
	Entries    []NewEntry
}

// Result is the outcome of one Batch: positions First … Last are durable when
// Err is nil, and nothing of the batch is in the log when it is not (but see
// ErrUnknown). Err wraps ErrFenced, ErrErased, ErrReadOnly or the store's fault.
type Result struct {
	First, Last Position
	Err         error
}

// Log is the update log. All methods may be called from any goroutine.
//
// Every method but Close refuses with ErrClosed after Close, with the
// context's error when the context ended before the call took effect (a commit
// under way is waited for, not abandoned) and with ErrInvalid for a name that
// ValidName refuses. Where several refusals apply, the order is ErrInvalid for
// the arguments, ErrErased, ErrFenced, then what the record forbids.
//
// What Open, Read and List return is durable.
type Log interface {
	// Open reads a document's record. A document that was never written gives
	// a Record with Generation 0 and no error.
	Open(ctx context.Context, document string) (Record, error)

	// Claim makes owner (a boot ID) the only writer of the document, if its
	// epoch is still seen; it creates the record of a new document. The
	// returned record has epoch seen+1. Errors: ErrFenced when the epoch is
	// not seen any more, ErrErased for a tombstone.
	Claim(ctx context.Context, document, owner string, seen Epoch) (Record, error)

	// Append commits the batches, each of another document, durably and
	// together as far as the backend can; result i is that of batch i. It
	// returns after the commit. The error of each result is an *Error.
	Append(ctx context.Context, batches []Batch) []Result

	// Read yields the entries after position `after`, in order, as of one
	// moment. Entry.Update belongs to the caller. The first error ends the
	// sequence: ErrTrimmed when the entry after+1 is gone, ErrCorrupt when
	// an entry or its place in the row is damaged, ErrErased for a tombstone.
	// A position at or past the head yields nothing.
	Read(ctx context.Context, document string, after Position) iter.Seq2[Entry, error]

	// SetSnapshot records a verified snapshot newer than the newest: Previous
	// becomes Snapshot, Snapshot becomes p. Durable when it returns. ErrInvalid
	// when p is past the head or not newer than Snapshot; setting the newest
	// pointer again changes nothing and is no error.
	SetSnapshot(ctx context.Context, document string, epoch Epoch, p Pointer) error

	// SetSegmented records that history segments cover the log up to
	// position p. Durable when it returns. It never goes back: an older p
	// changes nothing and is no error. ErrInvalid when p is past the head.
	SetSegmented(ctx context.Context, document string, epoch Epoch, p Position) error

	// SetSeed records the idempotency key of the initial content, which the
	// caller appends next, as the first entry. Durable when it returns.
	// ErrInvalid for an empty key, one over MaxSeedKey, and when the document
	// has entries and another key, or none. Setting the key again that is on
	// record changes nothing and is no error.
	SetSeed(ctx context.Context, document string, epoch Epoch, key string) error

	// Trim removes the entries up to position upTo. ErrTrimTooFar when that
	// would pass Previous.Position or Segmented. What is trimmed already
	// changes nothing and is no error. It frees the space in time; it need not
	// be durable when it returns.
	Trim(ctx context.Context, document string, epoch Epoch, upTo Position) error

	// Reset begins the document's next generation: its only content is the
	// snapshot p, at position FirstOfReset, of which a history segment holds the
	// same as an entry. Positions go on from there. The entries of the generation
	// before leave the log; segments must hold them all: ErrTrimTooFar otherwise.
	// head is where the caller saw it end; ErrInvalid when it ends elsewhere. A
	// reset is a claim of nobody: the epoch grows by one, the owner is empty, and
	// whoever wrote before, the caller too, is fenced. The record keeps SeedKey.
	// Durable when it returns.
	Reset(ctx context.Context, document string, epoch Epoch, head Position, p Pointer) error

	// Erase removes the entries and pointers of a document and leaves a
	// tombstone, which refuses every later claim and append, also for a name
	// that was never written. The record keeps Generation (at least 1), Epoch
	// and Head; Trimmed becomes Head. Erasing an erased document is no error
	// and keeps the first tombstone. Durable when it returns.
	Erase(ctx context.Context, document string, at time.Time) error

	// List yields the records of all documents whose name is greater than
	// after, ordered by name (bytewise), tombstones included. Any string is
	// good for after. A document written while the sequence runs may or may
	// not appear.
	List(ctx context.Context, after string) iter.Seq2[Record, error]

	// Close refuses new calls, waits for those under way and releases the
	// store, which can then be opened again. A sequence under way ends with
	// ErrClosed at its next element; Close must not be called from inside one.
	// A second Close returns ErrClosed.
	Close() error
}

// Tail tells how much log a loaded document replayed on top of its snapshot.
type Tail struct {
	Entries int
	Bytes   int
}
