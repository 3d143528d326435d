package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"ysync/internal/api"
	"ysync/internal/cluster"
	"ysync/internal/gateway"
	"ysync/internal/hub"
	"ysync/internal/relay"
)

// peers are the other nodes, which this one calls over the relay: HTTP with a
// node's boot ID for the host.
type peers struct {
	nodes  cluster.Directory
	calls  *http.Transport
	logger *zap.Logger

	mu sync.Mutex
	// Guarded by mu: nodes that did not answer, and when.
	deaf map[string]time.Time
}

var _ api.Owners = (*peers)(nil)

const (
	// maxCalls bounds the connections to one node, idleCalls is how long one is
	// kept that nobody uses.
	maxCalls  = 64
	idleCalls = 30 * time.Second
	// deafFor is how long a node that failed to read a document ahead is not
	// asked to read others: those that are handed over must not wait for it.
	deafFor = 10 * time.Second
	// preparePath is where a node is told to read a document ahead.
	preparePath = "/node/prepare"
)

var errGone = errors.New("the node is gone")

func newPeers(nodes cluster.Directory, r *relay.Relay, logger *zap.Logger) *peers {
	return &peers{nodes: nodes, logger: logger, deaf: map[string]time.Time{}, calls: &http.Transport{
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			boot, _, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			members := nodes.Members()
			i := slices.IndexFunc(members, func(n cluster.Node) bool { return n.Boot == boot })
			if i < 0 {
				return nil, errGone
			}
			return r.Call(ctx, members[i])
		},
		MaxConnsPerHost:     maxCalls,
		MaxIdleConnsPerHost: maxCalls,
		IdleConnTimeout:     idleCalls,
	}}
}

// Owner implements api.Owners.
func (p *peers) Owner(ctx context.Context, document string) (string, error) {
	owner, err := p.nodes.Owner(ctx, document)
	if err != nil || owner.Boot == p.nodes.Self().Boot {
		return "", err
	}
	return owner.Boot, nil
}

// RoundTrip implements api.Owners.
func (p *peers) RoundTrip(r *http.Request) (*http.Response, error) { return p.calls.RoundTrip(r) }

// ahead has the next owner of a document read it. It is a cluster.Ahead.
func (p *peers) ahead(ctx context.Context, next cluster.Node, document string) {
	p.mu.Lock()
	since, deaf := p.deaf[next.Boot]
	p.mu.Unlock()
	if deaf && time.Since(since) < deafFor {
		return
	}
	if err := p.prepare(ctx, next, document); err != nil {
		p.mu.Lock()
		p.deaf[next.Boot] = time.Now()
		p.mu.Unlock()
		p.logger.Info("the next owner of a document does not read it ahead",
			zap.String("document", document), zap.String("node", next.Boot), zap.Error(err))
	}
}

func (p *peers) prepare(ctx context.Context, next cluster.Node, document string) error {
	at := url.URL{Scheme: "http", Host: next.Boot, Path: preparePath, RawQuery: url.Values{"document": {document}}.Encode()}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, at.String(), nil)
	if err != nil {
		return err
	}
	answer, err := p.calls.RoundTrip(r)
	if err != nil {
		return err
	}
	if err := answer.Body.Close(); err != nil {
		return err
	}
	if answer.StatusCode != http.StatusNoContent {
		return fmt.Errorf("it answers %s", answer.Status)
	}
	return nil
}

// answer serves what other nodes ask for, until the result is closed: orders for
// documents that are here, and to read ahead those that will be.
func (p *peers) answer(r *relay.Relay, h *hub.Hub, orders http.Handler, failed chan<- error) *http.Server {
	mux := http.NewServeMux()
	mux.Handle("/", orders)
	mux.HandleFunc("POST "+preparePath, func(w http.ResponseWriter, r *http.Request) {
		if err := h.Prepare(r.Context(), r.FormValue("document")); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	s := gateway.OperationsServer(mux)
	go func() {
		if err := s.Serve(r.Calls()); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			failed <- err
		}
	}()
	return s
}
