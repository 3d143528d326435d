package main

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"ysync/internal/lib0"
	"ysync/syncproto"
)

// light is a client that keeps no replica: it asks for the document, notes that
// it came and drops what else it is told. Thousands fit on one core.
type light struct {
	socket *socket
	id     uint64
	clock  uint64
	synced chan struct{}
	acked  chan struct{}
	bytes  atomic.Int64
	ended  atomic.Bool
}

func dialLight(addr, document string, id uint64) (*light, error) {
	s, err := dial(addr, document, 512)
	if err != nil {
		return nil, err
	}
	l := &light{socket: s, id: id, synced: make(chan struct{}), acked: make(chan struct{}, 1)}
	go l.read()
	return l, s.write([]byte{0, 0, 1, 0}) // SyncStep1 of an empty document
}

func (l *light) read() {
	defer l.ended.Store(true)
	var buf []byte
	first := true
	for {
		message, err := l.socket.read(buf)
		if err != nil {
			return
		}
		l.bytes.Add(int64(len(message)))
		switch {
		case first && len(message) > 2 && message[0] == 0 && message[1] == 1:
			first = false
			close(l.synced)
		case len(message) > 0 && message[0] == 102:
			select {
			case l.acked <- struct{}{}:
			default:
			}
		}
		if cap(message) <= 4096 {
			buf = message
		}
	}
}

func (l *light) wait(d time.Duration) error {
	select {
	case <-l.synced:
		return nil
	case <-time.After(d):
		return fmt.Errorf("not synced in %v", d)
	}
}

// announce sends the client's presence with the next clock, as a living client
// does every 15 s.
func (l *light) announce() error {
	l.clock++
	state := fmt.Sprintf(`{"user":{"name":"Client %d","color":"#1d4ed8"},"cursor":{"anchor":%d,"head":%d}}`, l.id, l.clock, l.clock)
	update := lib0.AppendUvarint(nil, 1)
	update = lib0.AppendUvarint(update, l.id)
	update = lib0.AppendUvarint(update, l.clock)
	update = lib0.AppendString(update, state)
	return l.socket.write(syncproto.AppendAwareness(nil, update))
}

// crowd dials n clients over the documents, at most parallel at a time, and
// returns when all are synced.
func crowd(addr string, n, parallel int, document func(i int) string) ([]*light, time.Duration, error) {
	clients := make([]*light, n)
	var failed atomic.Value
	var wg sync.WaitGroup
	slots := make(chan struct{}, parallel)
	begin := time.Now()
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			l, err := dialLight(addr, document(i), uint64(1000+i))
			if err == nil {
				clients[i] = l
				err = l.wait(2 * time.Minute)
			}
			if err != nil {
				failed.Store(err)
			}
		})
	}
	wg.Wait()
	took := time.Since(begin)
	if err, ok := failed.Load().(error); ok {
		return clients, took, err
	}
	return clients, took, nil
}

func closeCrowd(clients []*light) {
	for _, l := range clients {
		if l != nil {
			l.socket.close()
		}
	}
}
