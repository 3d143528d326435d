// Package awareness holds presence: who is in a document, and the small JSON
// state (name, cursor) that each client shows of itself. It is never stored.
//
// An awareness update is a lib0 varUint count and as many entries:
//
//	varUint client ID, varUint clock, text JSON
//
// A client counts its clock up with every change of its own state, and at least
// every RenewAfter. An entry wins over a lower clock; the state null, which
// removes, also wins over a state of the same clock. A client that nobody has
// heard of counts as having clock 0, so a first state at clock 0 never travels.
// A client that is told its own state was removed raises its clock and shows
// itself again: that is what heals a wrong removal.
//
// Awareness is the replica that a client holds, to the letter of y-protocols
// awareness.js. Presence is what a server keeps for one document: the same
// rules, and besides which session speaks for which client ID, bounds, and the
// removal of those who left.
//
// The package starts no goroutine and no timer and reads no clock: the time is
// an argument, and must not run backwards.
package awareness
