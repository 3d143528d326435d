package main

import (
	"net"

	"go.uber.org/zap"

	"ysync/internal/cluster"
	"ysync/internal/gateway"
	"ysync/internal/hub"
	"ysync/internal/metrics"
	"ysync/internal/relay"
	"ysync/internal/tracing"
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

// link connects this node with the others. A node that is alone has all
// documents, so that there is nothing to connect: both results are nil.
func (p relayPort) link(
	h *hub.Hub, nodes cluster.Directory, m *metrics.Metrics, tracer *tracing.Tracer, logger *zap.Logger, failed chan<- error,
) (gateway.Documents, *relay.Relay, error) {
	if p.listener == nil {
		return nil, nil, nil
	}
	r, err := relay.New(relay.Options{
		Hub: h, Directory: nodes, Secret: []byte(p.secret), TLS: p.tls, Logger: logger, Metrics: m, Tracer: tracer,
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
