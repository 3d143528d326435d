package gateway

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// door takes TCP connections in and reads the first request of each. One that asks
// for a WebSocket in an ordinary way is answered from here: net/http would allocate 12 KiB
// of buffers for it, which go with the connection and are thrown away, and a second goroutine.
// All others go on to net/http, with what was read of them, and those with TLS, where
// this would save little, at once. The door is the
// listener that net/http accepts them from.
type door struct {
	net.Listener
	server *Server
	others chan arrival
	once   sync.Once
	over   chan struct{} // closed with the door
}

// arrival is what an accept brought.
type arrival struct {
	conn net.Conn
	err  error
}

func newDoor(s *Server, l net.Listener) *door {
	return &door{Listener: l, server: s, others: make(chan arrival), over: make(chan struct{})}
}

// run accepts until the listener is closed. After a failure it goes on when net/http,
// which paces itself then, comes back.
func (d *door) run() {
	for {
		nc, err := d.Listener.Accept()
		_, encrypted := nc.(*tls.Conn)
		switch {
		case encrypted:
			if !d.hand(arrival{conn: nc}) {
				_ = nc.Close()
			}
		case err == nil && d.server.entrances.enter(nc):
			d.server.arrived(nc)
			go d.first(nc)
		case err == nil:
			_ = nc.Close()
		case !d.hand(arrival{err: err}), errors.Is(err, net.ErrClosed):
			return
		}
	}
}

// hand gives net/http what it waits for, and reports whether it did.
func (d *door) hand(a arrival) bool {
	select {
	case d.others <- a:
		return true
	case <-d.over:
		return false
	}
}

// Accept is for net/http.
func (d *door) Accept() (net.Conn, error) {
	select {
	case a := <-d.others:
		return a.conn, a.err
	case <-d.over:
		return nil, net.ErrClosed
	}
}

// Close closes the listener.
func (d *door) Close() error {
	d.once.Do(func() { close(d.over) })
	return d.Listener.Close()
}

// first serves a connection whose first request is an upgrade, until its end.
func (d *door) first(nc net.Conn) {
	s := d.server
	c, other := s.open(nc)
	s.unready.remove(nc)
	s.entrances.wait.Done()
	if other != nil && !d.hand(arrival{conn: other}) {
		_ = other.Close()
	}
	if c != nil {
		c.read()
	}
}

// open reads a connection's first request and answers it if it is an upgrade, or
// returns the connection for net/http if it is not. Both are nil when it is closed.
func (s *Server) open(nc net.Conn) (c *conn, other net.Conn) {
	o := openings.Get().(*opening)
	defer openings.Put(o)
	_ = nc.SetReadDeadline(time.Now().Add(headerTimeout))
	head, err := o.read(nc)
	s.entrances.asked(nc)
	if err != nil && (o.n == 0 || !isEOF(err)) {
		_ = nc.Close()
		return nil, nil
	}
	_ = nc.SetReadDeadline(time.Time{})
	r := o.upgrade(head)
	if r == nil {
		return nil, &replayed{Conn: nc, head: bytes.Clone(o.buf[:o.n])}
	}
	r.RemoteAddr = nc.RemoteAddr().String()
	a := &answer{conn: nc, opening: o, header: http.Header{}, status: http.StatusOK}
	if c = s.route(a, r.WithContext(s.ctx)); c == nil {
		a.refuse()
	}
	return c, nil
}

// entrances are the connections whose first request is under way.
type entrances struct {
	mu sync.Mutex
	// Guarded by mu.
	silent map[net.Conn]struct{} // those that have not asked for anything yet
	shut   bool

	wait sync.WaitGroup
}

func (e *entrances) enter(nc net.Conn) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.shut {
		return false
	}
	if e.silent == nil {
		e.silent = map[net.Conn]struct{}{}
	}
	e.silent[nc] = struct{}{}
	e.wait.Add(1)
	return true
}

// asked notes that a connection's request has come, or will not.
func (e *entrances) asked(nc net.Conn) {
	e.mu.Lock()
	delete(e.silent, nc)
	e.mu.Unlock()
}

// close lets no more in, and sends away those that are silent. It
// waits for those that are being answered, until expired is closed.
func (e *entrances) close(expired <-chan struct{}) {
	e.mu.Lock()
	e.shut = true
	for nc := range e.silent {
		_ = nc.SetReadDeadline(time.Unix(1, 0))
	}
	e.mu.Unlock()
	done := make(chan struct{})
	go func() {
		e.wait.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-expired:
	}
}

// opening is what it takes to read a first request and to answer it.
type opening struct {
	buf    [smallBuffer]byte
	n      int // bytes in buf
	in     bytes.Reader
	parsed *bufio.Reader // reads in; holds all that follows the request
	out    bytes.Buffer
}

var openings = sync.Pool{New: func() any { return &opening{parsed: bufio.NewReaderSize(nil, smallBuffer)} }}

var headEnd = []byte("\r\n\r\n")

// read reads until the head of a request is there. It returns nil, without an error,
// if that is too long for the buffer.
func (o *opening) read(nc net.Conn) (head []byte, err error) {
	for o.n = 0; o.n < len(o.buf); {
		n, err := nc.Read(o.buf[o.n:])
		seen := max(0, o.n-len(headEnd)+1)
		o.n += n
		if i := bytes.Index(o.buf[seen:o.n], headEnd); i >= 0 {
			return o.buf[:seen+i+len(headEnd)], nil
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// upgrade parses a head. It returns nil unless that is a well-formed request for a
// WebSocket without anything unusual in it, all of which net/http can judge better.
func (o *opening) upgrade(head []byte) *http.Request {
	for _, b := range head {
		if (b < ' ' || b > '~') && b != '\r' && b != '\n' {
			return nil
		}
	}
	o.in.Reset(o.buf[:o.n])
	o.parsed.Reset(&o.in)
	r, err := http.ReadRequest(o.parsed)
	if err != nil || r.Method != http.MethodGet || r.Proto != "HTTP/1.1" || r.Host == "" || r.Body != http.NoBody || !isUpgrade(r) {
		return nil
	}
	for name := range r.Header {
		if strings.Contains(name, " ") {
			return nil
		}
	}
	return r
}

// answer is the http.ResponseWriter for a connection's first request.
type answer struct {
	conn    net.Conn
	opening *opening
	header  http.Header
	status  int
	body    []byte
}

func (a *answer) Header() http.Header    { return a.header }
func (a *answer) WriteHeader(status int) { a.status = status }

func (a *answer) Write(b []byte) (int, error) {
	a.body = append(a.body, b...)
	return len(b), nil
}

// write sends the response.
func (a *answer) write() error {
	r := http.Response{
		StatusCode: a.status, ProtoMajor: 1, ProtoMinor: 1, Header: a.header,
		ContentLength: int64(len(a.body)), Body: io.NopCloser(bytes.NewReader(a.body)),
		Close: a.status != http.StatusSwitchingProtocols,
	}
	a.opening.out.Reset()
	if err := r.Write(&a.opening.out); err != nil {
		return err
	}
	_, err := a.conn.Write(a.opening.out.Bytes())
	return err
}

// Hijack sends the response and gives the connection away.
func (a *answer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if err := a.write(); err != nil {
		return nil, nil, err
	}
	return a.conn, bufio.NewReadWriter(a.opening.parsed, nil), nil
}

// refuse sends a response that is no upgrade, and closes.
func (a *answer) refuse() {
	a.header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	_ = a.write() // a client that is gone misses nothing
	_ = a.conn.Close()
}

// replayed is a connection of which the first bytes were read.
type replayed struct {
	net.Conn
	head []byte // owned by the reader
}

func (r *replayed) Read(p []byte) (int, error) {
	if len(r.head) == 0 {
		return r.Conn.Read(p)
	}
	n := copy(p, r.head)
	r.head = r.head[n:]
	return n, nil
}
