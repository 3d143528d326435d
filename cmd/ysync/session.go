package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"syscall"

	"ysync/internal/gateway"
)

type sessionCmd struct {
	List  sessionListCmd  `cmd:"" help:"List the open sessions, up to a thousand."`
	Trace sessionTraceCmd `cmd:"" help:"Follow what a session sends and is sent, by kinds and sizes, never content: why is this client not syncing?"`
}

// runningServer is the operations port of a running server.
type runningServer struct {
	Server string `help:"Operations address of a running server, as http://127.0.0.1:8788 (its --ops). Sessions are those of this node." placeholder:"URL" required:""`
	Token  string `help:"Bearer token for --server. Other users of the machine can read a command line: better set YSYNC_TOKEN." placeholder:"TOKEN"`
}

func (o runningServer) connect(ctx context.Context, s streams) (*client, error) {
	return target{Server: o.Server, Token: o.Token}.connect(ctx, s, look)
}

type sessionListCmd struct {
	runningServer
	Document string `arg:"" optional:"" help:"List only sessions of this document."`
	jsonFlag
}

// Run lists open sessions.
func (c *sessionListCmd) Run(ctx context.Context, s streams) error {
	client, err := c.connect(ctx, s)
	if err != nil {
		return err
	}
	r := request{method: http.MethodGet, at: "/sessions"}
	if c.Document != "" {
		r.query = url.Values{"document": {c.Document}}
	}
	out := c.printer(s, "SESSION", "DOCUMENT", "SUBJECT", "FROM", "SINCE", "MAY", "STATE")
	return show(ctx, client, r, out, func(all []gateway.SessionInfo) {
		for _, i := range all {
			may, state := "read", "attached"
			if i.CanWrite {
				may = "write"
			}
			switch {
			case !i.Attached:
				state = "silent"
			case i.Slowed:
				state = "slowed"
			}
			out.row(i, i.Session, i.Document, i.Subject, i.Remote, i.Since, may, state)
		}
	})
}

type sessionTraceCmd struct {
	runningServer
	Session uint64 `arg:"" help:"Number of the session, as list and the log have it."`
	jsonFlag
}

// Run follows a session until it ends, or a signal.
func (c *sessionTraceCmd) Run(ctx context.Context, s streams) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	client, err := c.connect(ctx, s)
	if err != nil {
		return err
	}
	answer, err := client.do(ctx, request{method: http.MethodGet, at: fmt.Sprintf("/sessions/%d/trace", c.Session)})
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	lines := json.NewDecoder(answer.Body)
	for {
		var line struct {
			Event gateway.Event
			Lost  int
			End   string
		}
		switch err := lines.Decode(&line); {
		case ctx.Err() != nil:
			return nil // it was told to stop
		case errors.Is(err, io.EOF):
			return &exitError{exitUnavailable, errors.New("the answer was cut off")}
		case err != nil:
			return &exitError{exitUnavailable, err}
		}
		out := c.printer(s)
		switch e := line.Event; {
		case line.End != "":
			return nil
		case line.Lost > 0:
			out.row(line, fmt.Sprintf("%d events were lost", line.Lost))
		default:
			size := ""
			if e.Bytes > 0 {
				size = fmt.Sprintf("%d B", e.Bytes)
			}
			out.row(e, e.Time.Format("15:04:05.000"), fmt.Sprintf("%-4s", e.Way), fmt.Sprintf("%-15s", e.Kind), fmt.Sprintf("%10s", size), e.Note)
		}
		if err := out.flush(); err != nil {
			return err
		}
	}
}

type docHotCmd struct {
	runningServer
	jsonFlag
}

// Run lists the documents that cost most.
func (c *docHotCmd) Run(ctx context.Context, s streams) error {
	client, err := c.connect(ctx, s)
	if err != nil {
		return err
	}
	out := c.printer(s, "DOCUMENT", "BUSY", "MESSAGES/S", "DELIVERIES/S", "SESSIONS")
	return show(ctx, client, request{method: http.MethodGet, at: "/status"}, out, func(st gateway.Status) {
		for _, d := range st.Hottest {
			out.row(d, d.Document, fmt.Sprintf("%.1f %%", d.BusyPercent), fmt.Sprintf("%.1f", d.Messages), fmt.Sprintf("%.1f", d.Deliveries), d.Sessions)
		}
	})
}
