package gateway

import (
	"container/list"
	"net"
	"net/http"
	"sync"
)

// RequestConnections is how many TCP connections may be open that are not
// upgraded when Options.MaxConnections are.
const RequestConnections = 256

// unready are the TCP connections that are no WebSockets yet, oldest first.
type unready struct {
	mu    sync.Mutex
	order list.List // of net.Conn
	place map[net.Conn]*list.Element
}

func (u *unready) add(nc net.Conn) (n int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.place == nil {
		u.place = map[net.Conn]*list.Element{}
	}
	u.place[nc] = u.order.PushBack(nc)
	return len(u.place)
}

func (u *unready) remove(nc net.Conn) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if e := u.place[nc]; e != nil {
		u.order.Remove(e)
		delete(u.place, nc)
	}
}

func (u *unready) oldest() net.Conn {
	u.mu.Lock()
	defer u.mu.Unlock()
	if e := u.order.Front(); e != nil {
		return e.Value.(net.Conn)
	}
	return nil
}

// arrived keeps a TCP connection that is not upgraded, and closes the oldest of
// them if there are too many: the file descriptors are needed for other things too.
// Who holds many open by sending a byte now and then loses them to those who
// come with a whole request.
func (s *Server) arrived(nc net.Conn) {
	n := s.unready.add(nc)
	if n <= s.options.MaxRequests && int64(n)+s.connections.count.Load() <= int64(s.options.MaxConnections)+RequestConnections {
		return
	}
	if oldest := s.unready.oldest(); oldest != nil {
		s.metrics.RefusedTotal.WithLabelValues("sockets").Inc()
		s.unready.remove(oldest)
		_ = oldest.Close()
	}
}

// track keeps the connections of net/http that are not upgraded.
func (s *Server) track(nc net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.arrived(nc)
	case http.StateHijacked, http.StateClosed:
		s.unready.remove(nc)
	}
}
