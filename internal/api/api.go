package api

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"ysync/internal/audit"
	"ysync/internal/auth"
	"ysync/internal/hub"
	"ysync/persistence"
	"ysync/snapshots"
)

// Options configure an API. Hub, Log, Keeper, Files, Auth and Logger are required.
type Options struct {
	// Hub makes the changes.
	Hub *hub.Hub
	// Log, Keeper and Files are what the hub stands on; they are read from.
	Log    persistence.Log
	Keeper *snapshots.Keeper
	Files  snapshots.Store
	// Owners tells which node has to answer for a document; nil when all are here.
	Owners Owners
	// Auth grants the requests. Every route asks for the scope admin.
	Auth auth.Authorizer
	// Rulings take rights back; nil where there are none to take.
	Rulings *auth.Rulings
	// TokenLife is the longest life of a token: how long a ruling holds unless it
	// says.
	TokenLife time.Duration
	// Audit hears of what is done; nil for nobody.
	Audit *audit.Log
	// CheckName refuses what clients can't open as a document; nil for none.
	CheckName func(document string) error
	// Aside keeps damaged bytes when a document is repaired; nil refuses repairs.
	// See snapshots.RepairOptions.
	Aside func(name string, content []byte) (where string, err error)
	// Policy is what prune applies unless a request says otherwise.
	Policy snapshots.Policy
	// Backup makes backups; nil where none can be made.
	Backup Backup
	// MaxUpdate bounds an update that is applied, in bytes; 0 for 256 MiB.
	MaxUpdate int64
	// Now is the clock; nil for time.Now.
	Now    func() time.Time
	Logger *zap.Logger
}

// prefix is what the path of every route begins with.
const prefix = "/api/v1"

// maxOrder bounds a body of JSON, in bytes.
const maxOrder = 64 << 10

// API serves the routes of the package comment.
type API struct {
	opt Options
	mux *http.ServeMux
	// requests numbers those that are answered, for the log.
	requests atomic.Uint64
}

var _ http.Handler = (*API)(nil)

// New returns an API.
func New(opt Options) (*API, error) {
	switch {
	case opt.Hub == nil:
		return nil, errors.New("api: no hub given")
	case opt.Log == nil || opt.Keeper == nil || opt.Files == nil:
		return nil, errors.New("api: no log, no keeper or no files given")
	case opt.Auth == nil:
		return nil, errors.New("api: no authoriser given")
	case opt.Logger == nil:
		return nil, errors.New("api: no logger given")
	}
	if opt.MaxUpdate <= 0 {
		opt.MaxUpdate = 256 << 20
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.CheckName == nil {
		opt.CheckName = func(string) error { return nil }
	}
	a := &API{opt: opt, mux: http.NewServeMux()}
	for _, r := range a.routes() {
		a.mux.Handle(r.method+" "+prefix+r.path, a.serve(r.serve, r.audit))
	}
	a.mux.HandleFunc("/api/", func(w http.ResponseWriter, _ *http.Request) {
		writeProblem(w, problem(http.StatusNotFound, CodeNotFound, "there is no such route"))
	})
	return a, nil
}

// ServeHTTP implements http.Handler, for all that is no node.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Header.Del(forwarded)
	a.mux.ServeHTTP(w, r)
}

// call is one request that was let in.
type call struct {
	*http.Request
	ctx context.Context
	// document is the one that the path names, empty for none.
	document string
	grant    auth.Grant
	// detail is what the audit log tells of it beside.
	detail any
}

// handler answers a call. An error that it returns is written as a problem, so
// it must not have written anything itself.
type handler func(w http.ResponseWriter, c *call) error

// serve lets a request in or refuses it, and writes what goes wrong. What it did
// is noted as event, unless that is empty or another node did it.
func (a *API) serve(h handler, event string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := a.opt.Now()
		c := &call{Request: r, ctx: r.Context(), document: r.PathValue("document")}
		err := a.admit(c)
		answered := false
		if err == nil {
			answered, err = a.forward(w, c)
		}
		if err == nil && !answered {
			err = h(w, c)
		}
		// What was only rehearsed did not happen.
		if dry, _ := flag(c, "dry_run"); event != "" && !answered && (err != nil || !dry) {
			a.audit(c, event, err)
		}
		fields := []zap.Field{
			zap.String("method", r.Method), zap.String("route", r.Pattern), zap.String("document", c.document),
			zap.Uint64("request", a.requests.Add(1)), zap.String("subject", c.grant.Subject), zap.Duration("took", a.opt.Now().Sub(start)),
		}
		if err == nil {
			if r.Method != http.MethodGet {
				a.opt.Logger.Info("operation", fields...)
			}
			return
		}
		p := problemOf(err)
		if p.Status >= http.StatusInternalServerError {
			a.opt.Logger.Error("operation failed", append(fields, zap.Error(err))...)
		}
		writeProblem(w, p)
	})
}

// audit notes what a call did, or tried to.
func (a *API) audit(c *call, event string, err error) {
	status := http.StatusOK
	if err != nil {
		status = problemOf(err).Status
	}
	a.opt.Audit.Write(audit.Event{
		Event: event, Document: c.document, Subject: c.grant.Subject, Tenant: c.grant.Tenant, Token: c.grant.Token,
		Remote: c.RemoteAddr, Status: status, Detail: c.detail,
	})
}

// admit is the one place where a request is authorised: whoever operates needs
// a grant of scope admin for the document, or for all documents where the path
// names none.
func (a *API) admit(c *call) error {
	if c.document != "" || c.Pattern != "" && strings.Contains(c.Pattern, "{document}") {
		if err := a.checkName(c.document); err != nil {
			return err
		}
	}
	remote, err := netip.ParseAddrPort(c.RemoteAddr)
	if err != nil {
		remote = netip.AddrPort{}
	}
	token, _ := strings.CutPrefix(c.Header.Get("Authorization"), "Bearer ")
	now := a.opt.Now()
	grant, err := a.opt.Auth.Authorize(c.ctx, auth.Request{Document: c.document, Token: token, Remote: remote, Now: now})
	switch {
	case errors.Is(err, auth.ErrToken):
		return problem(http.StatusUnauthorized, CodeDenied, err.Error())
	case errors.Is(err, auth.ErrUnavailable):
		return problem(http.StatusServiceUnavailable, CodeUnavailable, err.Error())
	case errors.Is(err, auth.ErrDenied):
		return problem(http.StatusForbidden, CodeDenied, err.Error())
	case err != nil:
		return err
	}
	if err := grant.Check(auth.Operate, c.document, now); err != nil {
		return problem(http.StatusForbidden, CodeDenied, err.Error())
	}
	c.grant = grant
	return nil
}

// checkName refuses a name that no document can have.
func (a *API) checkName(document string) error {
	if !persistence.ValidName(document) {
		return problem(http.StatusBadRequest, CodeInvalid, "the document's name has to be 1 to 256 bytes of UTF-8")
	}
	if err := a.opt.CheckName(document); err != nil {
		return problem(http.StatusBadRequest, CodeInvalid, err.Error())
	}
	return nil
}
