package gateway

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/zap"

	"ysync/internal/auth"
	"ysync/internal/hub"
	"ysync/internal/session"
)

// conn is one connection and the session on it.
//
// Three goroutines may be at work: the reader, which lives as long as the
// connection; a writer, while something is queued; and the server's sweeper,
// about once a second.
type conn struct {
	// Static once the connection is registered.
	server   *Server
	ws       *websocket.Conn
	socket   socket
	id       uint64
	document string
	peer     hub.Peer // complete before it attaches
	remote   string
	deflates bool // messages may be compressed, either way
	// Whom it shares bounds with; nil for nobody.
	subject, tenant *share

	// Owned by the registry's shard lock.
	slot int

	// Owned by the reader: the document's turn, if it has begun with a message, what
	// the token bounds, nil for nothing, and how many bytes of the message under way
	// its rate was told of already.
	turn hub.Turn
	own  *share
	paid int

	// slowed: it was told of in the log that it sends too much.
	slowed atomic.Bool
	// watch is told what happens, while somebody watches; nil else.
	watch atomic.Pointer[watch]

	// writer tells whether a writer goroutine runs; see wake.
	writer atomic.Uint32
	// greeted: the document's first frame went out. Owned by the writer.
	greeted bool

	mu sync.Mutex
	// Guarded by mu.
	session session.Session
	grant   *auth.Grant    // by which it was let in; nil if none is ever taken back
	sub     Subscription   // nil until attached
	frame   []byte         // a frame of the session's own, to be written
	pong    []byte         // the answer to the newest ping, nil for none
	ending  *session.Close // why the connection ends, nil while it lives
	phase   phase          // of the reader
	waiting time.Time      // since when the reader is in phaseWaiting
	metered int64          // what socket.meter had counted at the last look
}

// ping answers with the newest ping's payload through the writer. The library
// would answer from the reading goroutine, and close a connection whose peer
// does not read for 5 s.
func (c *conn) ping(_ context.Context, payload []byte) bool {
	c.mu.Lock()
	c.pong = append(c.pong[:0:0], payload...)
	if c.pong == nil {
		c.pong = []byte{}
	}
	c.mu.Unlock()
	c.wake()
	return false
}

// do carries out what the session decided, but for the messages. It must be
// called without c.mu.
func (c *conn) do(step session.Step) {
	if step.Attach {
		if err := c.attach(); err != nil {
			c.server.log.Error("subscribe", c.fields(zap.Error(err))...)
			c.end(session.Closef(session.CloseInternal, "internal error"))
			return
		}
	}
	if step.Frame != nil {
		c.mu.Lock()
		c.frame = step.Frame
		c.mu.Unlock()
		c.wake()
	}
	if step.Probe {
		c.lookAtWrite()
	}
	if step.Close != nil {
		c.end(step.Close)
	}
}

// lookAtWrite finds out whether the write under way makes progress.
func (c *conn) lookAtWrite() {
	c.mu.Lock()
	if c.socket.meter == nil || c.ending != nil {
		// The deadline of the end of the connection stands.
		if c.ending == nil {
			c.socket.probe()
		}
		c.mu.Unlock()
		return
	}
	taken := c.socket.meter.taken.Load()
	n := int(taken - c.metered)
	c.metered = taken
	if c.sub != nil {
		c.sub.Progress(n)
	}
	why := c.session.Progress(n, c.server.now())
	c.mu.Unlock()
	if why != nil {
		c.abort(why)
	}
}

// attach subscribes to the document.
func (c *conn) attach() error {
	sub, err := c.server.options.Documents.Subscribe(c.document, c.peer, c.wake)
	if errors.Is(err, hub.ErrClosed) {
		c.end(closeRestart)
		return nil
	}
	if err != nil {
		return err
	}
	c.server.rescoping.Lock()
	c.mu.Lock()
	over := c.ending != nil
	if !over {
		c.sub = sub
	}
	rights := rightsOf(c.session.Scope())
	c.mu.Unlock()
	if !over && rights != c.peer.Rights() {
		sub.Allow(rights)
	}
	c.server.rescoping.Unlock()
	if over {
		sub.Close()
		return nil
	}
	// The subscription may have woken a writer that did not see it yet.
	c.wake()
	return nil
}

func (c *conn) subscription() Subscription {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sub
}

var closeRestart = session.Closef(session.CloseRestart, "the server restarts")

// end closes the connection: a close frame goes out, and the reader goes on
// until the peer's comes, for closeWait at most. Only the first call counts.
func (c *conn) end(why *session.Close) {
	if c.finish(why) {
		go c.shake(why)
	}
}

// closeWait bounds each half of a close handshake. What the peer still sends in
// its half is read and dropped: closing on unread bytes would reset the
// connection, and could take the close frame with it.
const closeWait = 5 * time.Second

// shake writes the close frame. It is a goroutine, as the write may have to
// wait for another one.
func (c *conn) shake(why *session.Close) {
	if err := c.socket.writeClose(why.Code, why.Reason); err != nil {
		_ = c.socket.Conn.Close()
		return
	}
	_ = c.socket.SetReadDeadline(time.Now().Add(closeWait))
}

// abort closes the connection without a close frame, which could not be
// delivered: the peer does not read, or is gone.
func (c *conn) abort(why *session.Close) {
	if c.finish(why) {
		_ = c.ws.CloseNow()
	}
}

// finish marks the connection as ending, once, and gives up its subscription.
func (c *conn) finish(why *session.Close) (first bool) {
	c.mu.Lock()
	if c.ending != nil {
		c.mu.Unlock()
		return false
	}
	c.ending = why
	c.session.Closed()
	// Deadlines in the past, which disturb a reader or a writer, are set under
	// the same lock and only before this: they would end the connection before
	// its close frame is out.
	deadline := time.Now().Add(closeWait)
	_ = c.socket.SetWriteDeadline(deadline)
	_ = c.socket.SetReadDeadline(deadline.Add(closeWait))
	sub := c.sub
	c.mu.Unlock()
	if sub != nil {
		sub.Close()
	}
	c.server.closed(c, why)
	if w := c.watch.Load(); w != nil {
		w.add(Event{Time: c.server.now(), Way: wayNote, Kind: "closed", Note: why.Error()})
		w.end()
	}
	return true
}

// gone is the end of the reader: the peer closed, the transport failed, or the
// connection was ended from here.
func (c *conn) gone(err error) {
	var peer websocket.CloseError
	switch {
	case errors.As(err, &peer):
		c.finish(&session.Close{Code: int(peer.Code), Reason: "closed by the peer"})
	case violation(err):
		why := session.Closef(int(websocket.StatusProtocolError), "%v", err)
		if c.finish(why) {
			c.shake(why)
			c.linger()
		}
	default:
		c.finish(&session.Close{Code: int(websocket.StatusAbnormalClosure), Reason: "connection lost"})
	}
	_ = c.ws.CloseNow()
	c.socket.releaseAhead()
	c.server.connections.remove(c)
	c.subject.leave()
	c.tenant.leave()
	c.server.wait.Done()
}

// linger takes what the peer still sends after it broke the protocol, for a
// while: closing on unread bytes would reset the connection, and the peer would
// never see why.
func (c *conn) linger() {
	_ = c.socket.SetReadDeadline(time.Now().Add(time.Second))
	_, _ = io.CopyN(io.Discard, &c.socket, 1<<20)
}

// violation reports whether the reader ended because the peer broke the
// WebSocket protocol, as opposed to going away.
func violation(err error) bool {
	var timeout net.Error
	return !errors.Is(err, net.ErrClosed) && !errors.As(err, &timeout) && !isEOF(err)
}

func (c *conn) tick(now time.Time) {
	c.mu.Lock()
	if c.ending != nil {
		c.mu.Unlock()
		return
	}
	step := c.session.Tick(now)
	c.park(now)
	c.mu.Unlock()
	c.do(step)
}

func (c *conn) fields(more ...zap.Field) []zap.Field {
	return append(more, zap.Uint64("session", c.id), zap.String("document", c.document), zap.String("remote", c.remote))
}
