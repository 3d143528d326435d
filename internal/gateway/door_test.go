package gateway

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"ysync/syncproto"
)

// What is unusual in a first request is judged by net/http, by its rules.
func TestUnusualFirstRequests(t *testing.T) {
	r := start(t, nil)
	for name, c := range map[string]struct {
		change func(request string) string
		want   int
	}{
		"no host":             {func(s string) string { return strings.Replace(s, "Host:", "X-Host:", 1) }, 400},
		"two hosts":           {func(s string) string { return strings.Replace(s, "\r\n", "\r\nHost: localhost\r\n", 1) }, 400},
		"a space in a name":   {func(s string) string { return strings.Replace(s, "\r\n", "\r\nX Y: 1\r\n", 1) }, 400},
		"a control character": {func(s string) string { return strings.Replace(s, "\r\n", "\r\nX: \x01\r\n", 1) }, 400},
		"a tab":               {func(s string) string { return strings.Replace(s, "\r\n", "\r\nX: a\tb\r\n", 1) }, 101},
		"a byte beyond ASCII": {func(s string) string { return strings.Replace(s, "\r\n", "\r\nX: \xe9\r\n", 1) }, 101},
		"not HTTP":            {func(string) string { return "\x16\x03\x01\r\n\r\n" }, 400},
		"HTTP/1.0":            {func(s string) string { return strings.Replace(s, "HTTP/1.1", "HTTP/1.0", 1) }, 426},
		"a body":              {func(s string) string { return strings.Replace(s, "\r\n", "\r\nContent-Length: 1\r\n", 1) + "x" }, 101},
		"more header than usual": {func(s string) string {
			return strings.Replace(s, "\r\n", "\r\nCookie: "+strings.Repeat("c", 6<<10)+"\r\n", 1)
		}, 101},
		"no upgrade":               {func(s string) string { return strings.Replace(s, "Upgrade: websocket\r\n", "", 1) }, 426},
		"a target in another form": {func(s string) string { return strings.Replace(s, "GET /", "GET http://"+r.address+"/", 1) }, 101},
	} {
		raw := r.raw()
		raw.write([]byte(c.change(raw.request("/notes"))))
		if got := raw.response().StatusCode; got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

// A connection that came by way of net/http is like any other.
func TestUpgradeByNetHTTP(t *testing.T) {
	r := start(t, nil)
	raw := r.raw()
	raw.write([]byte(raw.request("/notes", "Cookie: "+strings.Repeat("c", 6<<10))))
	if got := raw.response().StatusCode; got != 101 {
		t.Fatal(got)
	}
	raw.write(masked(fin|opBinary, hello))
	raw.until(frameBinary)
	r.connections.each(func(c *conn) {
		if c.socket.rc == nil {
			t.Error("its descriptor was not found")
		}
	})
}

// A request that ends in the middle is answered, and so is one that is refused: both
// answers are whole, and end the connection.
func TestRefusalsAreWhole(t *testing.T) {
	r := start(t, nil)
	raw := r.raw()
	raw.write([]byte("GET / HTTP/1.1\r\nHost"))
	if err := raw.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got := raw.response().StatusCode; got != 400 {
		t.Errorf("a part: %d", got)
	}

	raw = r.raw()
	raw.write([]byte(raw.request("/notes", "Origin: https://evil.example")))
	response := raw.response()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusForbidden || len(bytes.TrimSpace(text)) == 0 || response.Header.Get("Date") == "" || !response.Close {
		t.Errorf("refused: %v %q %v", response, text, err)
	}
	if _, err := raw.r.ReadByte(); err != io.EOF {
		t.Errorf("after it: %v", err)
	}
}

// A shutdown does not wait for connections that have asked for nothing, and leaves none.
func TestShutdownWithSilentConnections(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := startOn(t, l, nil)
	silent, half, client := r.raw(), r.raw(), r.connect("/notes")
	half.write([]byte("GET /notes HTTP/1.1\r\n"))
	client.send(hello)
	client.until(syncproto.KindSyncStep2) // the others were accepted before it
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	if err := r.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	if oldest := r.unready.oldest(); oldest != nil {
		t.Errorf("%v is left", oldest.RemoteAddr())
	}
	for _, c := range []*raw{silent, half} {
		if _, err := c.r.ReadByte(); err != io.EOF {
			t.Errorf("after the shutdown: %v", err)
		}
	}
}
