package gateway

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"ysync/internal/api"
)

// SessionInfo is an open session, as /sessions lists it.
type SessionInfo struct {
	Session  uint64    `json:"session"`
	Document string    `json:"document"`
	Subject  string    `json:"subject,omitempty"`
	Remote   string    `json:"remote"`
	Since    time.Time `json:"since"`
	// Attached: it has begun to talk, or the server has.
	Attached bool `json:"attached"`
	CanWrite bool `json:"can_write"`
	// Slowed: it sent more than a limit allows, and is read more slowly.
	Slowed bool `json:"slowed"`
}

// maxSessions bounds the answer of /sessions.
const maxSessions = 1000

// sessions lists open sessions of this node, all or those of one document.
func (s *Server) sessions(w http.ResponseWriter, r *http.Request) {
	document := r.URL.Query().Get("document")
	out := []SessionInfo{}
	s.connections.each(func(c *conn) {
		if len(out) == maxSessions || document != "" && c.document != document {
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		out = append(out, SessionInfo{
			Session: c.id, Document: c.document, Subject: c.peer.Subject, Remote: c.remote, Since: c.session.Opened(),
			Attached: c.session.Attached(), CanWrite: c.peer.CanWrite, Slowed: c.slowed.Load(),
		})
	})
	slices.SortFunc(out, func(a, b SessionInfo) int { return int(int64(a.Session) - int64(b.Session)) })
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(out)
}

// find returns an open connection.
func (s *Server) find(id uint64) (found *conn) {
	s.connections.each(func(c *conn) {
		if c.id == id {
			found = c
		}
	})
	return found
}

// traceLine is a line of the answer of /sessions/{session}/trace.
type traceLine struct {
	Event *Event `json:"event,omitempty"`
	Lost  int    `json:"lost,omitempty"`
	// End is the last one: why there will be no more.
	End string `json:"end,omitempty"`
}

// trace tells what happens on one session from now on, a line each, until it
// ends or who asked goes. A session is watched by one at a time.
func (s *Server) trace(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.ParseUint(r.PathValue("session"), 10, 64)
	var c *conn
	if err == nil {
		c = s.find(id)
	}
	watching := newWatch()
	switch {
	case c == nil:
		problem(w, http.StatusNotFound, api.CodeNotFound, "there is no such session at this node")
		return
	case !c.watch.CompareAndSwap(nil, watching):
		problem(w, http.StatusConflict, api.CodeExists, "somebody watches the session already")
		return
	}
	defer c.watch.Store(nil)
	watching.add(Event{Time: s.now(), Way: wayNote, Kind: "watching", Note: "from now on; what was before is not known"})
	w.Header().Set("Content-Type", "application/x-ndjson")
	out, encode := http.NewResponseController(w), json.NewEncoder(w)
	if errors.Join(out.Flush()) != nil {
		return
	}
	for {
		events, lost, over := watching.take()
		if lost > 0 && encode.Encode(traceLine{Lost: lost}) != nil {
			return
		}
		for i := range events {
			if encode.Encode(traceLine{Event: &events[i]}) != nil {
				return
			}
		}
		if over {
			_ = encode.Encode(traceLine{End: "the session has ended"})
		}
		if out.Flush() != nil || over {
			return
		}
		select {
		case <-watching.more:
		case <-r.Context().Done():
			return
		case <-s.ctx.Done():
			return
		}
	}
}

// problem answers as the API does.
func problem(w http.ResponseWriter, status int, code api.Code, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(api.Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Code: code, Detail: detail})
}
