// Package syncproto turns frames into messages and messages into frames, in
// the dialect that y-websocket clients 1.5 to 4-rc and y-sweet clients speak.
// It owns the framing only: what a state vector, an update or an awareness
// update means is decided elsewhere.
//
// All integers are lib0 varUints; bytes and text are a varUint length and that
// many bytes.
//
//	SyncStep1         00 00 bytes(state vector)
//	SyncStep2         00 01 bytes(update)
//	Update            00 02 bytes(update)
//	Awareness         01 bytes(awareness update)
//	PermissionDenied  02 00 text(reason)
//	AuthGranted       02 01                        yrs servers only
//	QueryAwareness    03                           y-sweet: 03 bytes(awareness update)
//	Ack               66 bytes(payload)            y-sweet: payload is a varUint
//
// The outer type is that of y-websocket's messageHandlers, the inner type of a
// sync or auth message that of y-protocols sync.js and auth.js.
//
// A frame may hold several messages, one after the other. Clients before
// version 4 read the first one of a frame and drop the rest, so whatever is
// sent to a client is one message per frame.
package syncproto
