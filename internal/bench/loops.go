package main

import (
	"fmt"
	"time"
)

// shape is how many documents there are and who is in them.
type shape struct {
	documents, clients, writers int
}

// underWay is how many edits of one writer are on their way at a time in a
// closed loop.
const underWay = 4

const (
	warmUp  = 2 * time.Second
	measure = 5 * time.Second
)

// open connects all clients of a shape, the writers of each document first; the
// others only read.
func (sh shape) open(addr string, s *stats) ([]*writer, func(), error) {
	var writers []*writer
	var groups []*group
	var closers []func()
	closeAll := func() {
		for _, f := range closers {
			f()
		}
		for _, g := range groups {
			for _, p := range g.peers {
				p.socket.close()
			}
		}
	}
	for d := range sh.documents {
		g := newGroup(fmt.Sprintf("bench-%d-%d", time.Now().UnixNano(), d), s)
		groups = append(groups, g)
		for c := range sh.clients {
			if c >= sh.writers {
				stop, err := g.joinReader(addr)
				if err != nil {
					return nil, closeAll, err
				}
				closers = append(closers, stop)
				continue
			}
			p, err := g.join(addr)
			if err != nil {
				return nil, closeAll, err
			}
			writers = append(writers, p.writer(uint64(d*1000+c)))
		}
	}
	return writers, closeAll, nil
}

// closedLoop keeps underWay edits of every writer on their way and measures
// what the server then does.
func closedLoop(srv *server, sh shape) (sample, error) {
	s := &stats{}
	writers, closeAll, err := sh.open(srv.addr, s)
	defer closeAll()
	if err != nil {
		return sample{}, err
	}
	for _, w := range writers {
		due := make(chan struct{}, 2*underWay)
		w.next = func() {
			select {
			case due <- struct{}{}:
			default:
			}
		}
		for range underWay {
			w.next()
		}
		go func() {
			for range due {
				if err := w.edit(time.Now()); err != nil {
					return // the sockets are closed: the measurement is over
				}
			}
		}()
	}
	time.Sleep(warmUp)
	return s.window(srv, measure), nil
}

// openLoop sends editsPerSecond over all writers on a fixed schedule, whatever
// the server does, for as long as d, and measures the last part of it. drained
// is how long it took after the last edit until nothing was under way.
func openLoop(srv *server, sh shape, editsPerSecond float64, d time.Duration) (got sample, drained time.Duration, err error) {
	s := &stats{}
	writers, closeAll, err := sh.open(srv.addr, s)
	defer closeAll()
	if err != nil {
		return sample{}, 0, err
	}
	drained, err = drive(writers, editsPerSecond, d, func() { got = s.window(srv, d) })
	return got, drained, err
}

// drive has writers send editsPerSecond together on a fixed schedule for as long
// as d after a warm-up, during which it measures. drained is how long it took
// after the last edit until nothing was under way.
func drive(writers []*writer, editsPerSecond float64, d time.Duration, measured func()) (drained time.Duration, err error) {
	every := time.Duration(float64(len(writers)) / editsPerSecond * float64(time.Second))
	begin := time.Now().Add(50 * time.Millisecond)
	end := begin.Add(warmUp + d)
	done := make(chan struct{}, len(writers))
	for i, w := range writers {
		go func() {
			defer func() { done <- struct{}{} }()
			at := begin.Add(every * time.Duration(i) / time.Duration(len(writers)))
			for ; at.Before(end); at = at.Add(every) {
				time.Sleep(time.Until(at))
				if w.edit(at) != nil {
					return
				}
			}
		}()
	}
	time.Sleep(time.Until(begin.Add(warmUp)))
	measured()
	stop := time.Now()
	for range writers {
		<-done
	}
	for pending(writers) > 0 && time.Since(stop) < 60*time.Second {
		time.Sleep(5 * time.Millisecond)
	}
	if n := pending(writers); n > 0 {
		return time.Since(stop), fmt.Errorf("%d edits were never seen by all", n)
	}
	return time.Since(stop), nil
}

func pending(writers []*writer) int {
	n := 0
	for _, w := range writers {
		w.peer.group.mu.Lock()
		n += len(w.edits)
		w.peer.group.mu.Unlock()
	}
	return n
}

// echoLoop sends messages of an edit's size over two sockets, underWay at a
// time on each, and counts what comes back as deliveries.
func echoLoop(srv *server) (sample, error) {
	s := &stats{}
	var sockets []*socket
	defer func() {
		for _, c := range sockets {
			c.close()
		}
	}()
	message := make([]byte, 40)
	for range 2 {
		c, err := dial(srv.addr, "echo", 4096)
		if err != nil {
			return sample{}, err
		}
		sockets = append(sockets, c)
		go func() {
			var buf []byte
			for {
				begin := time.Now()
				got, err := c.read(buf)
				if err != nil {
					return
				}
				buf = got
				s.delivered(time.Since(begin))
				if c.write(message) != nil {
					return
				}
			}
		}()
		for range underWay {
			if err := c.write(message); err != nil {
				return sample{}, err
			}
		}
	}
	time.Sleep(warmUp)
	return s.window(srv, measure), nil
}
