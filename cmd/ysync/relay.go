package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"time"

	"go.uber.org/zap"

	"ysync/internal/api"
	"ysync/internal/cluster"
	"ysync/internal/gateway"
	"ysync/internal/hub"
	"ysync/internal/metrics"
	"ysync/internal/relay"
)

// anywhere are the documents of all nodes.
type anywhere struct{ relay *relay.Relay }

// Subscribe implements gateway.Documents.
func (a anywhere) Subscribe(document string, p hub.Peer, wake func()) (gateway.Subscription, error) {
	s, err := a.relay.Subscribe(document, p, wake)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// owners are the nodes to which orders for documents are passed on.
type owners struct {
	nodes cluster.Directory
	http.RoundTripper
}

// Owner implements api.Owners.
func (o owners) Owner(ctx context.Context, document string) (string, error) {
	owner, err := o.nodes.Owner(ctx, document)
	if err != nil || owner.Boot == o.nodes.Self().Boot {
		return "", err
	}
	return owner.Boot, nil
}

// The connections by which orders are passed on, for each node.
const (
	maxCalls  = 64
	idleCalls = 30 * time.Second
)

// ownersOf passes orders on by the relay; nil for a node that is alone.
func ownersOf(nodes cluster.Directory, r *relay.Relay) api.Owners {
	if r == nil {
		return nil
	}
	return owners{nodes, &http.Transport{
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
		MaxConnsPerHost: maxCalls,
		IdleConnTimeout: idleCalls,
	}}
}

var errGone = errors.New("the node is gone")

// link connects this node with the others. A node that is alone has all
// documents, so that there is nothing to connect: both results are nil.
func (p relayPort) link(
	h *hub.Hub, nodes cluster.Directory, m *metrics.Metrics, logger *zap.Logger, failed chan<- error,
) (gateway.Documents, *relay.Relay, error) {
	if p.listener == nil {
		return nil, nil, nil
	}
	r, err := relay.New(relay.Options{
		Hub: h, Directory: nodes, Secret: []byte(p.secret), TLS: p.tls, Logger: logger, Metrics: m,
	})
	if err != nil {
		return nil, nil, err
	}
	go func() {
		if err := r.Serve(p.listener); err != nil {
			failed <- err
		}
	}()
	return anywhere{r}, r, nil
}

// answer serves the orders that other nodes pass on, until it is closed.
func answer(r *relay.Relay, orders http.Handler, failed chan<- error) *http.Server {
	s := gateway.OperationsServer(orders)
	go func() {
		if err := s.Serve(r.Calls()); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			failed <- err
		}
	}()
	return s
}

// reached is the address that others reach a port by: that of the relay's host
// where the port listens on every address.
func reached(port net.Listener, relay string) string {
	at := port.Addr().(*net.TCPAddr)
	host, _, err := net.SplitHostPort(relay)
	if !at.IP.IsUnspecified() || err != nil {
		return at.String()
	}
	_, number, _ := net.SplitHostPort(at.String())
	return net.JoinHostPort(host, number)
}
