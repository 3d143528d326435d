package main

import (
	"context"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"

	"go.uber.org/zap"

	"ysync/internal/cluster"
)

// forwarded marks a request that came from another node: it goes no further,
// whatever the nodes think of one another.
const forwarded = "Ysync-Forwarded"

// ownerWithin bounds the search for the owner of a document.
const ownerWithin = 5 * time.Second

// forward is the HTTP API of a node: what has to be done by the owner of a
// document goes to the operations port of the owner, and all else to local.
func forward(local http.Handler, nodes cluster.Directory, logger *zap.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", local)
	transport := &http.Transport{DialContext: (&net.Dialer{Timeout: ownerWithin}).DialContext, MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute}
	toOwner := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), ownerWithin)
		owner, err := nodes.Owner(ctx, r.PathValue("document"))
		cancel()
		if err != nil || owner.Boot == nodes.Self().Boot || owner.Operations == "" || r.Header.Get(forwarded) != "" {
			local.ServeHTTP(w, r)
			return
		}
		proxy := &httputil.ReverseProxy{
			Rewrite: func(p *httputil.ProxyRequest) {
				p.SetURL(&url.URL{Scheme: "http", Host: owner.Operations})
				p.Out.Header.Set(forwarded, nodes.Self().Boot)
			},
			Transport:     transport,
			FlushInterval: -1,
			ErrorLog:      zap.NewStdLog(logger),
		}
		proxy.ServeHTTP(w, r)
	})
	for _, pattern := range []string{
		"GET /api/v1/documents/{document}", "DELETE /api/v1/documents/{document}",
		"POST /api/v1/documents/{document}/{what}", "PUT /api/v1/documents/{document}/{what}",
	} {
		mux.Handle(pattern, toOwner)
	}
	return mux
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
