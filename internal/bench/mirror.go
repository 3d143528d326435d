package main

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"ysync/awareness"
	"ysync/crdt"
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

	mu    sync.Mutex
	aware *awareness.Awareness

	// queue is what is to be sent, without a bound as in a browser: who waits to
	// send would not read meanwhile, and two that wait for each other are stuck.
	queueMu sync.Mutex
	queue   [][]byte
	queued  chan struct{} // has room for one
	over    chan struct{} // closed by the reader
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
	m := &mirror{socket: s, synced: make(chan struct{}), queued: make(chan struct{}, 1), over: make(chan struct{}), edits: edits, aware: awareness.New(id, time.Now())}
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
		m.mu.Lock()
		defer m.mu.Unlock()
		change, err := m.aware.Apply(msg.Payload, time.Now())
		if err != nil || !change.IsUpdate() {
			return err
		}
		return m.send(change.Clients())
	}
	return nil
}

// send sends what is known of clients. mu is held.
func (m *mirror) send(clients []uint64) (err error) {
	var update []byte
	if update, err = m.aware.AppendUpdate(nil, clients...); err != nil {
		return err
	}
	return m.put(syncproto.AppendAwareness(nil, update))
}

// show changes the own state and sends it.
func (m *mirror) show(n int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	id := m.aware.ClientID()
	change, err := m.aware.SetLocalState(fmt.Appendf(nil, `{"user":{"name":"Client %d","color":"#1d4ed8"},"cursor":{"anchor":%d,"head":%d}}`, id, n, n), time.Now())
	if err != nil {
		return err
	}
	return m.send(change.Clients())
}

// check does what a client does every three seconds.
func (m *mirror) check() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	renewal, timeout := m.aware.Check(time.Now())
	for _, c := range []awareness.Change{renewal, timeout} {
		if c.IsUpdate() {
			if err := m.send(c.Clients()); err != nil {
				return err
			}
		}
	}
	return nil
}

// sees is how many clients the mirror shows.
func (m *mirror) sees() (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for range m.aware.States() {
		n++
	}
	return n
}
