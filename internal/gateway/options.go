package gateway

import (
	"errors"
	"io/fs"
	"net/http"
	"net/netip"
	"time"

	"go.uber.org/zap"

	"ysync/internal/audit"
	"ysync/internal/auth"
	"ysync/internal/hub"
	"ysync/internal/metrics"
	"ysync/internal/session"
	"ysync/internal/tracing"
)

// Options configure a Server.
type Options struct {
	// Hub owns the documents. Required.
	Hub *hub.Hub
	// Documents is where sessions find them; nil when Hub owns them all.
	Documents Documents
	// Auth grants access. Required.
	Auth auth.Authorizer
	// Rulings take rights back from sessions that live. Nil for never.
	Rulings *auth.Rulings
	// Audit hears who opened what; nil for nobody.
	Audit *audit.Log
	// Sites are the web sites whose pages may connect. The zero value is
	// those of this machine.
	Sites auth.Sites
	// Metrics and Logger are required.
	Metrics *metrics.Metrics
	Logger  *zap.Logger
	// Page is served to browsers at "/": index.html and what it refers to.
	// Nil serves none.
	Page fs.FS
	// Session bounds each session.
	Session session.Limits
	// MaxConnections bounds open WebSockets; requests beyond it are answered
	// 503. Default 50,000.
	MaxConnections int
	// Compress lets clients have messages compressed (permessage-deflate).
	Compress bool
	// Proxies are trusted to say, in X-Forwarded-For, who the client is.
	Proxies []netip.Prefix
	// MaxRequests bounds TCP connections that are no WebSockets yet. Beyond it
	// the oldest is closed: an honest handshake is over in no time. Default 4,096.
	MaxRequests int
	// Subject and Tenant bound what the sessions of one of them take together.
	Subject, Tenant Share
	// Marks say when the node is loaded.
	Marks Marks
	// ConnectRate is how many connections a second are let in, beyond a burst of
	// twice as many; requests beyond it are answered 503. Default 10,000.
	ConnectRate int
	// MaxWaitingLoads is how many documents may wait to be loaded here before
	// those who want one that is not open are answered 503. Default 512.
	MaxWaitingLoads int
	// LargeBudget is the memory, in bytes, that messages above 1 MiB may hold
	// together while they are received. Default 256 MiB, and at least one
	// message of the largest size. Those of 64 KiB to 1 MiB have a quarter of
	// it for themselves, and those of 4 to 64 KiB another.
	LargeBudget int64
	// Log tells what /status shows of a log that is elsewhere; nil shows
	// nothing. Its result must encode as JSON and hold no secret.
	Log func() any
	// Cluster tells what /status shows of the cluster, and lines on what is gone;
	// nil shows nothing.
	Cluster func() (any, []string)
	// API is served at /api/ of the operations listener; nil for none.
	API http.Handler
	// Tracer follows messages; nil follows none.
	Tracer *tracing.Tracer
	// Now reads the clock. Default time.Now.
	Now func() time.Time

	look func() measured // nil for the runtime's figures
}

// largeBytes is the size from which a message draws on the budget.
const largeBytes = 1 << 20

func (o Options) withDefaults() (Options, error) {
	switch {
	case o.Hub == nil:
		return o, errors.New("gateway: no hub")
	case o.Auth == nil:
		return o, errors.New("gateway: no authoriser")
	case o.Metrics == nil || o.Logger == nil:
		return o, errors.New("gateway: no metrics or no logger")
	}
	if o.Documents == nil {
		o.Documents = here{o.Hub}
	}
	o.Session = o.Session.WithDefaults()
	if o.MaxConnections <= 0 {
		o.MaxConnections = 50_000
	}
	if o.MaxRequests <= 0 {
		o.MaxRequests = 4096
	}
	o.Marks = o.Marks.withDefaults()
	if o.ConnectRate <= 0 {
		o.ConnectRate = 10_000
	}
	if o.MaxWaitingLoads <= 0 {
		o.MaxWaitingLoads = 512
	}
	if o.LargeBudget <= 0 {
		o.LargeBudget = 256 << 20
	}
	o.LargeBudget = max(o.LargeBudget, int64(o.Session.MessageBytes))
	if o.look == nil {
		o.look = new(probe).look
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o, nil
}
