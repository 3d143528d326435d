package relay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"ysync/awareness"
	"ysync/crdt"
	"ysync/internal/canary"
	"ysync/internal/cluster"
	"ysync/internal/hub"
	"ysync/internal/lib0"
	"ysync/internal/metrics"
	"ysync/persistence/memory"
	"ysync/snapshots"
	"ysync/snapshots/dir"
	"ysync/syncproto"
)

// bound ends waits that would otherwise hang a broken build.
const bound = 20 * time.Second

// world is a few nodes in one process, on one log. A map says who owns what.
type world struct {
	t     testing.TB
	log   *memory.Log
	files vfs.FS
	nodes []*node
	woken chan struct{}

	mu      sync.Mutex
	owners  map[string]string // document: boot ID
	changed chan struct{}
	moved   int
	refused []string
}

type node struct {
	world   *world
	self    cluster.Node
	hub     *hub.Hub
	relay   *Relay
	metrics *metrics.Metrics
	values  *prometheus.Registry
	// cut are the connections that were made to this node.
	mu    sync.Mutex
	conns []*cuttable
	dead  bool
}

// cuttable is a connection that can be made to lose everything silently.
type cuttable struct {
	net.Conn
	mu   sync.Mutex
	held chan struct{} // closed to let go; nil while it is not held
}

func (c *cuttable) hold() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = make(chan struct{})
}

func (c *cuttable) Write(p []byte) (int, error) {
	c.mu.Lock()
	held := c.held
	c.mu.Unlock()
	if held != nil {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

func newWorld(t testing.TB, n int) *world {
	t.Helper()
	var store memory.Store
	log, err := store.Open()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		t: t, log: log, files: vfs.NewMem(), woken: make(chan struct{}, 1),
		owners: map[string]string{}, changed: make(chan struct{}),
	}
	for range n {
		w.add(nil)
	}
	t.Cleanup(func() {
		for _, n := range w.nodes {
			n.stop()
		}
	})
	return w
}

// theSecret is what the nodes of a test share, and no line of a log shows.
var theSecret = canary.Secret("relay")

// add starts a node.
func (w *world) add(change func(*Options)) *node {
	w.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	n := &node{world: w}
	n.self = cluster.Node{Boot: fmt.Sprintf("node%d", len(w.nodes)), Relay: l.Addr().String(), Weight: 1}
	n.values = prometheus.NewRegistry()
	n.metrics = metrics.New(n.values)
	files, err := dir.Open(w.files, "/snapshots")
	if err != nil {
		w.t.Fatal(err)
	}
	core, logged := observer.New(zap.DebugLevel)
	logger := zap.New(core)
	w.t.Cleanup(func() {
		if found := canary.Find(fmt.Sprint(logged.All())); found != nil {
			w.t.Errorf("the log of %s shows %v", n.self.Boot, found)
		}
	})
	n.hub, err = hub.New(hub.Options{
		Log: w.log, Snapshots: snapshots.New(files, w.log, snapshots.Options{}),
		Boot: n.self.Boot, Logger: logger, Metrics: n.metrics, Runners: 2,
		Limits: hub.Limits{ChunkBytes: 16 << 10, OutboxBytes: 32 << 10, PresenceGrace: 200 * time.Millisecond},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	opt := Options{
		Hub: n.hub, Directory: directory{w, n}, Secret: []byte(theSecret), Logger: logger, Metrics: n.metrics,
		Ping: 50 * time.Millisecond, Silence: 2 * time.Second,
		Dial: func(ctx context.Context, address string) (net.Conn, error) {
			var d net.Dialer
			nc, err := d.DialContext(ctx, "tcp", address)
			if err != nil {
				return nil, err
			}
			c := &cuttable{Conn: nc}
			n.mu.Lock()
			n.conns = append(n.conns, c)
			n.mu.Unlock()
			return c, nil
		},
	}
	if change != nil {
		change(&opt)
	}
	if n.relay, err = New(opt); err != nil {
		w.t.Fatal(err)
	}
	go func() {
		if err := n.relay.Serve(l); err != nil {
			w.t.Error(err)
		}
	}()
	w.nodes = append(w.nodes, n)
	return n
}

func (n *node) stop() {
	if n.dead {
		return
	}
	n.dead = true
	n.relay.Close()
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	if err := n.hub.Close(ctx); err != nil {
		n.world.t.Errorf("close: %v", err)
	}
}

// kill ends a node as a crash does: what is not committed is gone.
func (n *node) kill() {
	n.dead = true
	n.relay.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = n.hub.Close(ctx)
}

// own makes a node the owner of a document.
func (w *world) own(document string, n *node) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n == nil {
		delete(w.owners, document)
	} else {
		w.owners[document] = n.self.Boot
	}
	close(w.changed)
	w.changed = make(chan struct{})
}

// directory is what a node knows of the world.
type directory struct {
	w *world
	n *node
}

func (d directory) Self() cluster.Node { return d.n.self }

func (d directory) Owner(_ context.Context, document string) (cluster.Node, error) {
	d.w.mu.Lock()
	defer d.w.mu.Unlock()
	for _, n := range d.w.nodes {
		if n.self.Boot == d.w.owners[document] {
			return n.self, nil
		}
	}
	return cluster.Node{}, cluster.ErrNoNode
}

func (d directory) Refused(n cluster.Node) {
	d.w.mu.Lock()
	defer d.w.mu.Unlock()
	d.w.refused = append(d.w.refused, n.Boot)
}

func (d directory) Moved(string) {
	d.w.mu.Lock()
	defer d.w.mu.Unlock()
	d.w.moved++
}

func (d directory) Members() []cluster.Node { return nil }

func (d directory) Changed() <-chan struct{} {
	d.w.mu.Lock()
	defer d.w.mu.Unlock()
	return d.w.changed
}

func (d directory) Close(context.Context) error { return nil }

// client is a replica with a seat.
type client struct {
	t    testing.TB
	w    *world
	doc  *crdt.Doc
	seat *Seat
	// paused: it reads nothing.
	paused   bool
	acks     []uint64
	synced   int
	asked    int
	frames   int
	presence *awareness.Awareness
	now      time.Time
	ended    error
}

func (w *world) client(n *node, document string, id uint64) *client {
	w.t.Helper()
	return w.clientAs(n, document, hub.Peer{Session: id, CanWrite: true, CanPresence: true})
}

func (w *world) clientAs(n *node, document string, p hub.Peer) *client {
	w.t.Helper()
	c := &client{t: w.t, w: w, doc: crdt.New(crdt.Options{ClientID: crdt.ClientID(p.Session), NoFormatCleanup: true})}
	c.now = time.Now()
	c.presence = awareness.New(p.Session, c.now)
	seat, err := n.relay.Subscribe(document, p, w.wake)
	if err != nil {
		w.t.Fatal(err)
	}
	c.seat = seat
	c.send(syncproto.KindSyncStep1, crdt.AppendStateVector(nil, c.doc.StateVector()))
	return c
}

func (w *world) wake() {
	select {
	case w.woken <- struct{}{}:
	default:
	}
}

func (c *client) send(kind syncproto.Kind, payload []byte) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	var t hub.Turn
	if err := c.seat.SendInTurn(ctx, syncproto.Message{Kind: kind, Payload: payload}, &t); err != nil && !errors.Is(err, hub.ErrEnded) {
		c.t.Fatalf("send: %v", err)
	}
	if t.Begin() {
		t.Step()
	}
}

// write appends to the text.
func (c *client) write(s string) {
	c.t.Helper()
	c.send(syncproto.KindUpdate, c.edit(s))
}

// edit appends to the text and returns the update.
func (c *client) edit(s string) []byte {
	c.t.Helper()
	text := c.doc.Text("t")
	commit, err := c.doc.Transact(nil, func(tx *crdt.Txn) { text.Insert(tx, text.Len(), s) })
	if err != nil {
		c.t.Fatal(err)
	}
	return commit.AppendUpdate(nil, crdt.V1)
}

func (c *client) ack(n uint64) { c.send(syncproto.KindAck, lib0.AppendUvarint(nil, n)) }

func (c *client) text() string { return c.doc.Text("t").String() }

// read takes in what waits, and answers what is asked.
func (c *client) read() {
	c.t.Helper()
	if c.paused {
		return
	}
	for frame, ok := c.seat.Next(); ok; frame, ok = c.seat.Next() {
		c.frames++
		d := syncproto.NewDecoder(frame)
		m, ok := d.Next()
		if !ok {
			c.t.Fatalf("frame % x: %v", frame, d.Err())
		}
		switch m.Kind {
		case syncproto.KindSyncStep1:
			c.asked++
			sv, err := crdt.DecodeStateVector(m.Payload)
			if err != nil {
				c.t.Fatal(err)
			}
			c.send(syncproto.KindSyncStep2, c.doc.AppendDiff(nil, crdt.V1, sv))
		case syncproto.KindSyncStep2, syncproto.KindUpdate:
			if m.Kind == syncproto.KindSyncStep2 {
				c.synced++
			}
			if _, err := c.doc.Apply(nil, crdt.V1, m.Payload); err != nil {
				c.t.Fatal(err)
			}
		case syncproto.KindAwareness:
			if _, err := c.presence.Apply(m.Payload, c.now); err != nil {
				c.t.Fatal(err)
			}
		case syncproto.KindAck:
			r := lib0.NewReader(m.Payload)
			c.acks = append(c.acks, r.Uvarint())
		default:
			c.t.Fatalf("an unexpected message %v", m.Kind)
		}
	}
	if err := c.seat.End(); err != nil {
		c.ended = err
	}
}

// until reads for the clients until a condition holds.
func (w *world) until(what string, condition func() bool, cs ...*client) {
	w.t.Helper()
	late := time.After(bound)
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		for _, c := range cs {
			c.read()
		}
		if condition() {
			return
		}
		select {
		case <-w.woken:
		case <-again.C:
		case <-late:
			for i, c := range cs {
				w.t.Logf("client %d: %d bytes of text, acks %v, asked %d, synced %d, ended %v, leg %v hears %v want %v",
					i, len(c.text()), c.acks, c.asked, c.synced, c.ended, c.seat.leg, c.seat.hears, c.seat.want)
			}
			w.t.Fatalf("never: %s", what)
		}
	}
}

// converge waits until all hold the same text, of a length.
func (w *world) converge(length int, cs ...*client) {
	w.t.Helper()
	w.until(fmt.Sprintf("all have the same %d characters", length), func() bool {
		for _, c := range cs {
			if c.text() != cs[0].text() || len(c.text()) != length {
				return false
			}
			if p := c.doc.Pending(); !p.Empty() {
				return false
			}
		}
		return true
	}, cs...)
}

// value reads a counter.
func (n *node) value(name string) float64 {
	n.world.t.Helper()
	families, err := n.values.Gather()
	if err != nil {
		n.world.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "ysync_"+name {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	n.world.t.Fatalf("no metric %s", name)
	return 0
}

func (n *node) casts() float64 { return n.value("relay_casts_total") }

// lying is a directory that names a wrong owner until it is told of that.
type lying struct {
	directory
	wrong *node
	moved *int
}

func (d lying) Owner(ctx context.Context, document string) (cluster.Node, error) {
	d.w.mu.Lock()
	told := *d.moved
	d.w.mu.Unlock()
	if told == 0 {
		return d.wrong.self, nil
	}
	return d.directory.Owner(ctx, document)
}

// show sets the client's own presence.
func (c *client) show(state string) {
	c.t.Helper()
	if _, err := c.presence.SetLocalState([]byte(state), c.now); err != nil {
		c.t.Fatal(err)
	}
	c.reflect(c.presence.ClientID())
}

// reflect sends what the client knows of clients. Stock clients do so with all
// that they are told of others.
func (c *client) reflect(ids ...uint64) {
	c.t.Helper()
	u, err := c.presence.AppendUpdate(nil, ids...)
	if err != nil {
		c.t.Fatal(err)
	}
	c.send(syncproto.KindAwareness, u)
}

// leave takes the client's own presence away.
func (c *client) leave() {
	c.t.Helper()
	if _, err := c.presence.SetLocalState(nil, c.now); err != nil {
		c.t.Fatal(err)
	}
	c.reflect(c.presence.ClientID())
}

// state is what a client is shown as, empty when it is not there.
func (c *client) state(id uint64) string {
	for other, state := range c.presence.States() {
		if other == id {
			return string(state)
		}
	}
	return ""
}

// sees tells whether a client is shown as being there.
func (c *client) sees(id uint64) bool {
	for other := range c.presence.States() {
		if other == id {
			return true
		}
	}
	return false
}

// release has a node give a document up.
func (w *world) release(document string, n *node) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	if err := n.hub.Release(ctx, document); err != nil {
		w.t.Fatal(err)
	}
}
