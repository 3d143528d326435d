package gateway

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"ysync/internal/auth"
	"ysync/internal/metrics"
	"ysync/internal/session"
	"ysync/syncproto"
)

// everyoneIs grants everything to one subject.
type everyoneIs string

func (e everyoneIs) Authorize(context.Context, auth.Request) (auth.Grant, error) {
	return auth.Grant{Pattern: "*", Scope: auth.Write, Subject: string(e)}, nil
}

// A subject has so many connections and no more; when one goes another may come.
func TestConnectionsOfASubject(t *testing.T) {
	r := start(t, func(o *Options) {
		o.Auth, o.Subject = everyoneIs("ann"), Share{Connections: 2}
	})
	a, b := r.connect("/a"), r.connect("/b")
	a.sync()
	b.sync()
	if end := r.connect("/c").closed(); end.Code != session.CloseTooMany {
		t.Fatalf("the third was closed with %d %s", end.Code, end.Reason)
	}
	if n := r.value("ysync_limited_messages_total", metrics.LimitSubjectConnections); n != 1 {
		t.Errorf("%v counted", n)
	}
	_ = a.ws.Close(websocket.StatusNormalClosure, "")
	eventually(t, "room for another", func() bool {
		c, _, err := r.try("/d", nil)
		if err != nil {
			return false
		}
		c.send(syncproto.AppendSyncStep1(nil, []byte{0}))
		ctx, cancel := context.WithTimeout(t.Context(), bound)
		defer cancel()
		_, _, err = c.ws.Read(ctx)
		return err == nil
	})
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.After(bound)
	for !is() {
		select {
		case <-deadline:
			t.Fatalf("there never was %s", what)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Who sends too much is read later, and loses nothing.
func TestRatesSlowAndDropNothing(t *testing.T) {
	r := start(t, func(o *Options) {
		o.Session.MessagesPerSecond = 20 // and a hundred at once
	})
	a := r.connect("/doc")
	a.sync()
	for i := range 110 {
		a.send(syncproto.AppendUpdate(nil, insert(7, byte(i), "x")))
	}
	b := r.connect("/doc")
	b.sync()
	eventually(t, "all of it", func() bool { return r.value("ysync_hub_updates_total", metrics.UpdateApplied) == 110 })
	if r.value("ysync_limited_messages_total", metrics.LimitSessionMessages) == 0 {
		t.Error("nothing was slowed")
	}
	if n := r.logs.FilterMessage("a session sends too much and is read more slowly").Len(); n != 1 {
		t.Errorf("%d lines in the log", n)
	}
}

// boundBy grants what everyoneIs does, with the limits of a token.
type boundBy auth.Limits

func (b boundBy) Authorize(ctx context.Context, r auth.Request) (auth.Grant, error) {
	g, err := everyoneIs("ann").Authorize(ctx, r)
	g.Limits = auth.Limits(b)
	return g, err
}

// What a token bounds is bounded, and what the server bounds too.
func TestLimitsOfAToken(t *testing.T) {
	t.Run("connections", func(t *testing.T) {
		r := start(t, func(o *Options) { o.Auth = boundBy{Connections: 1} })
		r.connect("/a").sync()
		if end := r.connect("/b").closed(); end.Code != session.CloseTooMany {
			t.Errorf("the second was closed with %d %s", end.Code, end.Reason)
		}
	})
	t.Run("no more than the server's", func(t *testing.T) {
		r := start(t, func(o *Options) { o.Auth, o.Subject = boundBy{Connections: 9}, Share{Connections: 1} })
		r.connect("/a").sync()
		if end := r.connect("/b").closed(); end.Code != session.CloseTooMany {
			t.Errorf("the second was closed with %d %s", end.Code, end.Reason)
		}
	})
	for name, limits := range map[string]boundBy{"messages": {MessagesPerSecond: 20}, "bytes": {BytesPerSecond: 200}} {
		t.Run(name, func(t *testing.T) {
			r := start(t, func(o *Options) { o.Auth = limits })
			a := r.connect("/doc")
			a.sync()
			for i := range 110 {
				a.send(syncproto.AppendUpdate(nil, insert(7, byte(i), "x")))
			}
			eventually(t, "all of it", func() bool { return r.value("ysync_hub_updates_total", metrics.UpdateApplied) == 110 })
			if r.value("ysync_limited_messages_total", metrics.LimitTokenRate) == 0 {
				t.Error("nothing was slowed")
			}
		})
	}
}

// The rates of a subject are those of all of its sessions together.
func TestRatesOfASubject(t *testing.T) {
	r := start(t, func(o *Options) {
		o.Auth, o.Subject = everyoneIs("ann"), Share{MessagesPerSecond: 20}
	})
	for _, id := range []byte{7, 8} {
		c := r.connect("/doc")
		c.sync()
		for i := range 55 {
			c.send(syncproto.AppendUpdate(nil, insert(id, byte(i), "x")))
		}
	}
	eventually(t, "all of it", func() bool { return r.value("ysync_hub_updates_total", metrics.UpdateApplied) == 110 })
	if r.value("ysync_limited_messages_total", metrics.LimitSubjectRate) == 0 {
		t.Error("nothing was slowed")
	}
}

// Sockets that send their headers a byte at a time keep nobody out: the oldest
// of them go.
func TestSlowHeadersKeepNobodyOut(t *testing.T) {
	r := start(t, func(o *Options) { o.MaxRequests = 8 })
	slow := make([]net.Conn, 20)
	for i := range slow {
		nc, err := net.Dial("tcp", r.address)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		if _, err := io.WriteString(nc, "GET /doc HTTP/1.1\r\nHo"); err != nil {
			t.Fatal(err)
		}
		slow[i] = nc
	}
	r.connect("/doc").sync()
	_ = slow[0].SetReadDeadline(time.Now().Add(bound))
	if n, err := slow[0].Read(make([]byte, 1)); err == nil {
		t.Errorf("the oldest was answered: %d bytes", n)
	}
	if n := r.value("ysync_connections_refused_total", "sockets"); n < 12 {
		t.Errorf("%v were closed", n)
	}
}

func TestLoadMarks(t *testing.T) {
	l := load{marks: Marks{Press: 10 * time.Millisecond, Shed: time.Second, Memory: 80}}
	look := func(times int, delay time.Duration, alive uint64) {
		for range times {
			l.take(measured{delay: delay, alive: alive << 20, limit: 1000 << 20})
		}
	}
	want := func(what string, pressed session.Load, shed *shedding) {
		t.Helper()
		if l.session() != pressed || l.shed.Load() != shed {
			t.Errorf("%s: pressed %d, shedding %v", what, l.session(), l.shed.Load())
		}
	}
	look(1, time.Millisecond, 100)
	want("idle", session.Calm, nil)
	look(1, 10*time.Millisecond, 100)
	want("at the mark", session.Pressed, nil)
	look(3, time.Millisecond, 100)
	want("not calm for long", session.Pressed, nil)
	look(1, time.Millisecond, 100)
	want("calm", session.Calm, nil)
	look(shedAfter-1, 2*time.Second, 100)
	want("late, not for long", session.Pressed, nil)
	look(1, 2*time.Second, 100)
	want("late for long", session.Pressed, shedCPU)
	look(calmAfter-1, 0, 100)
	want("not quiet for long", session.Pressed, shedCPU)
	look(1, 0, 100)
	want("quiet", session.Calm, nil)
	look(1, 0, 801)
	want("full", session.Calm, shedMemory)
	look(1, 0, 790)
	want("room again", session.Calm, nil)
	l.marks = Marks{Press: time.Second, Shed: -1, Memory: -1}
	look(20, time.Hour, 999)
	want("without marks", session.Pressed, nil)
}

// A node that sheds takes no new connection, says so, and keeps those it has.
func TestShedding(t *testing.T) {
	var alive atomic.Uint64
	r := start(t, func(o *Options) { o.look = func() measured { return measured{alive: alive.Load(), limit: 1 << 30} } })
	a := r.connect("/doc")
	a.sync()
	alive.Store(1 << 30)
	eventually(t, "shedding", func() bool { return r.load.shed.Load() == shedMemory })
	_, response, err := r.try("/doc", nil)
	if err == nil || response == nil || response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") == "" {
		t.Errorf("a new connection: %v, %v", response, err)
	}
	if why := r.ready(); why != shedMemory.why {
		t.Errorf("ready: %q", why)
	}
	a.sync()
	alive.Store(0)
	eventually(t, "an end of it", func() bool { return r.ready() == "" })
	r.connect("/doc").sync()
}

// The runtime's figures can be had.
func TestProbe(t *testing.T) {
	var p probe
	for range 3 {
		if m := p.look(); m.alive == 0 || m.delay < 0 {
			t.Errorf("%+v", m)
		}
	}
}
