package main

import (
	"errors"
	"fmt"
	"net"
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
	ended  atomic.Bool
	mute   atomic.Bool // it neither answers nor renews any more
	edits  *arrivals

	mu    sync.Mutex
	aware *awareness.Awareness
	out   []byte
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
	m := &mirror{socket: s, synced: make(chan struct{}), edits: edits, aware: awareness.New(id, time.Now())}
	go m.read()
	if err := s.write([]byte{0, 0, 1, 0}); err != nil {
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
	defer m.ended.Store(true)
	var buf []byte
	for {
		frame, err := m.socket.read(buf)
		if err != nil {
			return
		}
		buf = frame
		if m.mute.Load() {
			continue
		}
		messages := syncproto.NewDecoder(frame)
		for msg, ok := messages.Next(); ok; msg, ok = messages.Next() {
			switch err := m.receive(msg); {
			case errors.Is(err, net.ErrClosed):
				return
			case err != nil:
				m.edits.stats.fail(err)
			}
		}
	}
}

func (m *mirror) receive(msg syncproto.Message) error {
	switch msg.Kind {
	case syncproto.KindSyncStep1:
		return m.socket.write(syncproto.AppendSyncStep2(nil, []byte{0, 0}))
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
	m.out = syncproto.AppendAwareness(m.out[:0], update)
	return m.socket.write(m.out)
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
