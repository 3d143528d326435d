package hub

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"ysync/crdt"
	"ysync/internal/lib0"
	"ysync/syncproto"
)

// replica is what a client holds: a document, and what it learnt from frames.
// It checks every frame: one message, which the document can take in whole.
type replica struct {
	t   testing.TB
	doc *crdt.Doc

	synced    int // SyncStep2 messages
	asked     int // SyncStep1 messages
	updates   int // Update messages
	keepalive int
	presence  [][]byte
	acks      []uint64
	bytes     int
	// last is the payload of the newest SyncStep2 or Update.
	last []byte
	// gaps: updates may come before the state that they build on.
	gaps bool
}

func newReplica(t testing.TB, id crdt.ClientID) *replica {
	return &replica{t: t, doc: crdt.New(crdt.Options{ClientID: id, NoFormatCleanup: true})}
}

// edit changes the document and returns the update.
func (r *replica) edit(fn func(*crdt.Txn)) []byte {
	r.t.Helper()
	commit, err := r.doc.Transact(nil, fn)
	if err != nil {
		r.t.Fatal(err)
	}
	return commit.AppendUpdate(nil, crdt.V1)
}

// write appends to the text and returns the update.
func (r *replica) write(s string) []byte {
	r.t.Helper()
	text := r.doc.Text("t")
	return r.edit(func(tx *crdt.Txn) { text.Insert(tx, text.Len(), s) })
}

// erase deletes from the text and returns the update.
func (r *replica) erase(at, n int) []byte {
	r.t.Helper()
	text := r.doc.Text("t")
	return r.edit(func(tx *crdt.Txn) { text.Delete(tx, at, n) })
}

func (r *replica) text() string { return r.doc.Text("t").String() }

func (r *replica) vector() []byte { return crdt.AppendStateVector(nil, r.doc.StateVector()) }

// state is all that the replica has.
func (r *replica) state() []byte { return r.doc.AppendDiff(nil, crdt.V1, crdt.StateVector{}) }

// receive takes a frame in.
func (r *replica) receive(frame []byte) syncproto.Message {
	r.t.Helper()
	r.bytes += len(frame)
	d := syncproto.NewDecoder(frame)
	m, ok := d.Next()
	if !ok {
		r.t.Fatalf("frame % x: %v", frame, d.Err())
	}
	if _, more := d.Next(); more || d.Err() != nil {
		r.t.Fatalf("a frame holds more than one message, or garbage: % x", frame)
	}
	switch m.Kind {
	case syncproto.KindSyncStep1:
		r.asked++
	case syncproto.KindSyncStep2, syncproto.KindUpdate:
		if m.Kind == syncproto.KindSyncStep2 {
			r.synced++
		} else {
			r.updates++
		}
		r.last = m.Payload
		commit, err := r.doc.Apply(nil, crdt.V1, m.Payload)
		if err != nil {
			r.t.Fatalf("%v: %v", m.Kind, err)
		}
		if commit.LeftPending() && !r.gaps {
			r.t.Fatalf("%v left something pending", m.Kind)
		}
	case syncproto.KindAwareness:
		if bytes.Equal(frame, syncproto.Keepalive) {
			r.keepalive++
		} else {
			r.presence = append(r.presence, m.Payload)
		}
	case syncproto.KindAck:
		n := lib0.NewReader(m.Payload)
		r.acks = append(r.acks, n.Uvarint())
	default:
		r.t.Fatalf("an unexpected message: %v", m.Kind)
	}
	return m
}

// ackRequest is the payload of an acknowledgement request.
func ackRequest(n uint64) []byte { return lib0.AppendUvarint(nil, n) }

// connected is a replica that is subscribed.
type connected struct {
	*replica
	sub   *Subscription
	woken chan struct{}
	hub   *Hub
}

func subscribe(t testing.TB, h *Hub, document string, r *replica, p Peer) *connected {
	t.Helper()
	c := &connected{replica: r, woken: make(chan struct{}, 1), hub: h}
	sub, err := h.Subscribe(document, p, func() {
		select {
		case c.woken <- struct{}{}:
		default:
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	c.sub = sub
	return c
}

// join subscribes and starts the handshake.
func join(t testing.TB, h *Hub, document string, id uint64) *connected {
	t.Helper()
	c := subscribe(t, h, document, newReplica(t, crdt.ClientID(id)), Peer{Session: id, CanWrite: true, CanPresence: true})
	// A load that fails may have ended it already; what then follows tells.
	err := c.sub.Send(context.Background(), syncproto.Message{Kind: syncproto.KindSyncStep1, Payload: c.vector()})
	if err != nil && !errors.Is(err, ErrEnded) {
		t.Fatal(err)
	}
	return c
}

func (c *connected) send(kind syncproto.Kind, payload []byte) {
	c.t.Helper()
	if err := c.sub.Send(context.Background(), syncproto.Message{Kind: kind, Payload: payload}); err != nil {
		c.t.Fatalf("send %v: %v", kind, err)
	}
}

// drain takes in all that waits and answers what is asked.
func (c *connected) drain() int {
	c.t.Helper()
	n := 0
	for frame, ok := c.sub.Next(); ok; frame, ok = c.sub.Next() {
		n++
		m := c.receive(frame)
		if m.Kind == syncproto.KindSyncStep1 && c.sub.peer.CanWrite {
			sv, err := crdt.DecodeStateVector(m.Payload)
			if err != nil {
				c.t.Fatal(err)
			}
			c.send(syncproto.KindSyncStep2, c.doc.AppendDiff(nil, crdt.V1, sv))
		}
	}
	return n
}
