package crashtest

import (
	"bytes"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
)

// cutter stands between the server and its database. While it cuts, the database
// gets every append whole, and the connection ends before the answer passes.
type cutter struct {
	listener net.Listener
	database string
	cutting  atomic.Bool
	cuts     atomic.Int64
}

func newCutter(t *testing.T, database string) *cutter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{listener: l, database: database}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go c.serve(client)
		}
	}()
	return c
}

// url is the database's URL by way of the cutter.
func (c *cutter) url(direct string) string {
	return strings.Replace(direct, c.database, c.listener.Addr().String(), 1) + "?sslmode=disable"
}

// appended is how the message begins that gives an append its arguments.
var appended = []byte("\x00append\x00")

func (c *cutter) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", c.database)
	if err != nil {
		return
	}
	defer server.Close()
	var doomed atomic.Bool
	go func() {
		defer client.Close()
		defer server.Close()
		buffer := make([]byte, 64<<10)
		for {
			n, err := server.Read(buffer)
			if err != nil {
				return
			}
			if doomed.Load() {
				c.cuts.Add(1)
				return
			}
			if _, err := client.Write(buffer[:n]); err != nil {
				return
			}
		}
	}()
	buffer := make([]byte, 64<<10)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			return
		}
		if c.cutting.Load() && bytes.Contains(buffer[:n], appended) {
			doomed.Store(true)
		}
		if _, err := io.Copy(server, bytes.NewReader(buffer[:n])); err != nil {
			return
		}
	}
}
