package gateway

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"ysync/internal/auth"
	"ysync/internal/metrics"
	"ysync/internal/testtls"
	"ysync/syncproto"
)

// secured serves over TLS.
func secured(t *testing.T, i *testtls.Issuer, change func(*Options)) (*rig, *Certificate) {
	t.Helper()
	l, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c, err := LoadCertificate(i.Cert, i.Key, metrics.New(prometheus.NewRegistry()), zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	return startOn(t, c.Listen(l), change), c
}

func (r *rig) dialTLS(config *tls.Config, path string) *client {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, "wss://"+r.address+path, &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: &http.Transport{TLSClientConfig: config}},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	ws.SetReadLimit(64 << 20)
	r.t.Cleanup(func() { _ = ws.CloseNow() })
	return &client{t: r.t, ws: ws}
}

// Two clients edit over TLS; frames of every size arrive.
func TestClientsOverTLS(t *testing.T) {
	i := testtls.New(t)
	r, _ := secured(t, i, nil)
	a, b := r.dialTLS(i.Client(), "/doc"), r.dialTLS(i.Client(), "/doc")
	a.sync()
	b.sync()
	text := make([]byte, 100)
	for n := range text {
		text[n] = 'a'
	}
	for n := range 50 {
		a.send(syncproto.AppendUpdate(nil, insert(7, byte(n), "x")))
		if m := b.until(syncproto.KindUpdate); len(m.Payload) == 0 {
			t.Fatal("an empty update")
		}
	}
	b.send(syncproto.AppendUpdate(nil, insert(9, 0, string(text))))
	a.until(syncproto.KindUpdate)
}

// A renewed certificate is served to new connections, those that are open go
// on, and a broken one changes nothing.
func TestCertificateRotates(t *testing.T) {
	i := testtls.New(t)
	r, c := secured(t, i, nil)
	now := time.Now()
	var mu sync.Mutex
	c.mu.Lock()
	c.now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	c.mu.Unlock()
	served := func() int64 {
		nc, err := tls.Dial("tcp", r.address, i.Client())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		return nc.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	pass := func() {
		mu.Lock()
		now = now.Add(time.Minute)
		mu.Unlock()
	}
	a := r.dialTLS(i.Client(), "/doc")
	a.sync()
	first := served()
	i.Renew()
	pass()
	if got := served(); got != first+1 {
		t.Errorf("certificate %d after the renewal, want %d", got, first+1)
	}
	if err := os.WriteFile(i.Cert, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	pass()
	if got := served(); got != first+1 {
		t.Errorf("certificate %d after a broken renewal, want %d", got, first+1)
	}
	i.Renew()
	pass()
	if got := served(); got != first+2 {
		t.Errorf("certificate %d after it was mended, want %d", got, first+2)
	}
	a.sync()
}

// Over TLS as well, who reads nothing ends, and who reads slowly does not.
func TestSlowReadersOverTLS(t *testing.T) {
	i := testtls.New(t)
	r, _ := secured(t, i, func(o *Options) { o.Session.StallFor = 4 * time.Second })
	writer := r.dialTLS(i.Client(), "/doc")
	writer.sync()
	open := func() *tls.Conn {
		nc, err := tls.Dial("tcp", r.address, i.Client())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = nc.Close() })
		if tcp, ok := nc.NetConn().(*net.TCPConn); ok {
			_ = tcp.SetReadBuffer(4 << 10)
		}
		if _, err := io.WriteString(nc, "GET /doc HTTP/1.1\r\nHost: "+r.address+"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"+
			"\x82\x84\x00\x00\x00\x00\x00\x00\x01\x00"); err != nil {
			t.Fatal(err)
		}
		return nc
	}
	_, slow := open(), open()
	over := make(chan struct{})
	var reading sync.WaitGroup
	defer reading.Wait()
	defer close(over)
	reading.Go(func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-over:
				return
			case <-tick.C:
				_, _ = slow.Read(make([]byte, 8<<10))
			}
		}
	})
	big := make([]byte, 60_000)
	for n := range big {
		big[n] = 'x'
	}
	// More than the kernel's buffers hold.
	var clock uint64
	for range 200 {
		update := appendInsert(nil, 7, clock, big)
		clock += uint64(len(big))
		writer.send(syncproto.AppendUpdate(nil, update))
	}
	go func() { _, _ = io.Copy(io.Discard, readerOf(writer)) }()
	eventually(t, "an end of the one that reads nothing", func() bool { return r.value("ysync_closes_total", "4508") >= 1 })
	if n := r.value("ysync_connections", ""); n != 2 {
		t.Errorf("%v connections are open, want the writer and the slow reader", n)
	}
}

// readerOf reads a client's messages, one after the other.
func readerOf(c *client) io.Reader { return clientReader{c} }

type clientReader struct{ c *client }

func (r clientReader) Read(p []byte) (int, error) {
	_, frame, err := r.c.ws.Read(context.Background())
	return min(len(frame), len(p)), err
}

// appendInsert is insert for texts of any size.
func appendInsert(dst []byte, id byte, clock uint64, text []byte) []byte {
	uvarint := func(n uint64) {
		for ; n >= 0x80; n >>= 7 {
			dst = append(dst, byte(n)|0x80)
		}
		dst = append(dst, byte(n))
	}
	dst = append(dst, 1, 1, id)
	uvarint(clock)
	if clock == 0 {
		dst = append(dst, 4, 1, 1, 't')
	} else {
		dst = append(dst, 0x84, id)
		uvarint(clock - 1)
	}
	uvarint(uint64(len(text)))
	return append(append(dst, text...), 0)
}

// Who is silent in any part of the handshake is cut off.
func TestSilentHandshakes(t *testing.T) {
	i := testtls.New(t)
	plain := start(t, nil)
	r, _ := secured(t, i, nil)
	var group sync.WaitGroup
	for _, c := range []struct{ address, sends string }{
		{plain.address, ""},
		{plain.address, "GET /doc HTTP/1.1\r\nHost: x\r\nX-Slow: "},
		{r.address, ""},
		{r.address, "\x16\x03\x01\x02\x00\x01"},
		{r.address, "GET / HTTP/1.1\r\n\r\n"},
	} {
		nc, err := net.Dial("tcp", c.address)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		if _, err := io.WriteString(nc, c.sends); err != nil {
			t.Fatal(err)
		}
		group.Go(func() {
			_ = nc.SetReadDeadline(time.Now().Add(bound))
			if _, err := io.Copy(io.Discard, nc); err != nil {
				t.Errorf("after %q: %v", c.sends, err)
			}
		})
	}
	group.Wait()
}

func TestTrustedProxies(t *testing.T) {
	s := &Server{options: Options{Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}}}
	for _, c := range []struct {
		peer    string
		headers []string
		want    string
	}{
		{"10.1.1.1:5", []string{"203.0.113.7"}, "203.0.113.7:0"},
		{"10.1.1.1:5", []string{"6.6.6.6, 203.0.113.7, 10.2.2.2"}, "203.0.113.7:0"},
		{"10.1.1.1:5", []string{"6.6.6.6", "203.0.113.7"}, "203.0.113.7:0"},
		{"10.1.1.1:5", []string{"203.0.113.7:4711"}, "203.0.113.7:0"},
		{"10.1.1.1:5", []string{"[2001:db8::1]:99"}, "[2001:db8::1]:0"},
		{"10.1.1.1:5", []string{"6.6.6.6, nonsense, 10.2.2.2"}, "10.2.2.2:0"},
		{"10.1.1.1:5", nil, "10.1.1.1:5"},
		{"203.0.113.9:5", []string{"127.0.0.1"}, "203.0.113.9:5"},
		{"[::1]:5", []string{"203.0.113.7"}, "203.0.113.7:0"},
		{"[::ffff:10.1.1.1]:5", []string{"203.0.113.7"}, "203.0.113.7:0"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = c.peer
		r.Header["X-Forwarded-For"] = c.headers
		if s.fromProxy(r); r.RemoteAddr != c.want {
			t.Errorf("%s %q: %s, want %s", c.peer, c.headers, r.RemoteAddr, c.want)
		}
	}
	// Through a proxy on this machine nobody becomes an operator.
	r := httptest.NewRequest(http.MethodGet, "/status", nil)
	r.RemoteAddr = "[::1]:5"
	r.Header.Set("X-Forwarded-For", "203.0.113.7")
	s.options.Auth = denyAll{}
	s.now = time.Now
	if s.fromProxy(r); s.mayOperate(r) {
		t.Error("a stranger operates through a proxy")
	}
}

type denyAll struct{}

func (denyAll) Authorize(context.Context, auth.Request) (auth.Grant, error) {
	return auth.Grant{}, auth.ErrDenied
}
