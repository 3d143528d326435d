package relay

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"ysync/internal/cluster"
	"ysync/internal/hub"
	"ysync/internal/metrics"
	"ysync/internal/tracing"
)

// Options configure a Relay. Hub, Directory, Logger and Metrics are required.
type Options struct {
	// Hub has the documents of this node.
	Hub *hub.Hub
	// Directory knows which node has a document.
	Directory cluster.Directory
	// Secret is shared by all nodes; who does not have it is turned away. It
	// never goes over the network. Without it, and without TLS that asks for
	// certificates, whoever reaches the port is let in.
	Secret []byte
	// TLS protects the links when it is not nil: it is used for both ends, and
	// should ask for certificates of both.
	TLS *tls.Config
	// Dial connects to another node; nil for TCP.
	Dial func(ctx context.Context, address string) (net.Conn, error)
	// Connect makes a stream to another node, which lasts until ctx ends; nil for
	// gRPC over Dial. The other end of it goes to Accept. An error that wraps
	// syscall.ECONNREFUSED says that nothing listens there.
	Connect func(ctx context.Context, node cluster.Node) (Stream, error)
	// Ping is how often a link is tried, and Silence after how long without a
	// sign of life it is given up. Defaults 1 s and 3 s.
	Ping, Silence time.Duration
	// Now is the clock; nil for time.Now.
	Now func() time.Time
	// Jitter draws a duration from 0 to most; nil for an even distribution.
	Jitter  func(most time.Duration) time.Duration
	Logger  *zap.Logger
	Metrics *metrics.Metrics
	// Tracer follows messages that are followed at the node that they came to;
	// nil follows none.
	Tracer *tracing.Tracer
}

// Relay connects the sessions of this node with documents at others, and those
// of others with documents here. Its methods may be called from any goroutine.
type Relay struct {
	// Static.
	opt    Options
	self   string // boot ID
	limits hub.Limits
	server *grpc.Server
	ctx    context.Context
	cancel context.CancelFunc

	links    atomic.Uint64
	sessions atomic.Uint64
	work     sync.WaitGroup
	calls    callListener

	mu sync.Mutex
	// Guarded by mu.
	peers  map[string]*link    // by boot ID, the newest of each
	lines  map[*link]struct{}  // all, those too that a newer one took the place of
	dials  map[string]*dialing // by boot ID
	routes map[string]*route   // by document
	closed bool
}

// New prepares a relay. Serve takes the links of other nodes.
func New(opt Options) (*Relay, error) {
	switch {
	case opt.Hub == nil || opt.Directory == nil:
		return nil, errors.New("relay: no hub or no directory given")
	case opt.Logger == nil || opt.Metrics == nil:
		return nil, errors.New("relay: no logger or no metrics given")
	}
	if opt.Dial == nil {
		opt.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", address)
		}
	}
	if opt.Ping <= 0 {
		opt.Ping = time.Second
	}
	if opt.Silence <= 0 {
		opt.Silence = 3 * time.Second
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Jitter == nil {
		opt.Jitter = func(most time.Duration) time.Duration { return rand.N(most + 1) }
	}
	r := &Relay{
		opt: opt, self: opt.Directory.Self().Boot, limits: opt.Hub.Limits(),
		peers: map[string]*link{}, lines: map[*link]struct{}{}, dials: map[string]*dialing{}, routes: map[string]*route{},
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	if r.opt.Connect == nil {
		r.opt.Connect = func(ctx context.Context, node cluster.Node) (Stream, error) { return r.connect(ctx, node, streamDesc) }
	}
	creds := insecure.NewCredentials()
	if opt.TLS != nil {
		creds = credentials.NewTLS(opt.TLS)
	}
	r.server = grpc.NewServer(
		grpc.Creds(creds), grpc.ForceServerCodecV2(codec{}), grpc.MaxRecvMsgSize(maxPacket),
		grpc.InitialWindowSize(streamWindow), grpc.InitialConnWindowSize(streamWindow),
		grpc.MaxConcurrentStreams(4), grpc.ConnectionTimeout(helloWait),
	)
	r.calls = callListener{
		conns: make(chan net.Conn), closed: make(chan struct{}), addr: &net.UnixAddr{Name: "calls", Net: "relay"},
	}
	links, calls := streamDesc, callDesc
	links.Handler = func(_ any, s grpc.ServerStream) error { return r.Accept(grpcStream{s}) }
	calls.Handler = func(_ any, s grpc.ServerStream) error { return r.answerCall(s) }
	r.server.RegisterService(&grpc.ServiceDesc{
		ServiceName: serviceName, HandlerType: (*any)(nil), Streams: []grpc.StreamDesc{links, calls},
	}, r)
	r.work.Go(r.tick)
	return r, nil
}

const (
	// streamWindow is what the transport lets be under way; the flow control that
	// matters is that of the channels.
	streamWindow = 4 << 20
	// helloWait bounds the time until a peer has shown who it is.
	helloWait = 2 * time.Second
)

// Serve takes the links of other nodes until Close. It returns nil after it.
func (r *Relay) Serve(l net.Listener) error {
	if err := r.server.Serve(l); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return err
	}
	return nil
}

// Close ends all links and waits until nothing is under way. Subscriptions that
// live then get no more.
func (r *Relay) Close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.cancel()
	_ = r.calls.Close()
	for _, l := range r.living() {
		l.fail(errClosing)
	}
	r.server.Stop()
	r.work.Wait()
}

// tick looks after the links.
func (r *Relay) tick() {
	t := time.NewTicker(r.opt.Ping)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-r.ctx.Done():
			return
		}
		for _, l := range r.living() {
			l.tick(r.opt.Now())
		}
	}
}

// living are all links.
func (r *Relay) living() []*link {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.SortedFunc(maps.Keys(r.lines), func(a, b *link) int { return cmp.Compare(a.number, b.number) })
}

// Links returns how many nodes this one is connected with.
func (r *Relay) Links() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.peers)
}

// dialing is an attempt to reach a node that several wait for.
type dialing struct {
	done chan struct{}
	link *link
	err  error
}

// to returns the link to a node, and makes it as needed.
func (r *Relay) to(ctx context.Context, node cluster.Node) (*link, error) {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil, errClosing
	}
	if l := r.peers[node.Boot]; l != nil {
		r.mu.Unlock()
		return l, nil
	}
	d := r.dials[node.Boot]
	if d == nil {
		d = &dialing{done: make(chan struct{})}
		r.dials[node.Boot] = d
		r.work.Go(func() {
			d.link, d.err = r.dial(node)
			r.mu.Lock()
			delete(r.dials, node.Boot)
			r.mu.Unlock()
			close(d.done)
		})
	}
	r.mu.Unlock()
	select {
	case <-d.done:
		return d.link, d.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// dial makes a link to a node.
func (r *Relay) dial(node cluster.Node) (*link, error) {
	s, cancel, err := r.reach(r.ctx, node, streamName, r.opt.Connect)
	if err != nil {
		return nil, err
	}
	l := newLink(r, node.Boot, s, 0, cancel)
	r.work.Go(func() { l.read() })
	if !r.keep(l) {
		return nil, errClosing
	}
	return l, nil
}

// reach makes a stream of a name to a node, and says hello. soon bounds only
// that; cancel ends the stream.
func (r *Relay) reach(
	soon context.Context, node cluster.Node, name string, connect func(context.Context, cluster.Node) (Stream, error),
) (_ Stream, cancel func(), err error) {
	if node.Relay == "" {
		return nil, nil, fmt.Errorf("relay: node %s can't be reached by others", node.Boot)
	}
	ctx, cancel := context.WithCancel(r.ctx)
	late := time.AfterFunc(helloWait, cancel)
	given := context.AfterFunc(soon, cancel)
	s, err := connect(ctx, node)
	if err == nil {
		err = r.greet(s, name, node.Boot)
	}
	if inTime, wanted := late.Stop(), given(); !(inTime && wanted) && err == nil {
		err = context.DeadlineExceeded
	}
	if err != nil {
		cancel()
		if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, errOther) {
			r.opt.Directory.Refused(node)
		}
		return nil, nil, fmt.Errorf("relay: to %s: %w", node.Relay, err)
	}
	return s, cancel, nil
}

// connect makes a stream over gRPC.
func (r *Relay) connect(ctx context.Context, node cluster.Node, desc grpc.StreamDesc) (Stream, error) {
	creds := insecure.NewCredentials()
	if r.opt.TLS != nil {
		creds = credentials.NewTLS(r.opt.TLS)
	}
	refused := atomic.Bool{}
	conn, err := grpc.NewClient("passthrough:///"+node.Relay,
		grpc.WithTransportCredentials(creds), grpc.WithNoProxy(),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(codec{}), grpc.MaxCallRecvMsgSize(maxPacket)),
		grpc.WithInitialWindowSize(streamWindow), grpc.WithInitialConnWindowSize(streamWindow),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			nc, err := r.opt.Dial(ctx, address)
			if errors.Is(err, syscall.ECONNREFUSED) {
				refused.Store(true)
			}
			return nc, err
		}))
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { _ = conn.Close() })
	s, err := conn.NewStream(ctx, &desc, "/"+serviceName+"/"+desc.StreamName)
	if err != nil {
		if refused.Load() {
			err = errors.Join(err, syscall.ECONNREFUSED)
		}
		return nil, err
	}
	return grpcStream{s}, nil
}

// Accept serves a stream that another node made, until it is of no use any more.
// Its end is the caller's to close then.
func (r *Relay) Accept(s Stream) error {
	boot, err := r.welcome(s, streamName)
	if err != nil {
		r.opt.Logger.Warn("a link was turned away", zap.Error(err))
		return status.Error(codes.Unauthenticated, err.Error())
	}
	ended := make(chan struct{})
	l := newLink(r, boot, s, 1, sync.OnceFunc(func() { close(ended) }))
	if !r.keep(l) {
		return status.Error(codes.Unavailable, errClosing.Error())
	}
	// The stream ends when this returns, and so does the reader.
	r.work.Go(l.read)
	<-ended
	return nil
}

// keep starts a link. Two nodes that dial each other at once get two links; the
// newer one serves what is opened from then on.
func (r *Relay) keep(l *link) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		l.cancel()
		return false
	}
	r.peers[l.boot] = l
	r.lines[l] = struct{}{}
	r.opt.Metrics.RelayLinks.Inc()
	r.work.Go(l.write)
	r.opt.Logger.Info("linked", zap.String("node", l.boot))
	return true
}

// forget takes a link that has failed off the list.
func (r *Relay) forget(l *link, err error) {
	r.mu.Lock()
	if r.peers[l.boot] == l {
		delete(r.peers, l.boot)
	}
	delete(r.lines, l)
	r.mu.Unlock()
	r.opt.Metrics.RelayLinks.Dec()
	r.opt.Logger.Info("link lost", zap.String("node", l.boot), zap.Error(err))
}
