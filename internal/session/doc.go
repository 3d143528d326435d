// Package session judges what one client does on one document: when the
// server may speak, which messages go on to the document's owner, what is
// refused, when silence must be broken and when the connection must end.
//
// A Session is a plain value that is stepped: frames and the time go in,
// messages for the owner, frames for the client and a close come out. It
// starts no goroutine, reads no clock and knows no socket; the driver around
// it does, and calls it under one lock.
//
// # Life
//
//	silent ──first whole frame, or SilentFor──► attached ──Close──► closed
//
// In silent the server sends nothing, as the first frame of a client tells its
// dialect. Attached, the driver holds a subscription to the document.
package session
