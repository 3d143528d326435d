// Package hub owns documents: it applies what sessions send, gives every
// change its place in one order, has the log commit it, and hands each session
// the frames that bring its client up to date. It knows no socket, token or
// address.
//
// A document is a pure core (core*.go: a value, its inputs are commands and
// its outputs effects) and a driver around it. At most one runner at a time
// steps the core of a document; it is scheduled from a fair queue while the
// document's inbox is not empty, so an idle document has no goroutine. Batches
// form by themselves: whatever waits in the inbox when the runner comes is one
// step, one entry list for the log and one frame for the readers.
//
// # Order
//
// Every update that the log must hold gets the document's next version when it
// is applied. A version is the position that the entry will have in the log:
// the log is dense and the document has one writer. It is known before the
// commit, and means nothing to anyone else until then.
//
// Updates are relayed when they are applied and acknowledged when the log has
// committed the version that they were judged against. An update that changed
// nothing is not logged, but its acknowledgement waits all the same: what the
// document holds in memory is not yet durable.
//
// # Bounds
//
// Inboxes are bounded in bytes and block the sender; outboxes are bounded in
// bytes and drop, after which the reader gets one diff from where it fell
// behind; what is applied and not committed is bounded in bytes and time, and
// past it updates are discarded unread and asked for again after the log has
// recovered.
package hub
