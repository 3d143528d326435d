package main

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"ysync/awareness"
	"ysync/crdt"
	"ysync/internal/lib0"
	"ysync/syncproto"
)

// mirror is a client that treats presence as stock y-websocket clients do: every
// state that is news to it, it sends back, encoded again (y-websocket.js,
// _awarenessUpdateHandler does not look where a change came from). It keeps no
// replica of the document, and tells when an edit of the watched writer came.
type mirror struct {
	socket *socket
	synced chan struct{}
	ended  atomic.Pointer[error] // why its connection is over; nil while it is not
	mute   atomic.Bool           // it neither answers nor renews any more
	edits  *arrivals

	mu sync.Mutex
	// shown is what it knows of each client. It is kept as bytes and not as an
	// awareness.Awareness, which tells a changed state from an equal one: no mirror asks.
	shown map[uint64]*presence
	id    uint64

	// queue is what is to be sent, without a bound as in a browser: who waits to
	// send would not read meanwhile, and two that wait for each other are stuck.
	queueMu sync.Mutex
	queue   [][]byte
	queued  chan struct{} // has room for one
	over    chan struct{} // closed by the reader
}

// presence is the newest of a client.
type presence struct {
	clock uint64
	state []byte // JSON; none if it was taken away
	at    time.Time
}

// put queues a message.
func (m *mirror) put(message []byte) error {
	if why := m.ended.Load(); why != nil {
		return *why
	}
	m.queueMu.Lock()
	m.queue = append(m.queue, message)
	m.queueMu.Unlock()
	select {
	case m.queued <- struct{}{}:
	default:
	}
	return nil
}

// write sends what is queued until the connection is over.
func (m *mirror) write() {
	for {
		select {
		case <-m.queued:
		case <-m.over:
			return
		}
		m.queueMu.Lock()
		messages := m.queue
		m.queue = nil
		m.queueMu.Unlock()
		for _, message := range messages {
			if m.socket.write(message) != nil {
				return // the reader finds why
			}
		}
	}
}

// arrivals are the edits of one writer by the clock that each begins at.
type arrivals struct {
	stats  stats
	writer crdt.ClientID

	mu sync.Mutex
	at map[crdt.Clock]time.Time
}

func (a *arrivals) came(update []byte, now time.Time) {
	contents, err := crdt.ContentsOf(crdt.V1, update)
	if err != nil {
		a.stats.fail(err)
		return
	}
	for client, r := range contents.Blocks.All() {
		if client != a.writer {
			continue
		}
		a.mu.Lock()
		at, ok := a.at[r.From]
		a.mu.Unlock()
		if ok {
			a.stats.delivered(now.Sub(at))
		}
	}
}

func dialMirror(addr, document string, id uint64, edits *arrivals) (*mirror, error) {
	s, err := dial(addr, document, 4096)
	if err != nil {
		return nil, err
	}
	m := &mirror{socket: s, synced: make(chan struct{}), queued: make(chan struct{}, 1), over: make(chan struct{}), edits: edits, id: id, shown: map[uint64]*presence{id: {}}}
	go m.read()
	go m.write()
	if err := m.put([]byte{0, 0, 1, 0}); err != nil {
		return nil, err
	}
	if err := m.show(0); err != nil {
		return nil, err
	}
	select {
	case <-m.synced:
		return m, nil
	case <-time.After(30 * time.Second):
		return nil, errors.New("a mirror was not synced in 30 s")
	}
}

func (m *mirror) read() {
	defer close(m.over)
	var buf []byte
	for {
		frame, err := m.socket.read(buf)
		if err != nil {
			m.ended.Store(&err)
			m.socket.close()
			return
		}
		buf = frame
		if m.mute.Load() {
			continue
		}
		messages := syncproto.NewDecoder(frame)
		for msg, ok := messages.Next(); ok; msg, ok = messages.Next() {
			if err := m.receive(msg); err != nil {
				m.edits.stats.fail(err)
			}
		}
	}
}

func (m *mirror) receive(msg syncproto.Message) error {
	switch msg.Kind {
	case syncproto.KindSyncStep1:
		return m.put(syncproto.AppendSyncStep2(nil, []byte{0, 0}))
	case syncproto.KindSyncStep2:
		select {
		case <-m.synced:
		default:
			close(m.synced)
		}
	case syncproto.KindUpdate:
		m.edits.came(msg.Payload, time.Now())
	case syncproto.KindAwareness:
		return m.see(msg.Payload, time.Now())
	}
	return nil
}

// see takes an awareness update by the rules of y-protocols awareness.js,
// applyAwarenessUpdate, and sends back what was news.
func (m *mirror) see(update []byte, now time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var news []byte
	n := 0
	entries := awareness.NewDecoder(update)
	for e, ok := entries.Next(); ok; e, ok = entries.Next() {
		known := m.shown[e.ClientID]
		if known == nil {
			known = &presence{}
			m.shown[e.ClientID] = known
		}
		removes := e.Removes()
		if e.Clock < known.clock || e.Clock == known.clock && !(removes && len(known.state) > 0) {
			continue
		}
		known.clock, known.at = e.Clock, now
		switch {
		case !removes:
			known.state = append(known.state[:0], e.State...)
		case e.ClientID == m.id && len(known.state) > 0:
			known.clock++
		default:
			known.state = known.state[:0]
		}
		news = known.append(news, e.ClientID)
		n++
	}
	if n == 0 || entries.Err() != nil {
		return entries.Err()
	}
	return m.send(n, news)
}

// append appends what is known of a client as an entry of an awareness update.
func (p *presence) append(dst []byte, id uint64) []byte {
	dst = lib0.AppendUvarint(lib0.AppendUvarint(dst, id), p.clock)
	if len(p.state) == 0 {
		return lib0.AppendBytes(dst, []byte("null"))
	}
	return lib0.AppendBytes(dst, p.state)
}

// send sends n entries.
func (m *mirror) send(n int, entries []byte) error {
	return m.put(syncproto.AppendAwareness(nil, append(lib0.AppendUvarint(nil, uint64(n)), entries...)))
}

// show changes the own state and sends it.
func (m *mirror) show(n int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	own := m.shown[m.id]
	own.state = fmt.Appendf(own.state[:0], `{"user":{"name":"Client %d","color":"#1d4ed8"},"cursor":{"anchor":%d,"head":%d}}`, m.id, n, n)
	return m.renew(own)
}

// renew sends the own state with a clock more. mu is held.
func (m *mirror) renew(own *presence) error {
	own.clock++
	own.at = time.Now()
	return m.send(1, own.append(nil, m.id))
}

// check does what a client does every three seconds: it renews its own state, and
// takes those away that have been silent.
func (m *mirror) check() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	var gone []byte
	n := 0
	for id, p := range m.shown {
		switch age := now.Sub(p.at); {
		case len(p.state) == 0:
		case id == m.id:
			if age >= awareness.RenewAfter {
				if err := m.renew(p); err != nil {
					return err
				}
			}
		case age >= awareness.OutdatedAfter:
			p.state = p.state[:0]
			gone = p.append(gone, id)
			n++
		}
	}
	if n == 0 {
		return nil
	}
	return m.send(n, gone)
}

// sees are the clients that the mirror shows.
func (m *mirror) sees() (ids []uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, p := range m.shown {
		if len(p.state) > 0 {
			ids = append(ids, id)
		}
	}
	return ids
}
