// Package persistence is the contract of the update log: what a document has
// on record, how updates are appended to it, read back and trimmed, and which
// errors a caller can tell apart. Backends live in packages of their own and
// pass one conformance suite (persistencetest).
//
// # Model
//
// A document is a name. Its log is a dense row of entries, positions 1, 2, 3 …
// within a generation. Beside the entries stands one Record per document, and
// every change of either is fenced: it names the epoch that the writer claimed,
// and the log refuses a writer whose epoch is not the newest.
//
// # Guarantees of every backend
//
//  1. Append returns nil for a document only when its entries are durable.
//  2. Entries of one Append are all there or none, per document.
//  3. Positions are dense; an entry's epoch and time never decrease.
//  4. After Claim(e) returned, no append, mark or trim under an epoch before e
//     takes effect.
//  5. Open, Read and List write nothing: a document that was never written has
//     no record.
//  6. Trim never passes the second newest verified snapshot, nor what history
//     segments already cover.
//  7. A damaged entry is an error that names document and position, never a
//     silently shorter log.
package persistence
