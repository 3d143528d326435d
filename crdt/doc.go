// Package crdt is the engine: documents that merge.
//
// A Doc holds one Yjs 13.6 document: text, arrays, maps and XML, made of
// blocks that every replica can integrate in any order and end with the same
// result. The package does no I/O, starts no goroutine, takes no lock and
// reads no clock. A Doc is confined to one goroutine, as a map is.
//
// # Model
//
// Every unit of content has an ID: the client that made it and that client's
// clock. A run of units with consecutive clocks is a block:
//
//   - an item carries content, the IDs of the units left and right of it when
//     it was made (origin and right origin) and its place (a parent type and,
//     for maps and attributes, a key);
//   - a gc block remembers only that its clocks are used;
//   - a skip stands in an update for clocks that the update lacks. A Doc never
//     holds one.
//
// Items that live in the same place form a chain: the sequence of a type, or
// the history of one key, whose last item is the value. Concurrent items are
// ordered by the YATA rules (integrate.go). A deletion is a range of IDs and is
// never undone on the wire; all deletions together are the delete set.
//
// # Layout
//
// Items live in slabs of integers without Go pointers (arena.go) and name each
// other by number. Client IDs, keys and root names are interned. Text and
// encoded values live in one append-only arena of bytes; values are decoded
// when they are read. Per client, an index in clock order leads from an ID to
// its block (blockstore.go). Applying an update of another replica needs no
// position index.
//
// # Invariants
//
//  1. The blocks of a client start at clock 0, are contiguous and do not overlap.
//  2. left and right of the items of a chain mirror each other; the first item
//     has no left, the last no right.
//  3. All items of a chain have its parent and key, and no item is in two chains.
//  4. In the chain of a key only the last item may be not deleted.
//  5. A type's length is the sum of the lengths of its countable items that are
//     not deleted.
//  6. The delete set is exactly the gc blocks and the deleted items.
//  7. Below a deleted type everything is deleted.
//  8. An update is applied entirely or not at all.
//  9. What a Doc appends to an update never holds a skip, except AppendState,
//     AppendStateDiff and AppendStored, which carry pending blocks.
//  10. An item that was brought back by undoing stays deleted and never merges;
//     the document leads from it to its copy, whose clocks are newer. What a
//     step of an UndoManager deleted is deleted, and all its units are known.
//
// Doc.Check verifies them.
//
// # Using it
//
// Doc.Transact edits and returns a Commit, whose AppendUpdate gives the bytes for
// other replicas; Doc.Apply takes theirs. Updates may come in any order, twice, or
// too early: what lacks something waits (Doc.Pending). Replicas that were apart ask
// with their StateVector and are answered with AppendDiff. A server stores
// AppendStored, or the updates as they came, made smaller by Compact.
//
// Positions and lengths of text count UTF-16 code units, those of lists elements.
// Strings are WTF-8: UTF-8 that may hold half a surrogate pair, as JavaScript's
// may. Handles such as Text are values; one of a deleted type reads what is left
// and refuses edits.
//
// Bytes of strangers are safe to apply: they are read whole and judged before
// anything changes, and what they may cost is bounded by Options.Limits. Errors are
// *UpdateError, with the byte at which reading stopped, and wrap ErrMalformed or
// ErrLimit. Operations that cannot be done fail their transaction with ErrRange,
// ErrValue or ErrCollected; those before them stay.
//
// # Undoing
//
// An UndoManager remembers which units the transactions of some origins
// inserted and deleted, in steps. To undo a step is a transaction like any
// other: what was inserted is deleted, and what was deleted comes back as a
// copy with new IDs in the place of the old. Such content is kept from
// collection for as long as a step may bring it back.
//
// # The past
//
// A Snapshot is a state vector and a delete set. With Options.KeepDeleted, types
// read as they were at one: by the methods that take a Snapshot, and by Doc.At as
// a document of its own. Changes tells what was added, removed and formatted
// between two snapshots, and by which clients; Authors tells whose content is
// there now. None of them changes the document. A RelativePosition names a place
// by the unit next to it; Doc.Resolve finds it again after edits.
//
// Txn.Revert brings a moment back by ordinary edits, given the document as it was then. It goes by IDs:
// the sequence of items that are not deleted becomes that of then, formats among them, where what lives
// at both moments stays. Doc.Rewrite leaves the history behind.
//
// # Sources
//
// The behaviour is that of Yjs 13.6 (its file INTERNALS.md is the shortest
// description) and of the paper "Near Real-Time Peer-to-Peer Shared Editing on
// Extensible Data Types" (YATA). Comments name the Yjs file and function
// that a function answers to.
package crdt
