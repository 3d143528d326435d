// Package gateway is where connections come in: it upgrades requests to
// WebSockets, reads frames for a session to judge, writes what a document's
// subscription has queued, and serves the start page and the operations
// endpoints. It holds no document and decides nothing about messages.
//
// # Cost of a connection
//
// Most connections are idle, so what an idle one holds is kept small: one
// goroutine that reads, two buffers of 512 bytes, and no writer. A writer
// goroutine exists while frames are queued. Deadlines and keepalives are the
// work of one sweeper for all connections; a write sets no timer.
//
// # Writing
//
// The WebSocket library reads, and it writes control frames. Data frames are
// framed by the socket type, which lets several go out in one system call and
// shows how much of a stuck write was taken. Both share the socket's lock, and
// the library writes each control frame by one call, so frames never mix.
package gateway
