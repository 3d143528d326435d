package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"ysync/internal/auth"
	"ysync/internal/canary"
	"ysync/internal/metrics"
	"ysync/syncproto"
)

// bound ends waits that would otherwise hang a broken build.
const bound = 50 * time.Second

type rig struct {
	*Server
	t        testing.TB
	address  string
	registry *prometheus.Registry
	logs     *observer.ObservedLogs
	dial     func(ctx context.Context, network, address string) (net.Conn, error)
}

// start serves on l until the test ends.
func startOn(t testing.TB, l net.Listener, change func(*Options)) *rig {
	t.Helper()
	core, logs := observer.New(zap.DebugLevel)
	registry := prometheus.NewRegistry()
	m := metrics.New(registry)
	o := Options{Auth: auth.Open{}, Metrics: m, Logger: zap.New(core)}
	o.Hub = newHub(t, m)
	if change != nil {
		change(&o)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	var d net.Dialer
	r := &rig{Server: s, t: t, address: l.Addr().String(), registry: registry, logs: logs, dial: d.DialContext}
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := s.Serve(l); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), bound)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		serving.Wait()
		r.silent()
	})
	return r
}

// silent fails when a secret or a token of a test is in a line of the log or in the
// metrics.
func (r *rig) silent() {
	r.t.Helper()
	for _, line := range r.logs.All() {
		fields, err := json.Marshal(line.ContextMap()) // bytes as the log has them
		if err != nil {
			r.t.Error(err)
		}
		if found := canary.Find(fmt.Sprint(line.Entry, line.ContextMap(), string(fields))); len(found) > 0 {
			r.t.Errorf("the log shows %v: %s", found, line.Message)
		}
	}
	families, err := r.registry.Gather()
	if err != nil {
		r.t.Error(err)
	}
	if found := canary.Find(fmt.Sprint(families)); len(found) > 0 {
		r.t.Errorf("the metrics show %v", found)
	}
}

func start(t testing.TB, change func(*Options)) *rig {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return startOn(t, l, change)
}

// client is a WebSocket client that shows what it receives.
type client struct {
	t  testing.TB
	ws *websocket.Conn
}

// connect dials a path as it stands, without cleaning.
func (r *rig) connect(path string) *client {
	r.t.Helper()
	c, _, err := r.try(path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

func (r *rig) try(path string, o *websocket.DialOptions) (*client, *http.Response, error) {
	if o == nil {
		o = &websocket.DialOptions{}
	}
	transport := &http.Transport{DialContext: r.dial}
	o.HTTPClient = &http.Client{Transport: transport}
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	ws, response, err := websocket.Dial(ctx, "ws://"+r.address+path, o)
	if err != nil {
		return nil, response, err
	}
	ws.SetReadLimit(64 << 20)
	r.t.Cleanup(func() { _ = ws.CloseNow() })
	return &client{t: r.t, ws: ws}, response, nil
}

func (c *client) send(frame []byte) {
	c.t.Helper()
	if err := c.ws.Write(context.Background(), websocket.MessageBinary, frame); err != nil {
		c.t.Fatal(err)
	}
}

// next returns the next message.
func (c *client) next() syncproto.Message {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	_, frame, err := c.ws.Read(ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	d := syncproto.NewDecoder(frame)
	m, ok := d.Next()
	if _, more := d.Next(); !ok || more || d.Err() != nil {
		c.t.Fatalf("not one message per frame: % x, %v", frame, d.Err())
	}
	return m
}

// until skips messages up to one of the given kind.
func (c *client) until(kind syncproto.Kind) syncproto.Message {
	c.t.Helper()
	for {
		if m := c.next(); m.Kind == kind {
			return m
		}
	}
}

// sync does what a stock client does first.
func (c *client) sync() {
	c.t.Helper()
	c.send(syncproto.AppendSyncStep1(nil, []byte{0}))
	c.until(syncproto.KindSyncStep2)
}

// closed reads until the server closes, and returns how.
func (c *client) closed() websocket.CloseError {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	for {
		_, _, err := c.ws.Read(ctx)
		if err == nil {
			continue
		}
		var ce websocket.CloseError
		if !asClose(err, &ce) {
			c.t.Fatalf("ended without a close frame: %v", err)
		}
		return ce
	}
}

// value reads a metric, summed over its labels that contain the given text.
func (r *rig) value(name, label string) float64 {
	r.t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if strings.Contains(m.String(), label) {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// insert is the update by which a client whose ID is id, and which has written
// clock characters one by one before, appends one more to the text "t".
func insert(id, clock byte, text string) []byte {
	if clock == 0 {
		return append(append([]byte{1, 1, id, 0, 4, 1, 1, 't', byte(len(text))}, text...), 0)
	}
	return append(append([]byte{1, 1, id, clock, 0x84, id, clock - 1, byte(len(text))}, text...), 0)
}

// budgetIsFree reports whether no message holds a part of the budget.
func (r *rig) budgetIsFree() bool {
	for i := range r.budget.tiers {
		t := &r.budget.tiers[i]
		if !t.free.TryAcquire(t.total) {
			return false
		}
		t.free.Release(t.total)
	}
	return true
}
