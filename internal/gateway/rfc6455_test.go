package gateway

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"ysync/syncproto"
)

// raw is a client made of bytes.
type raw struct {
	t testing.TB
	net.Conn
	r       *bufio.Reader
	address string
}

func (r *rig) raw() *raw {
	r.t.Helper()
	nc, err := r.dial(r.t.Context(), "tcp", r.address)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(bound)); err != nil {
		r.t.Fatal(err)
	}
	return &raw{t: r.t, Conn: nc, r: bufio.NewReader(nc), address: r.address}
}

func (c *raw) write(b []byte) {
	c.t.Helper()
	if _, err := c.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

// request is a handshake for a path, with lines added, or replaced by name.
func (c *raw) request(path string, lines ...string) string {
	headers := [][2]string{
		{"Host", c.address},
		{"Upgrade", "websocket"},
		{"Connection", "Upgrade"},
		{"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="},
		{"Sec-WebSocket-Version", "13"},
	}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		found := false
		for i := range headers {
			if headers[i][0] == name {
				headers[i][1], found = value, true
			}
		}
		if !found {
			headers = append(headers, [2]string{name, value})
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "GET %s HTTP/1.1\r\n", path)
	for _, h := range headers {
		if h[1] != "" {
			fmt.Fprintf(&b, "%s: %s\r\n", h[0], h[1])
		}
	}
	return b.String() + "\r\n"
}

func (c *raw) response() *http.Response {
	c.t.Helper()
	response, err := http.ReadResponse(c.r, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	return response
}

func (c *raw) upgrade(path string) {
	c.t.Helper()
	c.write([]byte(c.request(path)))
	response := c.response()
	if response.StatusCode != http.StatusSwitchingProtocols {
		c.t.Fatal(response.Status)
	}
	// RFC 6455 §1.3: the answer to the sample nonce.
	if got := response.Header.Get("Sec-WebSocket-Accept"); got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		c.t.Fatalf("Sec-WebSocket-Accept: %q", got)
	}
}

// masked is a client's frame.
func masked(first byte, payload []byte) []byte {
	key := [4]byte{1, 2, 3, 4}
	var b []byte
	switch n := len(payload); {
	case n < 126:
		b = []byte{first, 0x80 | byte(n)}
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16([]byte{first, 0x80 | 126}, uint16(n))
	default:
		b = binary.BigEndian.AppendUint64([]byte{first, 0x80 | 127}, uint64(n))
	}
	b = append(b, key[:]...)
	for i, p := range payload {
		b = append(b, p^key[i%4])
	}
	return b
}

// frame reads one frame of the server.
func (c *raw) frame() (first byte, payload []byte, err error) {
	head := make([]byte, 2)
	if _, err = io.ReadFull(c.r, head); err != nil {
		return 0, nil, err
	}
	n := uint64(head[1])
	switch n {
	case 126:
		var size [2]byte
		_, err = io.ReadFull(c.r, size[:])
		n = uint64(binary.BigEndian.Uint16(size[:]))
	case 127:
		var size [8]byte
		_, err = io.ReadFull(c.r, size[:])
		n = binary.BigEndian.Uint64(size[:])
	}
	if err != nil {
		return 0, nil, err
	}
	if n > 1<<20 {
		return 0, nil, fmt.Errorf("frame of %d bytes, masked?", n)
	}
	payload = make([]byte, n)
	_, err = io.ReadFull(c.r, payload)
	return head[0], payload, err
}

// until reads frames up to one with the given first byte.
func (c *raw) until(first byte) []byte {
	c.t.Helper()
	for {
		got, payload, err := c.frame()
		if err != nil {
			c.t.Fatal(err)
		}
		if got == first {
			return payload
		}
	}
}

func (c *raw) closeCode() int {
	c.t.Helper()
	payload := c.until(frameClose)
	if len(payload) < 2 {
		return 0
	}
	return int(binary.BigEndian.Uint16(payload))
}

const (
	opContinuation = 0
	opText         = 1
	opBinary       = 2
	opClose        = 8
	opPing         = 9
	opPong         = 10
	fin            = 0x80
)

var hello = syncproto.AppendSyncStep1(nil, []byte{0})

func TestHandshakes(t *testing.T) {
	r := start(t, nil)
	for _, c := range []struct {
		name  string
		lines []string
		want  int
	}{
		{"good", nil, 101},
		{"upgrade in capitals", []string{"Upgrade: WebSocket"}, 101},
		{"connection with more tokens", []string{"Connection: keep-alive, Upgrade"}, 101},
		{"no key", []string{"Sec-WebSocket-Key: "}, 400},
		{"short key", []string{"Sec-WebSocket-Key: AAAA"}, 400},
		{"key not base64", []string{"Sec-WebSocket-Key: ????????????????????????"}, 400},
		{"old version", []string{"Sec-WebSocket-Version: 8"}, 400},
		{"no version", []string{"Sec-WebSocket-Version: "}, 400},
		{"no connection header", []string{"Connection: close"}, 426},
		{"foreign origin", []string{"Origin: https://evil.example"}, 403},
		{"origin of a sandbox", []string{"Origin: null"}, 403},
		{"development server", []string{"Origin: http://localhost:5173"}, 101},
		{"foreign host", []string{"Host: evil.example"}, 403},
		{"rebound host, own port", []string{"Host: evil.example:8787", "Origin: http://evil.example:8787"}, 403},
		{"local host name", []string{"Host: localhost"}, 101},
		{"unknown header", []string{"X-Anything: x"}, 101},
		{"headers too large", []string{"X-Large: " + strings.Repeat("x", 32<<10)}, 431},
	} {
		raw := r.raw()
		raw.write([]byte(raw.request("/notes", c.lines...)))
		if got := raw.response().StatusCode; got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
	raw := r.raw()
	raw.write([]byte(strings.Replace(raw.request("/notes"), "GET ", "POST ", 1)))
	if got := raw.response().StatusCode; got != 405 {
		t.Errorf("POST: %d", got)
	}
}

func TestOldVersionIsToldTheRightOne(t *testing.T) {
	r := start(t, nil)
	raw := r.raw()
	raw.write([]byte(raw.request("/notes", "Sec-WebSocket-Version: 8")))
	if got := raw.response().Header.Get("Sec-WebSocket-Version"); got != "13" {
		t.Errorf("%q", got)
	}
}

// What breaks the protocol is answered by a close of 1002, and the others go
// on.
func TestProtocolViolations(t *testing.T) {
	r := start(t, nil)
	bystander := r.connect("/notes")
	bystander.sync()
	for _, c := range []struct {
		name  string
		bytes []byte
	}{
		{"unmasked frame", append([]byte{fin | opBinary, byte(len(hello))}, hello...)},
		{"reserved bit 1", masked(fin|0x40|opBinary, hello)},
		{"reserved bit 2", masked(fin|0x20|opBinary, hello)},
		{"reserved bit 3", masked(fin|0x10|opBinary, hello)},
		{"reserved data opcode", masked(fin|3, hello)},
		{"reserved control opcode", masked(fin|11, nil)},
		{"continuation of nothing", masked(fin|opContinuation, hello)},
		{"new message inside another", append(masked(opBinary, hello[:1]), masked(fin|opBinary, hello)...)},
		{"fragmented ping", masked(opPing, nil)},
		{"long ping", masked(fin|opPing, make([]byte, 126))},
		{"close of one byte", masked(fin|opClose, []byte{3})},
		{"close with a reserved code", masked(fin|opClose, []byte{0x03, 0xed})},
		{"length with the top bit", []byte{fin | opBinary, 0x80 | 127, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}},
	} {
		raw := r.raw()
		raw.upgrade("/notes")
		raw.write(c.bytes)
		if code := raw.closeCode(); code != 1002 {
			t.Errorf("%s: closed with %d", c.name, code)
		}
	}
	bystander.send(syncproto.AppendAck(nil, []byte{1}))
	bystander.until(syncproto.KindAck)
}

func TestFragments(t *testing.T) {
	r := start(t, nil)
	raw := r.raw()
	raw.upgrade("/notes")
	for i := range hello {
		first := byte(opContinuation)
		if i == 0 {
			first = opBinary
		}
		if i == len(hello)-1 {
			first |= fin
		}
		raw.write(masked(first, hello[i:i+1]))
		raw.write(masked(fin|opPing, []byte{byte(i)})) // may come between fragments
	}
	for {
		if m := raw.until(frameBinary); bytes.HasPrefix(m, []byte{0, 1}) {
			break
		}
	}
}

func TestOneByteAtATime(t *testing.T) {
	r := start(t, nil)
	raw := r.raw()
	for _, b := range []byte(raw.request("/notes")) {
		raw.write([]byte{b})
	}
	if got := raw.response().StatusCode; got != 101 {
		t.Fatal(got)
	}
	for _, b := range masked(fin|opBinary, hello) {
		raw.write([]byte{b})
	}
	raw.until(frameBinary)
}

// Frames that come in one packet with the request are not lost, be they
// smaller or larger than the buffers.
func TestEarlyFrames(t *testing.T) {
	r := start(t, nil)
	for _, size := range []int{0, ioBuffer, 2 * ioBuffer, 4000} {
		raw := r.raw()
		early := masked(fin|opBinary, append([]byte{99}, make([]byte, size)...))
		early = append(early, masked(fin|opBinary, hello)...)
		early = append(early, masked(fin|opBinary, syncproto.AppendAck(nil, []byte{1}))...)
		raw.write(append([]byte(raw.request("/notes")), early...))
		if got := raw.response().StatusCode; got != 101 {
			t.Fatal(got)
		}
		for {
			if m := raw.until(frameBinary); m[0] == 102 {
				break
			}
		}
	}
}

func TestPing(t *testing.T) {
	r := start(t, nil)
	raw := r.raw()
	raw.upgrade("/notes")
	for _, payload := range []string{"", "a", strings.Repeat("x", 125)} {
		raw.write(masked(fin|opPing, []byte(payload)))
		if got := raw.until(framePong); string(got) != payload {
			t.Errorf("%q", got)
		}
	}
	raw.write(masked(fin|opPong, []byte("unasked"))) // is no offence
	raw.write(masked(fin|opBinary, hello))
	raw.until(frameBinary)
}

func TestCloseHandshake(t *testing.T) {
	r := start(t, nil)
	for _, c := range []struct {
		payload []byte
		want    int
	}{
		{[]byte{0x03, 0xe8}, 1000},
		{[]byte{0x03, 0xe9, 'b', 'y', 'e'}, 1001},
		{[]byte{0x0f, 0xa0}, 4000},
		{nil, 0},
	} {
		raw := r.raw()
		raw.upgrade("/notes")
		raw.write(masked(fin|opBinary, hello))
		raw.write(masked(fin|opClose, c.payload))
		if code := raw.closeCode(); code != c.want {
			t.Errorf("% x: answered %d", c.payload, code)
		}
		if _, err := raw.r.ReadByte(); err != io.EOF {
			t.Errorf("% x: after the close: %v", c.payload, err)
		}
	}
}

// Nothing follows a close frame (§5.5.1), though others write meanwhile.
func TestNothingAfterAClose(t *testing.T) {
	r := start(t, nil)
	writer := r.connect("/notes")
	writer.sync()
	for i := range 50 {
		raw := r.raw()
		raw.upgrade("/notes")
		raw.write(masked(fin|opBinary, hello))
		raw.until(frameBinary)
		raw.write(masked(fin|opClose, []byte{0x03, 0xe8}))
		writer.send(syncproto.AppendUpdate(nil, insert(7, byte(i), "a")))
		raw.until(frameClose)
		if first, _, err := raw.frame(); err == nil {
			t.Fatalf("a frame %#x after the close", first)
		}
	}
}

// A message that the end of the transport cut short is not taken for a whole
// one, wherever it is cut.
func TestLostConnection(t *testing.T) {
	r := start(t, nil)
	whole := append(masked(opBinary, hello), masked(fin|opContinuation, hello)...)
	for cut := 1; cut < len(whole); cut++ {
		raw := r.raw()
		raw.upgrade("/notes")
		raw.write(whole[:cut])
		if err := raw.Conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if _, _, err := raw.frame(); err == nil {
			t.Errorf("cut at %d: an answer", cut)
		}
		waitFor(t, func() bool { return r.value("ysync_closes_total", "1006") == float64(cut) })
	}
	if n := r.value("ysync_malformed_messages_total", ""); n != 0 {
		t.Errorf("%v taken for malformed", n)
	}
}
