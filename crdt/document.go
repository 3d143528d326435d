package crdt

import (
	"math/rand/v2"
)

// Options configure a Doc. The zero value is valid.
type Options struct {
	// ClientID names this replica in the blocks it makes; at most MaxClientID.
	// 0 draws a random one of 32 bits, as Yjs does.
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
	// Limits bound what Apply accepts.
	Limits Limits
}

// Doc is one document. It is confined to one goroutine.
type Doc struct {
	// static after New
	opts   Options
	limits Limits
	// rehearsal says that this is a copy on which a doubtful update is tried.
	rehearsal bool

	// blocks
	slab        slab
	arena       arena
	seam        seam
	clients     []client // by clientRef; 0 is never used
	clientIndex map[ClientID]clientRef
	lastClient  clientRef // the client last looked up

	// types
	branches   []branch // by branchRef; 0 is never used
	chains     []chain  // by chainRef; 0 is never used
	chainIndex map[uint64]chainRef
	roots      map[keyRef]branchRef
	rootOrder  []branchRef
	keys       []string // by keyRef; 0 is never used
	keyIndex   map[string]keyRef
	keyBytes   int

	// conflict resolution scratch, see integrate.go
	stamps    []uint32
	stampNext uint32
	siblings  map[siblingKey]*siblings

	maxDepth int // of all types ever integrated

	// redone leads from an item to the one that redid it (Yjs: Item.redone).
	redone map[itemRef]ID
	undo   []*UndoManager

	pending pending

	// self is the client that local blocks are made by.
	self ClientID
	// tx is the open transaction; cleanups are those not yet cleaned up.
	tx       *Txn
	cleanups []*Txn
	epoch    uint64 // number of the newest transaction
	spare    *Txn   // used again by the next transaction

	types typeState
	watch *watchers // nil while nobody watches
}

// New returns an empty document.
func New(opts Options) *Doc {
	self := opts.ClientID
	if self == 0 || self > MaxClientID {
		self = newClientID()
	}
	return &Doc{
		opts:     opts,
		limits:   opts.Limits.withDefaults(),
		clients:  make([]client, 1, 2),
		branches: make([]branch, 1, 4),
		chains:   make([]chain, 1, 4),
		keys:     make([]string, 1, 4),
		self:     self,
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
func (d *Doc) GUID() string { return d.opts.GUID }

// item returns an item; see slab.at for how long the pointer lives.
func (d *Doc) item(r itemRef) *item { return d.slab.at(r) }

// Bytes is about how much memory the document takes. It costs nothing to ask.
func (d *Doc) Bytes() int {
	const entry, perBranch, perChain, perKey, perClient = 8, 48, 40, 48, 120
	return d.slab.bytes() + cap(d.arena.buf) + d.slab.live*entry +
		len(d.branches)*perBranch + len(d.chains)*perChain +
		len(d.keys)*perKey + d.keyBytes + len(d.clients)*perClient + d.pending.bytes
}
