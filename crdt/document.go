package crdt

import (
	"math/rand/v2"

	"ysync/internal/fault"
)

// Options configure a Doc. The zero value is valid.
type Options struct {
	// ClientID names this replica in the blocks it makes. 0, and what is beyond
	// MaxClientID, draws a random one of 32 bits, as Yjs does.
	ClientID ClientID
	// GUID is the name under which a parent document knows this one.
	GUID string
	// KeepDeleted keeps the content of deleted items, so that the past stays
	// readable (Yjs: gc: false).
	KeepDeleted bool
	// NoFormatCleanup turns off the removal of redundant format items after
	// remote changes. A server sets it: then a document is exactly what its
	// clients sent. Local edits clean up regardless.
	NoFormatCleanup bool
	// RetryAll has everything that waits integrated as soon as it can be. Yjs keeps
	// but one clock for each client that is waited for, so that it leaves something
	// waiting though nothing is missing, until another update has it try again; what
	// updates come to then depends on how they were cut. A server sets it: what is
	// in its log must be there when the log is replayed.
	RetryAll bool
	// Limits bound what Apply accepts.
	Limits Limits
}

// Doc is one document. It is confined to one goroutine.
type Doc struct {
	// static after New
	guid            string
	limits          *Limits // not written to: documents share the defaults
	keepDeleted     bool
	noFormatCleanup bool
	retryAll        bool
	// rehearsal says that this is a copy on which a doubtful update is tried.
	rehearsal bool

	// blocks
	lastClient clientRef // the client last looked up
	slab       slab
	arena      arena
	seam       seam
	clients    []*client // by clientRef; 0 is noClient

	// types
	branches []branch // by branchRef; 0 is never used
	chains   []chain  // by chainRef; 0 is never used
	keys     []byte   // see keyRef
	// The roots are linked by branch.nextRoot.
	firstRoot, lastRoot branchRef
	maxDepth            uint32 // of all types ever integrated

	// Most documents that are open are small and idle. What these do not need is
	// made when it is first needed.
	index     *indexes   // nil while all is few
	conflicts *conflicts // nil until items conflict
	types     *typeState // nil until a position is looked for
	watch     *watchers  // nil while nobody watches
	pending   *pending   // nothingWaits until something does
	// redone leads from an item to the one that redid it (Yjs: Item.redone).
	redone map[itemRef]ID

	// self is the client that local blocks are made by.
	self ClientID
	// tx is the open transaction.
	tx    *Txn
	work  *work  // nil until the first transaction, and after a large first update
	epoch uint64 // number of the newest transaction
}

// work are the transactions of a document.
type work struct {
	cleanups []*Txn // not yet cleaned up
	spare    *Txn   // used again by the next transaction
}

// indexes find what there are more than few of.
type indexes struct {
	clients refTable // by ID
	chains  refTable // by type and key
	roots   refTable // by name
	keys    refTable // by their bytes
}

// indexed returns the indexes of the document, making them as needed.
func (d *Doc) indexed() *indexes {
	if d.index == nil {
		d.index = new(indexes)
	}
	return d.index
}

// New returns an empty document.
func New(opts Options) *Doc {
	self := opts.ClientID
	if self == 0 || self > MaxClientID {
		self = newClientID()
	}
	return &Doc{
		guid:            opts.GUID,
		limits:          opts.Limits.withDefaults(),
		keepDeleted:     opts.KeepDeleted,
		noFormatCleanup: opts.NoFormatCleanup && !fault.Active(fault.CleanFormats),
		retryAll:        opts.RetryAll,
		clients:         append(make([]*client, 0, 2), &noClient),
		branches:        make([]branch, 1, 4),
		chains:          make([]chain, 1, 4),
		keys:            make([]byte, 1, 32),
		pending:         &nothingWaits,
		self:            self,
	}
}

// newClientID draws a client ID (Yjs: generateNewClientId).
func newClientID() ClientID {
	for {
		if id := ClientID(rand.Uint32()); id != 0 {
			return id
		}
	}
}

// ClientID is the client that local edits are made by. It changes when a
// remote update turns out to use the same one.
func (d *Doc) ClientID() ClientID { return d.self }

// GUID is the name given in Options.
func (d *Doc) GUID() string { return d.guid }

// item returns an item; see slab.at for how long the pointer lives.
func (d *Doc) item(r itemRef) *item { return d.slab.at(r) }

// Bytes is about how much memory the document takes. It costs nothing to ask.
func (d *Doc) Bytes() int {
	const entry, perBranch, perChain, perClient = 8, 48, 40, 120
	return d.slab.bytes() + cap(d.arena.buf) + int(d.slab.live)*entry +
		len(d.branches)*perBranch + len(d.chains)*perChain +
		2*len(d.keys) + len(d.clients)*perClient + d.pending.bytes
}
