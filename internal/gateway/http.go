package gateway

import (
	"math/rand/v2"
	"net/http"
	"strconv"

	"go.uber.org/zap"

	"ysync/internal/auth"
	"ysync/internal/session"
)

// serve answers a request that net/http has read.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if c := s.route(w, r); c != nil {
		go c.read()
	}
}

// route tells upgrades from requests for the page. There is no multiplexer:
// one would clean paths, and a document's name is taken as it stands. It returns
// the connection that was upgraded, which has to be read; nil for none.
func (s *Server) route(w http.ResponseWriter, r *http.Request) *conn {
	s.fromProxy(r)
	if err := s.options.Sites.Check(r.Host, r.Header.Get("Origin")); err != nil {
		s.metrics.RefusedTotal.WithLabelValues("origin").Inc()
		s.log.Warn("request refused", zap.Error(err), zap.String("remote", r.RemoteAddr))
		http.Error(w, err.Error(), http.StatusForbidden)
		return nil
	}
	if isUpgrade(r) {
		return s.connect(w, r)
	}
	if s.page.serve(w, r) {
		return nil
	}
	w.Header().Set("Upgrade", "websocket")
	w.Header().Set("Connection", "Upgrade")
	http.Error(w, "This is the address of a document. Connect to it by WebSocket, with a Yjs provider such as y-websocket:\n\n"+
		"    new WebsocketProvider('ws://"+r.Host+"', 'document name', doc)\n", http.StatusUpgradeRequired)
	return nil
}

// connect answers a WebSocket handshake. Only overload is refused before the
// upgrade: browsers hide the status of a refused one from the page, and the
// provider would retry for ever without a reason to show.
func (s *Server) connect(w http.ResponseWriter, r *http.Request) *conn {
	if s.draining.Load() {
		s.overloaded(w, "draining", "the server is shutting down")
		return nil
	}
	if shed := s.load.shed.Load(); shed != nil {
		s.overloaded(w, shed.label, shed.why)
		return nil
	}
	if !s.arrivals.AllowN(s.now(), 1) {
		s.overloaded(w, "rate", "too many connections at a time")
		return nil
	}
	if s.hub.Waiting() > s.options.MaxWaitingLoads && !s.openHere(r) {
		s.overloaded(w, "loads", "too many documents are being loaded")
		return nil
	}
	if !s.connections.reserve(s.options.MaxConnections) {
		s.overloaded(w, "connections", "too many connections")
		return nil
	}
	c := &conn{server: s, id: s.lastID.Add(1), remote: r.RemoteAddr}
	refused := s.admit(c, r)
	// Counted before the upgrade: until then, Shutdown waits for this request.
	s.wait.Add(1)
	if err := c.upgrade(w, r); err != nil {
		s.wait.Done()
		c.subject.leave()
		c.tenant.leave()
		s.connections.release()
		s.metrics.RefusedTotal.WithLabelValues("handshake").Inc()
		s.log.Info("bad handshake", zap.Error(err), zap.String("remote", r.RemoteAddr))
		return nil
	}
	s.metrics.Connections.Inc()
	s.metrics.ConnectionsTotal.WithLabelValues("websocket").Inc()
	s.connections.add(c)
	if refused != nil {
		c.refuse(refused)
	} else {
		c.rejudge() // of a ruling since it was let in nobody has told it
	}
	if s.draining.Load() {
		// Shutdown may have passed over the connection before it was added.
		c.end(closeRestart)
	}
	return c
}

// admit fills in the connection's document and rights, or says why there are
// none.
func (s *Server) admit(c *conn, r *http.Request) *session.Close {
	now := s.now()
	name, err := session.ParseName(r.URL.EscapedPath())
	if err != nil {
		c.session = session.New(&s.options.Session, auth.Grant{}, now)
		return session.Closef(session.CloseName, "%v", err)
	}
	c.document = name
	query := r.URL.Query()
	c.peer.Echo = query.Get("ack") == "echo"
	token := tokenOf(r)
	if token == "" && query.Get("auth") == "message" {
		c.session = session.NewLocked(&s.options.Session, now)
		return nil
	}
	grant, err := c.judge(r.Context(), token)
	c.session = session.New(&s.options.Session, grant, now)
	if err != nil {
		return c.closeFor(err)
	}
	return c.welcome(grant)
}

// openHere tells whether a request is for a document that is in memory, so that
// nothing has to be loaded for it.
func (s *Server) openHere(r *http.Request) bool {
	name, err := session.ParseName(r.URL.EscapedPath())
	return err == nil && s.hub.Holds(name)
}

// overloaded answers 503 and spreads the retries.
func (s *Server) overloaded(w http.ResponseWriter, reason, text string) {
	s.metrics.RefusedTotal.WithLabelValues(reason).Inc()
	w.Header().Set("Retry-After", strconv.Itoa(1+rand.IntN(10)))
	http.Error(w, text, http.StatusServiceUnavailable)
}
