package postgres_test

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// fate is what the proxy does to one append.
type fate struct {
	// request and answer are how many bytes of each pass before the connection
	// is cut on both sides; negative is all of them.
	request, answer int
	// hold cuts the client off and keeps the whole request for release.
	hold bool
}

var whole = fate{request: -1, answer: -1}

// proxy stands between a log and the server, and knows an append when it sees one.
type proxy struct {
	t        *testing.T
	listener net.Listener
	server   string

	mu      sync.Mutex
	fates   []fate // of the next appends
	down    bool
	conns   map[net.Conn]struct{}
	held    []func() // what was held, to be sent
	seen    int      // appends
	request int      // bytes of the newest append's request
	answer  int      // bytes of the newest whole answer
}

func newProxy(t *testing.T, server string) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{t: t, listener: l, server: server, conns: make(map[net.Conn]struct{})}
	t.Cleanup(func() {
		_ = l.Close()
		p.cutAll()
	})
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(client)
		}
	}()
	return p
}

// url is the server's URL by way of the proxy.
func (p *proxy) url(direct string) string {
	return strings.Replace(direct, p.server, p.listener.Addr().String(), 1) + "?sslmode=disable"
}

// next says what happens to the next appends.
func (p *proxy) next(fates ...fate) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fates = fates
}

// setDown refuses and cuts all connections, or takes them again.
func (p *proxy) setDown(down bool) {
	p.mu.Lock()
	p.down = down
	p.mu.Unlock()
	if down {
		p.cutAll()
	}
}

func (p *proxy) cutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
}

// release sends what was held to the server, and waits for its answers.
func (p *proxy) release() {
	p.mu.Lock()
	held := p.held
	p.held = nil
	p.mu.Unlock()
	if len(held) == 0 {
		p.t.Fatal("nothing was held")
	}
	for _, send := range held {
		send()
	}
}

// session is one connection through the proxy.
type session struct {
	*proxy
	client, server net.Conn

	mu      sync.Mutex
	pass    int  // bytes of answers that may pass; negative is all
	counted bool // an append's answer is passing
	passed  int
	ready   chan struct{} // closed at the end of an answer to a held request
}

func (p *proxy) serve(client net.Conn) {
	defer client.Close()
	p.mu.Lock()
	down := p.down
	p.mu.Unlock()
	if down {
		return
	}
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		return
	}
	s := &session{proxy: p, client: client, server: server, pass: -1}
	p.mu.Lock()
	p.conns[client] = struct{}{}
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.conns, client)
		p.mu.Unlock()
	}()
	go s.down()
	if !s.up() {
		_ = server.Close()
	}
}

// message reads one message of the client: a type, a length, the rest. The
// first message of a connection has no type.
func message(r io.Reader, typed int) ([]byte, error) {
	head := make([]byte, typed+4)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}
	rest := make([]byte, binary.BigEndian.Uint32(head[typed:])-4)
	_, err := io.ReadFull(r, rest)
	return append(head, rest...), err
}

// up passes the client's messages. It reports whether the server's side is to
// stay open.
func (s *session) up() bool {
	m, err := message(s.client, 0)
	for err == nil {
		if m[0] == 'B' && strings.HasPrefix(string(m[5:]), "\x00append\x00") {
			request := m
			for request[len(request)-5] != 'S' { // Sync ends it, and has nothing but its length
				if m, err = message(s.client, 1); err != nil {
					return false
				}
				request = append(request, m...)
			}
			if goOn, keep := s.append(request); !goOn {
				return keep
			}
		} else if _, err = s.server.Write(m); err != nil {
			return false
		}
		m, err = message(s.client, 1)
	}
	return false
}

// append meets its fate.
func (s *session) append(request []byte) (goOn, keep bool) {
	s.proxy.mu.Lock()
	f := whole
	if len(s.fates) > 0 {
		f, s.fates = s.fates[0], s.fates[1:]
	}
	s.proxy.seen++
	s.proxy.request = len(request)
	s.proxy.mu.Unlock()
	s.mu.Lock()
	s.pass, s.counted, s.passed = f.answer, true, 0
	s.mu.Unlock()
	switch {
	case f.hold:
		ready := make(chan struct{})
		s.mu.Lock()
		s.pass, s.ready = 0, ready
		s.mu.Unlock()
		s.proxy.mu.Lock()
		s.held = append(s.held, func() {
			_, _ = s.server.Write(request)
			<-ready
			_ = s.server.Close()
		})
		s.proxy.mu.Unlock()
		return false, true
	case f.request >= 0 && f.request < len(request):
		_, _ = s.server.Write(request[:f.request])
		return false, false
	}
	_, err := s.server.Write(request)
	return err == nil, false
}

// down passes the server's answers, as far as they may.
func (s *session) down() {
	defer s.client.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := s.server.Read(buffer)
		if n > 0 && !s.answered(buffer[:n]) {
			_ = s.server.Close()
			return
		}
		if err != nil {
			s.mu.Lock()
			if s.ready != nil {
				close(s.ready)
				s.ready = nil
			}
			s.mu.Unlock()
			if !errors.Is(err, io.EOF) {
				return
			}
			return
		}
	}
}

// answered passes a piece of an answer; false cuts the connection.
func (s *session) answered(b []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ready != nil { // the client is gone
		if b[len(b)-6] == 'Z' { // ReadyForQuery
			close(s.ready)
			s.ready = nil
		}
		return true
	}
	cut := false
	if s.pass >= 0 {
		if left := s.pass - s.passed; len(b) >= left {
			b, cut = b[:left], true
		}
	}
	s.passed += len(b)
	if s.counted && !cut {
		s.proxy.mu.Lock()
		s.proxy.answer = s.passed
		s.proxy.mu.Unlock()
	}
	if _, err := s.client.Write(b); err != nil {
		return false
	}
	return !cut
}
