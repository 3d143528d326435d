package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"ysync/internal/api"
	"ysync/internal/auth"
	"ysync/internal/hub"
	"ysync/internal/metrics"
	"ysync/internal/session"
	"ysync/snapshots"
)

// target is where a command works: at a running server, or on the stores.
type target struct {
	Server string `help:"Operations address of a running server, as http://127.0.0.1:8788 (its --ops). Without it the command opens the stores itself; then the server must be stopped, unless its update log is in PostgreSQL." placeholder:"URL"`
	Token  string `help:"Bearer token for --server. Other users of the machine can read a command line: better set YSYNC_TOKEN." placeholder:"TOKEN"`
	dataFlag
}

// client calls the API of a server: of one that runs, or of one inside this
// process that works on the stores.
type client struct {
	http  *http.Client
	base  string
	token string
	close func() error
}

// with calls f with a client for the target and closes it.
func (t target) with(ctx context.Context, s streams, what use, f func(context.Context, *client) error) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	c, err := t.connect(ctx, s, what)
	if err != nil {
		return err
	}
	return errors.Join(f(ctx, c), c.close())
}

func (t target) connect(ctx context.Context, s streams, what use) (*client, error) {
	if t.Server != "" {
		base, err := url.Parse(t.Server)
		if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" || base.User != nil {
			return nil, &exitError{exitUsage, errors.New("--server: want a URL such as http://127.0.0.1:8788, without a password (see --token)")}
		}
		return &client{
			http: &http.Client{Transport: &http.Transport{Proxy: nil, MaxIdleConnsPerHost: 64}}, base: strings.TrimSuffix(t.Server, "/"), token: t.Token,
			close: func() error { return nil },
		}, nil
	}
	data, err := t.open(ctx, s, what)
	if err != nil {
		return nil, err
	}
	logger, _ := newLoggers("warn", s.err)
	c, err := newInner(data, logger)
	if err != nil {
		return nil, errors.Join(err, data.close())
	}
	return c, nil
}

// newInner serves the API on the stores to this process alone.
func newInner(data *folder, logger *zap.Logger) (*client, error) {
	h, err := hub.New(hub.Options{
		Log: data.log, Snapshots: data.keeper, Boot: bootID(), Logger: logger,
		Damaged: snapshots.Damaged, Metrics: metrics.New(prometheus.NewRegistry()),
	})
	if err != nil {
		return nil, err
	}
	rulings, err := data.rulings(context.Background(), logger)
	if err != nil {
		return nil, errors.Join(err, h.Close(context.Background()))
	}
	handler, err := newAPI(h, data, nil, access{auth: auth.Open{}, rulings: rulings, life: defaultTokenLife}, snapshots.DefaultPolicy(), logger)
	if err != nil {
		return nil, errors.Join(err, h.Close(context.Background()))
	}
	inside := &inProcess{conns: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: handler}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(inside) }()
	return &client{
		http: &http.Client{Transport: &http.Transport{DialContext: inside.dial}},
		base: "http://localhost",
		close: func() error {
			err := server.Close()
			<-ended
			// What was changed is committed; this writes its history too.
			return errors.Join(err, h.Close(context.Background()), data.close())
		},
	}, nil
}

// newAPI is the API on a hub and the stores below it.
func newAPI(h *hub.Hub, data *folder, owners api.Owners, by access, policy snapshots.Policy, logger *zap.Logger) (*api.API, error) {
	return api.New(api.Options{
		Hub: h, Log: data.log, Keeper: data.keeper, Files: data.store, Owners: owners, Auth: by.auth, Rulings: by.rulings, TokenLife: by.life, Audit: by.audit, CheckName: session.CheckName,
		Policy: policy, Backup: backupOf(data), Logger: logger, Aside: data.aside.keep,
	})
}

// inProcess is a listener that only this process can reach.
type inProcess struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l *inProcess) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case l.conns <- there:
		return here, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *inProcess) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *inProcess) Close() error {
	close(l.closed)
	return nil
}

func (l *inProcess) Addr() net.Addr { return &net.UnixAddr{Name: "in process", Net: "pipe"} }

// request is one call of the API.
type request struct {
	method string
	at     string   // the whole path; empty for one below /api/v1
	path   []string // below /api/v1, not escaped
	query  url.Values
	header http.Header
	body   any // JSON, or an io.Reader
}

// onDocument is a request about a document.
func onDocument(method, document string, rest ...string) request {
	return request{method: method, path: append([]string{"documents", document}, rest...), query: url.Values{}}
}

// do sends a request. Whatever is no success is an error with its exit code.
func (c *client) do(ctx context.Context, r request) (*http.Response, error) {
	var b strings.Builder
	b.WriteString(c.base)
	if r.at == "" {
		b.WriteString("/api/v1")
	}
	b.WriteString(r.at)
	for _, segment := range r.path {
		// A segment of dots would be taken for a way through the tree.
		b.WriteString("/" + strings.ReplaceAll(url.PathEscape(segment), ".", "%2E"))
	}
	if len(r.query) > 0 {
		b.WriteString("?" + r.query.Encode())
	}
	var body io.Reader
	switch v := r.body.(type) {
	case nil:
	case io.Reader:
		body = v
	default:
		text, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, b.String(), body)
	if err != nil {
		return nil, err
	}
	for name, values := range r.header {
		req.Header[name] = values
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	answer, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, &exitError{exitUnavailable, err}
	}
	if answer.StatusCode/100 == 2 {
		return answer, nil
	}
	defer answer.Body.Close()
	var p api.Problem
	if err := json.NewDecoder(io.LimitReader(answer.Body, 1<<20)).Decode(&p); err != nil || p.Code == "" {
		return nil, &exitError{exitFailed, fmt.Errorf("the server answers %s: is its --ops address %s?", answer.Status, c.base)}
	}
	return nil, problemExit(&p)
}

// exitCodes are those of what the API refuses.
var exitCodes = map[api.Code]int{
	api.CodeInvalid: exitUsage, api.CodeNotFound: exitNotFound, api.CodeNoMoment: exitNotFound,
	api.CodeErased: exitNotFound, api.CodeThinned: exitNotFound, api.CodeExists: exitConflict, api.CodeRetired: exitConflict,
	api.CodeChanged: exitConflict, api.CodeDamaged: exitData, api.CodeNewerFormat: exitData,
	api.CodeNotCommitting: exitUnavailable, api.CodeUnavailable: exitUnavailable, api.CodeDenied: exitDenied,
}

func problemExit(p *api.Problem) error {
	code, ok := exitCodes[p.Code]
	if !ok {
		code = exitFailed
	}
	return &exitError{code, p}
}

// json sends a request whose answer is one JSON value.
func (c *client) json(ctx context.Context, r request, v any) error {
	answer, err := c.do(ctx, r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if err := json.NewDecoder(answer.Body).Decode(v); err != nil {
		return &exitError{exitUnavailable, fmt.Errorf("the answer cannot be read: %w", err)}
	}
	return nil
}

// bytes sends a request and returns the answer and its header.
func (c *client) bytes(ctx context.Context, r request) ([]byte, http.Header, error) {
	answer, err := c.do(ctx, r)
	if err != nil {
		return nil, nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, nil, &exitError{exitUnavailable, fmt.Errorf("the answer was cut off: %w", err)}
	}
	return body, answer.Header, nil
}

// visit is called with each line of an answer: which member it has, and that.
type visit func(member string, value json.RawMessage) error

// lines sends a request whose answer is line by line, and decodes its end.
func (c *client) lines(ctx context.Context, r request, end any, visit visit) error {
	answer, err := c.do(ctx, r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	d := json.NewDecoder(bufio.NewReaderSize(answer.Body, 64<<10))
	for {
		var line map[string]json.RawMessage
		if err := d.Decode(&line); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return &exitError{exitUnavailable, fmt.Errorf("the answer was cut off: %w", err)}
		}
		for member, value := range line {
			switch member {
			case "end":
				return json.Unmarshal(value, end)
			case "error":
				var p api.Problem
				if err := json.Unmarshal(value, &p); err != nil {
					return err
				}
				return problemExit(&p)
			}
			if err := visit(member, value); err != nil {
				return err
			}
		}
	}
}
