package gateway

import (
	"encoding/json"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"ysync/internal/auth"
	"ysync/internal/hub"
)

// Status is what /status tells, as JSON.
type Status struct {
	Version       string  `json:"version"`
	UptimeSeconds float64 `json:"uptime_seconds"`
	Draining      bool    `json:"draining"`
	Connections   int64   `json:"connections"`
	Documents     int     `json:"documents"`
	Subscriptions int     `json:"subscriptions"`
	// UncommittedBytes are applied but not durable yet.
	UncommittedBytes int64 `json:"uncommitted_bytes"`
	LogStalled       bool  `json:"log_stalled"`
	// Log is what Options.Log tells.
	Log any `json:"log,omitempty"`
	// Cluster is what Options.Cluster tells.
	Cluster any `json:"cluster,omitempty"`
	// Degraded says, a line each, what is gone and what that means.
	Degraded []string `json:"degraded"`
	// Quarantined documents are damaged and not loaded any more, by name, and
	// not all when there are many; QuarantinedCount is how many there are.
	Quarantined      []QuarantinedDocument `json:"quarantined"`
	QuarantinedCount int                   `json:"quarantined_count"`
	// RefusedUpdates are valid updates that broke a limit and are kept.
	RefusedUpdates int `json:"refused_updates"`
	// Largest are the documents that take most memory.
	Largest []LargeDocument `json:"largest"`
	// Hottest are the documents that took most time of late.
	Hottest []HotDocument `json:"hottest"`
	// Shedding is why new connections are refused; empty if they are not.
	Shedding   string `json:"shedding,omitempty"`
	HeapBytes  int64  `json:"heap_bytes"`
	Goroutines int    `json:"goroutines"`
}

// shownDocuments bounds the lists of documents in a Status.
const shownDocuments = 20

// QuarantinedDocument is a damaged document.
type QuarantinedDocument struct {
	Document string    `json:"document"`
	Since    time.Time `json:"since"`
	Reason   string    `json:"reason"`
}

func quarantined(h *hub.Hub) []QuarantinedDocument {
	all := h.Quarantined()
	out := make([]QuarantinedDocument, 0, min(len(all), shownDocuments))
	for _, q := range all[:cap(out)] {
		out = append(out, QuarantinedDocument(q))
	}
	return out
}

// LargeDocument is a document in memory.
type LargeDocument struct {
	Document string `json:"document"`
	Bytes    int64  `json:"bytes"`
	// LiveUnits and DeletedUnits are what it holds and what was deleted of it.
	LiveUnits    int64 `json:"live_units"`
	DeletedUnits int64 `json:"deleted_units"`
}

// HotDocument is what a document cost in the last ten seconds or so.
type HotDocument struct {
	Document string `json:"document"`
	// BusyPercent is the part of one core that it took. Messages and Deliveries
	// are a second.
	BusyPercent float64 `json:"busy_percent"`
	Messages    float64 `json:"messages"`
	Deliveries  float64 `json:"deliveries"`
	Sessions    int     `json:"sessions"`
}

func hottest(h *hub.Hub) []HotDocument {
	out := make([]HotDocument, 0, shownDocuments)
	for _, d := range h.Hottest(shownDocuments) {
		out = append(out, HotDocument{d.Document, 100 * d.Busy, d.Commands, d.Deliveries, d.Sessions})
	}
	return out
}

// shedding is why new connections are refused, or "".
func (s *Server) shedding() string {
	if shed := s.load.shed.Load(); shed != nil {
		return shed.why
	}
	return ""
}

func largest(h *hub.Hub) []LargeDocument {
	out := make([]LargeDocument, 0, shownDocuments)
	for _, d := range h.Largest(shownDocuments) {
		out = append(out, LargeDocument{d.Document, d.Bytes, d.Live, d.Deleted})
	}
	return out
}

// Status returns the figures of now. version is the program's.
func (s *Server) Status(version string) Status {
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	stats := s.hub.Stats()
	var log, cluster any
	if s.options.Log != nil {
		log = s.options.Log()
	}
	degraded := []string{}
	if stats.LogStalled {
		degraded = append(degraded, "the update log does not commit: edits are passed on and not acknowledged, and set aside when there are too many")
	}
	if stats.StoreFailing {
		degraded = append(degraded, "snapshots and history can't be stored: the update log grows until they can")
	}
	if s.options.Cluster != nil {
		var more []string
		cluster, more = s.options.Cluster()
		degraded = append(degraded, more...)
	}
	return Status{
		Version:          version,
		UptimeSeconds:    s.now().Sub(s.started).Seconds(),
		Draining:         s.draining.Load(),
		Connections:      s.connections.count.Load(),
		Documents:        stats.Documents,
		Subscriptions:    stats.Subscriptions,
		UncommittedBytes: stats.UncommittedBytes,
		LogStalled:       stats.LogStalled,
		Log:              log,
		Cluster:          cluster,
		Degraded:         degraded,
		Quarantined:      quarantined(s.hub),
		QuarantinedCount: stats.Quarantined,
		RefusedUpdates:   stats.Refused,
		Largest:          largest(s.hub),
		Hottest:          hottest(s.hub),
		Shedding:         s.shedding(),
		HeapBytes:        int64(memory.HeapAlloc),
		Goroutines:       runtime.NumGoroutine(),
	}
}

// ready says why the server should get no new connections, or "".
func (s *Server) ready() string {
	if why := s.shedding(); why != "" {
		return why
	}
	switch {
	case s.draining.Load():
		return "draining"
	case s.connections.count.Load() >= int64(s.options.MaxConnections):
		return "too many connections"
	case s.hub.Stats().LogStalled:
		return "the update log does not commit"
	default:
		return ""
	}
}

// Operations serves what operators need and strangers must not see: /healthz,
// /readyz, /metrics, /status, /sessions, /debug/pprof/ and Options.API at /api/. It belongs on a listener of
// its own.
func (s *Server) Operations(g prometheus.Gatherer, version string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("ok\n"))
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if why := s.ready(); why != "" {
			http.Error(w, why, http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok\n"))
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(g, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(s.Status(version))
	})
	mux.HandleFunc("GET /sessions", s.sessions)
	mux.HandleFunc("GET /sessions/{session}/trace", s.trace)
	if s.options.API != nil {
		mux.Handle("/api/", s.options.API)
	}
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", func(w http.ResponseWriter, _ *http.Request) {
		// The flags that follow may hold the password of a store.
		_, _ = w.Write([]byte(strings.Join(os.Args[:min(len(os.Args), 2)], "\x00")))
	})
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.fromProxy(r)
		// A page of another site must not read these by DNS rebinding either.
		if err := s.options.Sites.Check(r.Host, r.Header.Get("Origin")); err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		if path := r.URL.Path; path == "/status" || strings.HasPrefix(path, "/debug/") || strings.HasPrefix(path, "/sessions") {
			if !s.mayOperate(r) {
				http.Error(w, "a token with scope admin for * is needed from other machines", http.StatusUnauthorized)
				return
			}
		}
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		mux.ServeHTTP(w, r)
	})
}

// mayOperate reports whether a request may see what goes on inside: from this
// machine, or with a grant of scope admin for all documents.
func (s *Server) mayOperate(r *http.Request) bool {
	remote, err := netip.ParseAddrPort(r.RemoteAddr)
	if err == nil && remote.Addr().Unmap().IsLoopback() {
		return true
	}
	grant, err := s.options.Auth.Authorize(r.Context(), auth.Request{Token: tokenOf(r), Remote: remote, Now: s.now()})
	return err == nil && grant.Check(auth.Operate, "", s.now()) == nil
}

// OperationsServer serves h with the bounds of the operations listener. Profiles take as long as
// they are asked to, so there is no write deadline.
func OperationsServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    maxHeaderSize,
	}
}
