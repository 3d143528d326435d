package gateway

import (
	"bytes"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"ysync/crdt"
	"ysync/syncproto"
)

// clock is a clock that is set forward by hand.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func (c *clock) advance(d time.Duration) { c.ahead.Add(int64(d)) }

// phases counts the readers in each phase.
func (r *rig) phases() map[phase]int {
	n := map[phase]int{}
	r.connections.each(func(c *conn) {
		c.mu.Lock()
		n[c.phase]++
		c.mu.Unlock()
	})
	return n
}

// A reader that gave way comes back with the first message, and with the end
// of the connection.
func TestIdleReadersGiveWay(t *testing.T) {
	var at clock
	r := start(t, func(o *Options) { o.Now = at.now })
	a, b := r.connect("/notes"), r.connect("/notes")
	a.sync()
	b.sync()
	lost := r.raw()
	lost.upgrade("/notes")
	for range 3 {
		waitFor(t, func() bool { return r.phases()[phaseWaiting] == 3 })
		at.advance(2 * parkAfter)
		waitFor(t, func() bool { return r.phases()[phaseParked] == 3 })
		a.send(syncproto.AppendAck(nil, []byte{1}))
		a.until(syncproto.KindAck)
		b.send(syncproto.AppendAck(nil, []byte{2}))
		b.until(syncproto.KindAck)
		lost.write(masked(fin|opBinary, syncproto.AppendAck(nil, []byte{3})))
		lost.until(frameBinary)
	}
	waitFor(t, func() bool { return r.phases()[phaseWaiting] == 3 })
	at.advance(2 * parkAfter)
	waitFor(t, func() bool { return r.phases()[phaseParked] == 3 })
	_ = lost.Close()
	waitFor(t, func() bool { return r.connections.count.Load() == 2 })
}

// A client that reads nothing while 4 MiB are written to its document holds
// nobody up, and finds whole frames when it reads again, with all that it
// missed.
func TestSlowReaderCatchesUp(t *testing.T) {
	r := start(t, nil)
	slow := r.raw()
	if err := slow.Conn.(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
		t.Fatal(err)
	}
	slow.upgrade("/notes")
	slow.write(masked(fin|opBinary, hello))

	quick := r.connect("/notes")
	quick.sync()
	doc := crdt.New(crdt.Options{ClientID: 7})
	line := string(bytes.Repeat([]byte("x"), 1023)) + "\n"
	for range 4 << 10 {
		text := doc.Text("t")
		commit, err := doc.Transact(nil, func(tx *crdt.Txn) { text.Insert(tx, text.Len(), line) })
		if err != nil {
			t.Fatal(err)
		}
		quick.send(syncproto.AppendUpdate(nil, commit.AppendUpdate(nil, crdt.V1)))
	}
	quick.send(syncproto.AppendAck(nil, []byte{1}))
	quick.until(syncproto.KindAck)

	got := crdt.New(crdt.Options{})
	for got.Text("t").Len() < doc.Text("t").Len() {
		frame := slow.until(frameBinary)
		d := syncproto.NewDecoder(frame)
		m, _ := d.Next()
		if d.Err() != nil {
			t.Fatalf("% x: %v", frame[:min(20, len(frame))], d.Err())
		}
		if m.Kind != syncproto.KindUpdate && m.Kind != syncproto.KindSyncStep2 {
			continue
		}
		if _, err := got.Apply(nil, crdt.V1, m.Payload); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(got.AppendState(nil, crdt.V1), doc.AppendState(nil, crdt.V1)) {
		t.Error("the documents differ")
	}
}

// Many writers to one queue, none of them lost.
func TestFlusher(t *testing.T) {
	f := flusher{limit: 2, running: 2} // nobody is started
	var conns []*conn
	for i := range 5000 {
		c := &conn{id: uint64(i)}
		conns = append(conns, c)
		f.add(c)
		if i%3 == 0 {
			if got := f.next(); got != conns[i/3] {
				t.Fatalf("%d: wrong connection", i)
			}
		}
	}
	for i := 1667; i < 5000; i++ {
		if got := f.next(); got != conns[i] {
			t.Fatalf("%d: wrong connection", i)
		}
	}
	if f.next() != nil || f.running != 1 || len(f.queue) != 0 {
		t.Fatalf("%d running, %d queued", f.running, len(f.queue))
	}
}
