package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"ysync/internal/hub"
	"ysync/internal/metrics"
	"ysync/internal/session"
)

// Bounds on HTTP, before anything is known of the peer.
const (
	headerTimeout = 5 * time.Second
	idleTimeout   = 30 * time.Second
	maxHeaderSize = 16 << 10
	// sweepEvery is how often each connection is looked at.
	sweepEvery = time.Second
	// closeGrace is how long a shutdown waits for peers to answer the close.
	closeGrace = time.Second
)

// Server serves documents to WebSocket clients, and the start page.
type Server struct {
	// Static.
	options Options
	hub     *hub.Hub
	metrics *metrics.Metrics
	log     *zap.Logger
	now     func() time.Time
	page    *page
	http    *http.Server
	budget  budget
	started time.Time

	// ctx ends when connections must not wait for documents any more.
	ctx    context.Context
	cancel context.CancelFunc

	arrivals    *rate.Limiter
	connections registry
	entrances   entrances
	subjects    *shares
	tenants     *shares
	load        load
	unready     unready
	flusher     flusher
	holds       holds
	// rescoping is held while a session's rights change, here and at the document.
	rescoping sync.Mutex
	lastID    atomic.Uint64
	draining  atomic.Bool

	// wait counts the readers of open connections.
	wait     sync.WaitGroup
	sweeper  sync.Once
	sweeping sync.WaitGroup
}

// New prepares a server. It serves nothing until Serve.
func New(o Options) (*Server, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	p, err := newPage(o.Page)
	if err != nil {
		return nil, fmt.Errorf("start page: %w", err)
	}
	s := &Server{
		options: o, hub: o.Hub, metrics: o.Metrics, log: o.Logger, now: o.Now, page: p,
		budget: newBudget(o.LargeBudget, o.Session.MessageBytes), started: o.Now(),
	}
	s.subjects, s.tenants = newShares(o.Subject), newShares(o.Tenant)
	s.load.marks, s.load.secondP = o.Marks, newSecondP()
	s.arrivals = rate.NewLimiter(rate.Limit(o.ConnectRate), 2*o.ConnectRate)
	s.flusher.limit = runtime.GOMAXPROCS(0)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.http = &http.Server{
		Handler:           http.HandlerFunc(s.serve),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderSize,
		// No HTTP/2 over TLS: it has no WebSockets here.
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
		ErrorLog:     zap.NewStdLog(o.Logger),
		ConnState:    s.track,
	}
	return s, nil
}

// Serve accepts connections until Shutdown. It returns nil after it.
func (s *Server) Serve(l net.Listener) error {
	s.sweeper.Do(func() {
		s.sweeping.Add(1)
		go s.sweep()
		if s.options.Rulings != nil {
			s.sweeping.Add(1)
			go s.obey()
		}
	})
	d := newDoor(s, l)
	go d.run()
	if err := s.http.Serve(d); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// sweep looks at every connection once in sweepEvery, shard by shard.
func (s *Server) sweep() {
	defer s.sweeping.Done()
	ticker := time.NewTicker(sweepEvery / shards)
	defer ticker.Stop()
	for i := 0; ; i = (i + 1) % shards {
		select {
		case <-ticker.C:
		case <-s.ctx.Done():
			return
		}
		now := s.now()
		s.watch(now)
		s.connections.visit(i, func(c *conn) { c.tick(now) })
	}
}

// Quiesce makes the server refuse new connections and say that it is not ready.
// Those that are open go on.
func (s *Server) Quiesce() { s.draining.Store(true) }

// Stagger ends the open connections with 1012, spread over a time, so that not
// all clients come back elsewhere at once. It comes after Quiesce.
func (s *Server) Stagger(ctx context.Context, over time.Duration) {
	var open []*conn
	s.connections.each(func(c *conn) { open = append(open, c) })
	if len(open) == 0 {
		return
	}
	ticker := time.NewTicker(max(over/time.Duration(len(open)), time.Microsecond))
	defer ticker.Stop()
	for _, c := range open {
		c.end(closeRestart)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// Shutdown stops accepting, closes the hub, so that everything is committed
// and every acknowledgement that is due is sent, then closes all connections
// with 1012. What is not done when ctx ends is cut off. The error is the
// hub's: data may be missing from the log only if the hub says so.
func (s *Server) Shutdown(ctx context.Context) error {
	s.Quiesce()
	// Idle HTTP connections are closed; upgraded ones are ours.
	if err := s.http.Shutdown(ctx); err != nil {
		_ = s.http.Close()
	}
	s.entrances.close(ctx.Done())
	err := s.hub.Close(ctx)
	s.cancel()
	s.sweeping.Wait()
	s.connections.each(func(c *conn) { c.end(closeRestart) })
	done := make(chan struct{})
	go func() {
		s.wait.Wait()
		close(done)
	}()
	grace := time.NewTimer(closeGrace)
	defer grace.Stop()
	select {
	case <-done:
		return err
	case <-grace.C:
	case <-ctx.Done():
	}
	s.connections.each(func(c *conn) { _ = c.socket.Conn.Close() })
	<-done
	return err
}

// closed records the end of a connection.
func (s *Server) closed(c *conn, why *session.Close) {
	s.metrics.Connections.Dec()
	s.metrics.ClosesTotal.WithLabelValues(closeLabel(why.Code)).Inc()
	level := zap.DebugLevel
	if why.Code >= 4000 || why.Code == session.CloseTooBig || why.Code == session.CloseUnsupportedData {
		level = zap.InfoLevel
	}
	s.log.Log(level, "connection closed", c.fields(zap.Int("code", why.Code), zap.String("reason", why.Reason))...)
}

// closeLabel keeps codes that a peer makes up out of the metrics.
func closeLabel(code int) string {
	switch {
	case code >= 1000 && code <= 1013, code >= 4400 && code < 4600:
		return strconv.Itoa(code)
	default:
		return "other"
	}
}
