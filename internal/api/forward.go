package api

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"go.uber.org/zap"
)

// Owners are the nodes of a cluster. Its methods may be called from any goroutine.
type Owners interface {
	// Owner names the node that has to answer for a document; empty for this one.
	Owner(ctx context.Context, document string) (node string, err error)
	// RoundTripper passes a request on to the node that is the host of its URL,
	// over a connection that only nodes can make.
	http.RoundTripper
}

// forwarded marks a request that came from another node, and says from where
// that one had it. It is served, or refused, where it arrives: two nodes that
// have each other for the owner must not send it to and fro.
const forwarded = "Ysync-Forwarded"

// FromNode serves a request that another node passes on, over a connection that
// only nodes can make. For limits and the audit log it comes from where that
// node had it from.
func (a *API) FromNode(w http.ResponseWriter, r *http.Request) {
	if from, err := netip.ParseAddrPort(r.Header.Get(forwarded)); err == nil {
		r.RemoteAddr = from.String()
	}
	a.mux.ServeHTTP(w, r)
}

// ownerWithin bounds the search for the owner of a document.
const ownerWithin = 5 * time.Second

// forward has the owner of the document answer a call that it alone can answer:
// what changes the document or shows what is in memory. Past states are read
// from the log and the files, which every node can. It tells whether it has
// answered.
func (a *API) forward(w http.ResponseWriter, c *call) (bool, error) {
	if a.opt.Owners == nil || c.document == "" || c.Header.Get(forwarded) != "" ||
		c.Method == http.MethodGet && !strings.HasSuffix(c.Pattern, "/documents/{document}") {
		return false, nil
	}
	document, err := c.target(w)
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(c.ctx, ownerWithin)
	defer cancel()
	node, err := a.opt.Owners.Owner(ctx, document)
	if err != nil {
		return false, problem(http.StatusServiceUnavailable, CodeUnavailable, "no node has the document now: "+err.Error())
	}
	if node == "" {
		return false, nil
	}
	proxy := httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: node})
			r.Out.Header.Set(forwarded, c.RemoteAddr)
		},
		Transport:     a.opt.Owners,
		FlushInterval: -1,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			a.opt.Logger.Error("a call could not be passed to the owner", zap.String("owner", node), zap.Error(err))
			writeProblem(w, problem(http.StatusServiceUnavailable, CodeUnavailable, "the document's owner, node "+node+", could not be reached"))
		},
	}
	proxy.ServeHTTP(w, c.Request)
	return true, nil
}

// target is the document whose owner has to answer: a copy, or a restore into a
// new document, reads the one of the path and writes the other.
func (c *call) target(w http.ResponseWriter) (string, error) {
	if !strings.HasSuffix(c.Pattern, "/restore") && !strings.HasSuffix(c.Pattern, "/copy") {
		return c.document, nil
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, c.Body, maxOrder))
	if err != nil {
		return "", err
	}
	c.Body = io.NopCloser(bytes.NewReader(body))
	var o struct {
		Into string `json:"into"`
	}
	if err := json.Unmarshal(body, &o); err != nil || o.Into == "" {
		// What is wrong with it, the owner says.
		return c.document, nil
	}
	return o.Into, nil
}
