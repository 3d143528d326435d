package gateway

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"ysync/internal/auth"
	"ysync/internal/session"
	"ysync/syncproto"
)

// withRulings has a server ask for tokens and obey rulings.
func withRulings(t *testing.T) (change func(*Options), sign func(string, time.Duration) string, rulings *auth.Rulings) {
	t.Helper()
	tokens, sign := withTokens(t)
	file, err := auth.OpenRulingFile(filepath.Join(t.TempDir(), "rulings"))
	if err != nil {
		t.Fatal(err)
	}
	if rulings, err = auth.NewRulings(context.Background(), file, nil); err != nil {
		t.Fatal(err)
	}
	return func(o *Options) {
		tokens(o)
		o.Auth, o.Rulings = auth.Ruled{Authorizer: o.Auth, Rulings: rulings}, rulings
	}, sign, rulings
}

func rule(t *testing.T, r *auth.Rulings, ruling auth.Ruling) {
	t.Helper()
	ruling.At = time.Now()
	ruling.Until = ruling.At.Add(time.Hour)
	if err := r.Rule(context.Background(), ruling); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) enter(t *testing.T, path, token string) *client {
	t.Helper()
	c, _, err := r.try(path, header(token))
	if err != nil {
		t.Fatal(err)
	}
	c.sync()
	return c
}

// text waits until a reader has the whole text.
func (r *rig) text(t *testing.T, path, token, want string) {
	t.Helper()
	for range 1000 {
		c := r.enterRaw(t, path, token)
		if strings.Contains(string(c), want) {
			return
		}
	}
	t.Errorf("%q never came", want)
}

func (r *rig) enterRaw(t *testing.T, path, token string) []byte {
	t.Helper()
	c, _, err := r.try(path, header(token))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.ws.CloseNow() }()
	c.send(syncproto.AppendSyncStep1(nil, []byte{0}))
	return slices.Clone(c.until(syncproto.KindSyncStep2).Payload)
}

func ack(n byte) []byte { return []byte{102, 1, n} }

// A writer becomes a reader without a new connection, and a writer again: what it
// made meanwhile comes then.
func TestRolesChangeInPlace(t *testing.T) {
	change, sign, rulings := withRulings(t)
	r := start(t, change)
	token := sign("write", time.Hour)
	ann := r.enter(t, "/notes/a", token)
	ann.send(syncproto.AppendUpdate(nil, insert(7, 0, "x")))
	ann.send(ack(1))
	ann.until(syncproto.KindAck)
	reader := r.enter(t, "/notes/a", token)
	rule(t, rulings, auth.Ruling{Subject: "ann", Documents: "notes/a", Scope: auth.Read})
	r.await(t, "the sessions are readers", func() bool { return r.value("ysync_rights_changed_total", "") == 2 })
	ann.send(syncproto.AppendUpdate(nil, insert(7, 1, "y")))
	ann.send(syncproto.AppendSyncStep2(nil, insert(8, 0, "z")))
	ann.send(ack(2))
	// The acknowledgement does not come; presence does, from a session that only reads.
	reader.send(syncproto.AppendAwareness(nil, []byte{1, 9, 1, 2, '{', '}'}))
	for m := ann.next(); m.Kind != syncproto.KindAwareness || len(m.Payload) < 4; m = ann.next() {
		if m.Kind == syncproto.KindAck {
			t.Fatal("a refused edit was acknowledged")
		}
	}
	if state := r.enterRaw(t, "/notes/a", token); strings.ContainsAny(string(state), "yz") || !strings.Contains(string(state), "x") {
		t.Errorf("a reader has written: % x", state)
	}
	rule(t, rulings, auth.Ruling{Subject: "ann", Documents: "notes/a", Scope: auth.Admin})
	ann.until(syncproto.KindSyncStep1) // it is asked what it has
	ann.send(syncproto.AppendSyncStep2(nil, insert(7, 1, "y")))
	ann.send(ack(3))
	for m := ann.until(syncproto.KindAck); m.Payload[0] != 3; m = ann.until(syncproto.KindAck) {
	}
	r.text(t, "/notes/a", token, "y")
}

func (r *rig) await(t *testing.T, what string, f func() bool) {
	t.Helper()
	deadline := time.Now().Add(bound)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		<-tick.C
	}
}

// Whom a ruling is on, and what becomes of its sessions.
func TestRulingsReachLivingSessions(t *testing.T) {
	for name, c := range map[string]struct {
		ruling auth.Ruling
		code   int // 0: it stays
	}{
		"the subject":       {auth.Ruling{Subject: "ann"}, session.CloseUnauthorized},
		"somebody else":     {auth.Ruling{Subject: "bob"}, 0},
		"the document":      {auth.Ruling{Documents: "notes/a"}, session.CloseUnauthorized},
		"the tenant":        {auth.Ruling{Documents: "notes/*"}, session.CloseUnauthorized},
		"another document":  {auth.Ruling{Documents: "notes/b"}, 0},
		"seen no more":      {auth.Ruling{Subject: "ann", Scope: auth.Silent}, session.CloseRestart},
		"a role it has not": {auth.Ruling{Subject: "ann", Scope: auth.Write}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			change, sign, rulings := withRulings(t)
			r := start(t, change)
			ann := r.enter(t, "/notes/a", sign("write", time.Hour))
			rule(t, rulings, c.ruling)
			if c.code != 0 {
				if end := ann.closed(); int(end.Code) != c.code {
					t.Errorf("closed with %v", end)
				}
				return
			}
			ann.send(syncproto.AppendUpdate(nil, insert(7, 0, "x")))
			ann.send(ack(1))
			ann.until(syncproto.KindAck)
		})
	}
}

// A thousand sessions of a subject end at once, and none comes back.
func TestRevokeEndsAThousandSessions(t *testing.T) {
	change, sign, rulings := withRulings(t)
	r := start(t, change)
	token := sign("read", time.Hour)
	const many = 1000
	clients := make([]*client, many)
	for i := range clients {
		clients[i] = r.enter(t, "/notes/a", token)
	}
	begin := time.Now()
	rule(t, rulings, auth.Ruling{Subject: "ann"})
	took := make([]time.Duration, many)
	var all sync.WaitGroup
	for i, c := range clients {
		all.Go(func() {
			for {
				if _, _, err := c.ws.Read(context.Background()); err != nil {
					if websocket.CloseStatus(err) != session.CloseUnauthorized {
						t.Error(err)
					}
					took[i] = time.Since(begin)
					return
				}
			}
		})
	}
	all.Wait()
	slices.Sort(took)
	t.Logf("revoke to close with %d sessions: p50 %v, p99 %v, last %v", many, took[many/2], took[many*99/100], took[many-1])
	if took[many*99/100] > 30*time.Second {
		t.Errorf("p99 %v", took[many*99/100])
	}
	again, _, err := r.try("/notes/a", header(token))
	if err != nil {
		t.Fatal(err)
	}
	if reason, code := again.refusedWith(); code != session.CloseUnauthorized || !strings.Contains(reason, "revoked") {
		t.Errorf("closed with %d, %q", code, reason)
	}
}

// A client may say that its token comes in a message. Nothing else counts before.
func TestTokenInAMessage(t *testing.T) {
	change, sign, _ := withRulings(t)
	r := start(t, change)
	token := sign("write", time.Hour)
	ws := r.connect("/notes/a?auth=message")
	ws.send(syncproto.AppendUpdate(nil, insert(7, 0, "x")))
	ws.send(syncproto.AppendSyncStep1(nil, []byte{0}))
	ws.send(syncproto.AppendPermissionDenied(nil, token)) // the same bytes
	if m := ws.next(); m.Kind != syncproto.KindAuthGranted {
		t.Fatalf("the first message is %v", m.Kind)
	}
	ws.send(syncproto.AppendSyncStep1(nil, []byte{0}))
	if m := ws.until(syncproto.KindSyncStep2); string(m.Payload) != "\x00\x00" {
		t.Errorf("what came before the token was heard: % x", m.Payload)
	}
	for _, bad := range []string{"x", sign("none", time.Hour)} {
		ws := r.connect("/notes/a?auth=message")
		ws.send(syncproto.AppendPermissionDenied(nil, bad))
		if _, code := ws.refusedWith(); code != session.CloseUnauthorized {
			t.Errorf("closed with %d", code)
		}
	}
}

// A session goes on with a fresh token, and ends without.
func TestFreshTokenKeepsTheSession(t *testing.T) {
	change, sign, _ := withRulings(t)
	r := start(t, change)
	ws := r.enter(t, "/notes/a", sign("read", time.Hour))
	ws.send(syncproto.AppendPermissionDenied(nil, "nonsense"))
	if m := ws.until(syncproto.KindAuth); !strings.Contains(string(m.Payload), "JSON Web Token") {
		t.Errorf("%q", m.Payload)
	}
	ws.send(syncproto.AppendPermissionDenied(nil, sign("write", 2*time.Hour)))
	ws.until(syncproto.KindAuthGranted)
	ws.until(syncproto.KindSyncStep1) // it may write now
	ws.send(syncproto.AppendSyncStep2(nil, insert(7, 0, "x")))
	ws.send(ack(1))
	ws.until(syncproto.KindAck)
}

// asked reads until the client is asked for a fresh token.
func (c *client) asked() {
	c.t.Helper()
	for {
		_, frame, err := c.ws.Read(context.Background())
		if err != nil {
			c.t.Fatal(err)
		}
		if bytes.Equal(frame, []byte{2, 2}) {
			return
		}
	}
}

// ended reads until the server closes, however long that takes, and returns how.
func (c *client) ended() (reason string, code int) {
	c.t.Helper()
	for {
		_, _, err := c.ws.Read(context.Background())
		if end, ok := errors.AsType[websocket.CloseError](err); ok {
			return end.Reason, int(end.Code)
		}
		if err != nil {
			c.t.Fatal(err)
		}
	}
}

// Who can send a fresh token is asked for it a minute before its own ends, and goes on
// with it; without, the session ends then.
func TestFreshTokenIsAskedFor(t *testing.T) {
	for name, sends := range map[string]bool{"sends one": true, "sends none": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				change, sign := withTokens(t)
				r := startVirtual(t, change)
				ws := r.connect("/notes/a?auth=message")
				begin := time.Now()
				ws.send(syncproto.AppendPermissionDenied(nil, sign("write", 5*time.Minute)))
				ws.until(syncproto.KindAuthGranted)
				ws.send(syncproto.AppendSyncStep1(nil, []byte{0}))
				ws.asked()
				// Clocks may be apart by half a minute.
				if d := time.Since(begin); d < 4*time.Minute+25*time.Second || d > 4*time.Minute+35*time.Second {
					t.Errorf("asked for after %v", d)
				}
				good := 5*time.Minute + 30*time.Second
				if sends {
					good = time.Since(begin) + time.Hour + 30*time.Second
					ws.send(syncproto.AppendPermissionDenied(nil, sign("write", time.Hour)))
					ws.until(syncproto.KindAuthGranted)
					ws.asked()
				}
				if _, code := ws.ended(); code != session.CloseUnauthorized {
					t.Errorf("closed with %d", code)
				}
				if d := time.Since(begin); d < good-5*time.Second || d > good+5*time.Second {
					t.Errorf("closed after %v, want %v", d, good)
				}
			})
		})
	}
}

func TestNoTokenComes(t *testing.T) {
	change, _, _ := withRulings(t)
	r := start(t, func(o *Options) { change(o); o.Session.TokenFor = time.Second })
	ws := r.connect("/notes/a?auth=message")
	var end websocket.CloseError
	if _, _, err := ws.ws.Read(context.Background()); !errors.As(err, &end) || int(end.Code) != session.CloseUnauthorized {
		t.Error(err)
	}
}
