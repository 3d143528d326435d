// Package audit writes down who did what: one JSON object a line, appended to a
// file and never changed.
//
// A line is one write to the file, so lines of a process that is killed are whole;
// they are synced every second, so a machine that loses its power may lose the
// newest second. When the file was moved away a new one is begun within a second,
// which is how it is rotated. A line that can't be written does not stop the
// server: it is counted, and told in the log.
package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"ysync/internal/auth"
	"ysync/internal/limit"
)

// Event is one line.
type Event struct {
	Time time.Time `json:"time"`
	Node string    `json:"node,omitempty"`
	// Event says what happened: "opened", "refused", or the operation of the API.
	Event    string `json:"event"`
	Document string `json:"document,omitempty"`
	Subject  string `json:"subject,omitempty"`
	Tenant   string `json:"tenant,omitempty"`
	// Token is the ID of the token (jti), never the token.
	Token   string `json:"token_id,omitempty"`
	Scope   string `json:"scope,omitempty"`
	Remote  string `json:"remote,omitempty"`
	Session uint64 `json:"session,omitempty"`
	// Status is how an operation ended, as an HTTP status.
	Status int `json:"status,omitempty"`
	// Detail is what a change of rights was.
	Detail any `json:"detail,omitempty"`
}

// Refusal is the detail of somebody who was not let in.
type Refusal struct {
	Code   int    `json:"code"` // of the close
	Reason string `json:"reason"`
	// Omitted is how many others before it have no line, as there were too many.
	Omitted int `json:"omitted,omitempty"`
}

// refusals are how many a second have a line, beyond a burst: anybody can make
// them, and must not be able to fill the disk.
var refusals = limit.Per(2, 100)

// syncEvery is how often lines are synced, and the file is looked for.
const syncEvery = time.Second

// Log is an audit log. A nil Log writes nothing. Its methods may be called from
// any goroutine.
type Log struct {
	path, node string
	now        func() time.Time
	failed     func(error)

	mu sync.Mutex
	// Guarded by mu.
	file    *os.File
	dirty   bool
	refused limit.Bucket
	omitted int // refusals without a line since the last one that has one
}

// Open begins or goes on with a file, readable by its owner alone. failed hears
// of lines that could not be written.
func Open(path, node string, failed func(error)) (*Log, error) {
	l := &Log{path: path, node: node, now: time.Now, failed: failed}
	return l, l.open()
}

func (l *Log) open() error {
	file, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("audit log: %w", err)
	}
	l.file = file
	return nil
}

// Write appends an event, of which it fills in the time and the node.
func (l *Log) Write(e Event) {
	if l == nil {
		return
	}
	e.Time, e.Node = l.now().UTC(), l.node
	line, err := json.Marshal(e)
	if err == nil {
		l.mu.Lock()
		_, err = l.file.Write(append(line, '\n'))
		l.dirty = true
		l.mu.Unlock()
	}
	if err != nil {
		l.failed(err)
	}
}

// Opened notes that somebody opened a document.
func (l *Log) Opened(document string, g auth.Grant, remote string, session uint64) {
	if l == nil {
		return
	}
	l.Write(Event{
		Event: "opened", Document: document, Subject: g.Subject, Tenant: g.Tenant, Token: g.Token,
		Scope: g.Scope.String(), Remote: remote, Session: session,
	})
}

// Refused notes that somebody was not let in, if there were not too many of late.
func (l *Log) Refused(document, remote string, session uint64, code int, reason string) {
	if l == nil {
		return
	}
	l.mu.Lock()
	now := l.now().UnixNano()
	if int64(l.refused) > now+refusals.Burst() {
		l.omitted++
		l.mu.Unlock()
		return
	}
	l.refused.Take(refusals, 1, now)
	omitted := l.omitted
	l.omitted = 0
	l.mu.Unlock()
	l.Write(Event{Event: "refused", Document: document, Remote: remote, Session: session, Detail: Refusal{code, reason, omitted}})
}

// Run syncs the file every second until ctx ends.
func (l *Log) Run(ctx context.Context) {
	ticker := time.NewTicker(syncEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		if err := l.tidy(); err != nil {
			l.failed(err)
		}
	}
}

// tidy syncs what was written, and begins a new file if this one was moved away.
func (l *Log) tidy() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var err error
	if l.dirty {
		err, l.dirty = l.file.Sync(), false
	}
	there, err2 := os.Stat(l.path)
	open, err3 := l.file.Stat()
	if err2 == nil && err3 == nil && os.SameFile(there, open) {
		return err
	}
	old := l.file
	if err2 := l.open(); err2 != nil {
		return errors.Join(err, err2)
	}
	return errors.Join(err, old.Close())
}

// Close syncs and closes the file. Nothing may be written any more.
func (l *Log) Close() error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.file.Sync(), l.file.Close())
}
