package relay

import (
	"context"
	"net"
	"sync"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"ysync/internal/cluster"
)

// callName is the stream of a call: after the hellos of a link, under another
// purpose, it carries bytes both ways, a connection like any other.
const callName = "Call"

var callDesc = grpc.StreamDesc{StreamName: callName, ServerStreams: true, ClientStreams: true}

// callBytes is how much of a call is gathered for one message of the stream.
const callBytes = 32 << 10

// Call connects with another node, which Calls of its relay accepts. Both ends
// have proved who they are, as those of a link have.
func (r *Relay) Call(ctx context.Context, node cluster.Node) (net.Conn, error) {
	s, cancel, err := r.reach(ctx, node, callName, func(ctx context.Context, node cluster.Node) (Stream, error) {
		return r.connect(ctx, node, callDesc)
	})
	if err != nil {
		return nil, err
	}
	here, there := net.Pipe()
	ended := r.carry(s, there)
	r.work.Go(func() {
		<-ended
		cancel()
	})
	return here, nil
}

// Calls accepts the calls of other nodes until Close.
func (r *Relay) Calls() net.Listener { return &r.calls }

// answerCall serves a stream that another node made for a call.
func (r *Relay) answerCall(in grpc.ServerStream) error {
	s := grpcStream{in}
	boot, err := r.welcome(s, callName)
	if err != nil {
		r.opt.Logger.Warn("a call was turned away", zap.Error(err))
		return status.Error(codes.Unauthenticated, err.Error())
	}
	at := net.Addr(&net.UnixAddr{Name: boot, Net: "relay"})
	if p, ok := peer.FromContext(in.Context()); ok {
		at = p.Addr
	}
	here, there := net.Pipe()
	select {
	case r.calls.conns <- &calledConn{here, at}:
	case <-r.ctx.Done():
		return status.Error(codes.Unavailable, errClosing.Error())
	}
	<-r.carry(s, there)
	return nil
}

// carry passes what comes from the stream to conn, and the other way round,
// until either ends; then both do. The result is closed when nothing is sent
// any more.
func (r *Relay) carry(s Stream, conn net.Conn) <-chan struct{} {
	ended := make(chan struct{})
	stop := context.AfterFunc(r.ctx, func() { _ = conn.Close() })
	// It ends with the stream, which ends when nothing is sent any more.
	r.work.Go(func() {
		defer conn.Close()
		for {
			data, err := s.Receive()
			if err != nil {
				return
			}
			if _, err := conn.Write(data); err != nil {
				return
			}
		}
	})
	r.work.Go(func() {
		defer close(ended)
		defer stop()
		defer conn.Close()
		for {
			data := make([]byte, callBytes)
			n, err := conn.Read(data)
			if n > 0 && s.Send(data[:n]) != nil {
				return
			}
			if err != nil {
				return
			}
		}
	})
	return ended
}

// calledConn is a call at the node that was called.
type calledConn struct {
	net.Conn
	from net.Addr
}

// RemoteAddr is that of the other node.
func (c *calledConn) RemoteAddr() net.Addr { return c.from }

// callListener hands on calls.
type callListener struct {
	conns  chan net.Conn
	addr   net.Addr
	closed chan struct{}
	close  sync.Once
}

// Accept implements net.Listener.
func (l *callListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *callListener) Close() error {
	l.close.Do(func() { close(l.closed) })
	return nil
}

// Addr implements net.Listener.
func (l *callListener) Addr() net.Addr { return l.addr }
