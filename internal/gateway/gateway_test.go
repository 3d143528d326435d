package gateway

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"ysync/internal/auth"
	"ysync/internal/session"
	"ysync/syncproto"
)

func TestUpdatesReachTheOthers(t *testing.T) {
	r := start(t, nil)
	a, b := r.connect("/notes"), r.connect("/sync/notes")
	a.sync()
	b.sync()
	update := insert(7, 0, "a")
	a.send(syncproto.AppendUpdate(nil, update))
	if got := b.until(syncproto.KindUpdate).Payload; !bytes.Equal(got, update) {
		t.Fatalf("got % x, want % x", got, update)
	}
	// To one who joins now, the update is part of the state.
	c := r.connect("/notes")
	c.send(syncproto.AppendSyncStep1(nil, []byte{0}))
	if got := c.until(syncproto.KindSyncStep2).Payload; !bytes.Equal(got, update) {
		t.Fatalf("got % x, want % x", got, update)
	}
}

func TestAcknowledgement(t *testing.T) {
	r := start(t, nil)
	c := r.connect("/notes")
	c.sync()
	c.send(syncproto.AppendUpdate(nil, insert(7, 0, "a")))
	c.send(syncproto.AppendAck(nil, []byte{42}))
	if got := c.until(syncproto.KindAck).Payload; !bytes.Equal(got, []byte{42}) {
		t.Fatalf("% x", got)
	}
}

// @y/websocket 4 takes its own update for the acknowledgement of it.
func TestEchoIsOptIn(t *testing.T) {
	r := start(t, nil)
	asked, other := r.connect("/notes?ack=echo"), r.connect("/notes")
	asked.sync()
	other.sync()
	update := insert(7, 0, "a")
	asked.send(syncproto.AppendUpdate(nil, update))
	if got := asked.until(syncproto.KindUpdate).Payload; !bytes.Equal(got, update) {
		t.Fatalf("% x", got)
	}
	other.until(syncproto.KindUpdate)
	other.send(syncproto.AppendUpdate(nil, insert(8, 0, "b")))
	other.send(syncproto.AppendAck(nil, []byte{1}))
	for m := other.next(); m.Kind != syncproto.KindAck; m = other.next() {
		if m.Kind == syncproto.KindUpdate {
			t.Fatal("an update came back to a client that did not ask for it")
		}
	}
}

// The server is silent until the client has spoken: its first frame tells the
// dialect.
func TestPresenceFirst(t *testing.T) {
	r := start(t, nil)
	a, b := r.connect("/notes"), r.connect("/notes")
	a.sync()
	state := []byte{1, 9, 1, 2, '{', '}'}
	b.send(syncproto.AppendAwareness(nil, state))
	for {
		if m := a.until(syncproto.KindAwareness); bytes.Equal(m.Payload, state) {
			return
		}
	}
}

func TestBadNamesAreRefusedWithAReason(t *testing.T) {
	r := start(t, nil)
	for path, reason := range map[string]string{
		"/":                              "empty",
		"/sync/":                         "empty",
		"/" + strings.Repeat("a", 257):   "at most 256",
		"/a%2F..%2Fb":                    `".."`,
		"/a%00":                          "control character",
		"/%FF":                           "UTF-8",
		"/?x=1":                          "empty",
		"/" + strings.Repeat("%41", 257): "at most 256",
	} {
		ce := r.connect(path).closed()
		if ce.Code != session.CloseName || !strings.Contains(ce.Reason, reason) {
			t.Errorf("%q: %v", path, ce)
		}
	}
	if n := r.value("ysync_hub_documents", ""); n != 0 {
		t.Errorf("%v documents exist", n)
	}
}

func TestNamesAreNotCleaned(t *testing.T) {
	r := start(t, nil)
	for i, path := range []string{"/a//b", "/a/b", "/a/b/", "//a/b", "/a/./b", "/a%20b?token=x&unknown=1", "/%252e%252e/x", "/café"} {
		c := r.connect(path)
		c.send(syncproto.AppendSyncStep1(nil, []byte{0}))
		if got := c.until(syncproto.KindSyncStep2).Payload; !bytes.Equal(got, []byte{0, 0}) {
			t.Errorf("%q shares its document with another path: % x", path, got)
		}
		c.send(syncproto.AppendUpdate(nil, insert(byte(i+1), 0, "a")))
		c.send(syncproto.AppendAck(nil, []byte{1}))
		c.until(syncproto.KindAck)
	}
}

func TestSubprotocolIsEchoed(t *testing.T) {
	r := start(t, nil)
	c, response, err := r.try("/notes", &websocket.DialOptions{Subprotocols: []string{"my.app", "other"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := response.Header.Get("Sec-WebSocket-Protocol"); got != "my.app" || c.ws.Subprotocol() != got {
		t.Errorf("%q", got)
	}
	_, response, err = r.try("/notes", nil)
	if err != nil || response.Header.Get("Sec-WebSocket-Protocol") != "" {
		t.Errorf("none offered: %q, %v", response.Header.Get("Sec-WebSocket-Protocol"), err)
	}
}

func TestCompressionIsNotNegotiated(t *testing.T) {
	r := start(t, nil)
	_, response, err := r.try("/notes", &websocket.DialOptions{CompressionMode: websocket.CompressionContextTakeover})
	if err != nil || response.Header.Get("Sec-WebSocket-Extensions") != "" {
		t.Errorf("%q, %v", response.Header.Get("Sec-WebSocket-Extensions"), err)
	}
}

func TestHocuspocusIsRefused(t *testing.T) {
	r := start(t, nil)
	c := r.connect("/notes")
	c.send([]byte{5, 'n', 'o', 't', 'e', 's', 2, 0, 0})
	if ce := c.closed(); ce.Code != session.CloseDialect || !strings.Contains(ce.Reason, "Hocuspocus") {
		t.Fatal(ce)
	}
}

func TestMalformedFramesAreSetAside(t *testing.T) {
	r := start(t, nil)
	a, b := r.connect("/notes"), r.connect("/notes")
	a.sync()
	b.sync()
	bad := []byte{0, 2, 200, 1, 1}
	for range 4 {
		a.send(bad)
	}
	update := insert(7, 0, "a")
	a.send(syncproto.AppendUpdate(nil, update))
	if got := b.until(syncproto.KindUpdate).Payload; !bytes.Equal(got, update) {
		t.Fatalf("% x", got)
	}
	a.send(bad)
	if ce := a.closed(); ce.Code != session.CloseMalformed {
		t.Fatal(ce)
	}
	// The others notice nothing.
	b.send(syncproto.AppendAck(nil, []byte{1}))
	b.until(syncproto.KindAck)
	if n := r.value("ysync_malformed_messages_total", ""); n != 5 {
		t.Errorf("%v counted", n)
	}
	if n := r.logs.FilterMessage("malformed frame set aside").Len(); n != 5 {
		t.Errorf("%d logged", n)
	}
}

func TestTextFramesAreRefused(t *testing.T) {
	r := start(t, nil)
	c := r.connect("/notes")
	if err := c.ws.Write(context.Background(), websocket.MessageText, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if ce := c.closed(); ce.Code != session.CloseUnsupportedData {
		t.Fatal(ce)
	}
}

func TestMessageSize(t *testing.T) {
	const limit = 2 << 20
	r := start(t, func(o *Options) { o.Session.MessageBytes = limit })
	for _, size := range []int{smallBuffer, smallBuffer + 1, mediumBuffer - 1, mediumBuffer, mediumBuffer + 1, largeBytes, largeBytes + 1, limit} {
		c := r.connect("/notes")
		c.sync()
		// A message of unknown type takes the rest of its frame.
		c.send(append([]byte{99}, make([]byte, size-1)...))
		c.send(syncproto.AppendAck(nil, []byte{1}))
		c.until(syncproto.KindAck)
	}
	c := r.connect("/notes")
	c.sync()
	c.send(append([]byte{99}, make([]byte, limit)...))
	if ce := c.closed(); ce.Code != session.CloseTooBig || !strings.Contains(ce.Reason, fmt.Sprint(limit)) {
		t.Fatal(ce)
	}
	// All that was taken from the budget is back.
	waitFor(t, r.budgetIsFree)
}

func TestConnectionLimit(t *testing.T) {
	r := start(t, func(o *Options) { o.MaxConnections = 2 })
	a := r.connect("/a")
	r.connect("/b").sync()
	_, response, err := r.try("/c", nil)
	if err == nil || response == nil || response.StatusCode != 503 || response.Header.Get("Retry-After") == "" {
		t.Fatalf("%v, %v", response, err)
	}
	if why := r.ready(); why != "too many connections" {
		t.Errorf("ready: %q", why)
	}
	a.sync()
	if err := a.ws.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return r.connections.count.Load() == 1 })
	r.connect("/c").sync()
}

// refuser grants read only on "read…" and nothing on the rest.
type refuser struct{}

func (refuser) Authorize(_ context.Context, r auth.Request) (auth.Grant, error) {
	if strings.HasPrefix(r.Document, "read") {
		return auth.Grant{Pattern: "read*", Scope: auth.Read}, nil
	}
	if strings.HasPrefix(r.Document, "wrong") {
		return auth.Grant{Pattern: "other", Scope: auth.Admin}, nil
	}
	return auth.Grant{}, fmt.Errorf("%w: no", auth.ErrDenied)
}

func TestDenied(t *testing.T) {
	r := start(t, func(o *Options) { o.Auth = refuser{} })
	for _, path := range []string{"/secret", "/wrong"} {
		c := r.connect(path)
		if m := c.next(); m.Kind != syncproto.KindAuth || !strings.Contains(string(m.Payload), "permission denied") {
			t.Errorf("%s: %+v", path, m)
		}
		if ce := c.closed(); ce.Code != session.CloseForbidden {
			t.Errorf("%s: %v", path, ce)
		}
	}
}

func TestReadOnly(t *testing.T) {
	r := start(t, func(o *Options) { o.Auth = refuser{} })
	a, b := r.connect("/read"), r.connect("/read")
	a.sync()
	b.sync()
	a.send(syncproto.AppendUpdate(nil, insert(7, 0, "a")))
	state := []byte{1, 9, 1, 2, '{', '}'}
	a.send(syncproto.AppendAwareness(nil, state))
	for {
		m := b.next()
		if m.Kind == syncproto.KindUpdate {
			t.Fatal("a read-only session wrote")
		}
		if m.Kind == syncproto.KindAwareness && bytes.Equal(m.Payload, state) {
			return
		}
	}
}

func TestShutdownTellsEveryoneToComeBack(t *testing.T) {
	r := start(t, nil)
	var clients []*client
	for i := range 20 {
		c := r.connect(fmt.Sprintf("/d%d", i%3))
		if i%2 == 0 {
			c.sync()
		}
		clients = append(clients, c)
	}
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- r.Shutdown(ctx) }()
	for _, c := range clients {
		if ce := c.closed(); ce.Code != session.CloseRestart {
			t.Error(ce)
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if n := r.connections.count.Load(); n != 0 {
		t.Errorf("%d connections left", n)
	}
	if n := r.value("ysync_connections", ""); n != 0 {
		t.Errorf("the gauge says %v", n)
	}
}

// A peer that does not answer the close may not hold the shutdown up.
func TestShutdownDoesNotWaitForTheDead(t *testing.T) {
	r := start(t, nil)
	raw := r.raw()
	raw.upgrade("/notes")
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	begun := time.Now()
	if err := r.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); took > 3*time.Second {
		t.Errorf("took %v", took)
	}
}

// waitFor polls a condition that another goroutine brings about.
func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	deadline := time.After(bound)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("did not happen")
		}
	}
}
