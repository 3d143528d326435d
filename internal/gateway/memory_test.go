package gateway

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"ysync/internal/teststores"
	"ysync/syncproto"
)

// crowdAt makes the test binary a crowd of idle clients of the server at the
// address that it holds: in a process of their own, they cost the server's
// nothing.
const crowdAt = "YSYNC_TEST_CROWD_AT"

func TestMain(m *testing.M) {
	if address := os.Getenv(crowdAt); address != "" {
		if err := crowd(address); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(teststores.Run(m))
}

// crowd connects as many clients as a line of its input says, over 20
// documents, each with presence, answers "ready", and holds them until its
// input ends.
func crowd(address string) error {
	in := bufio.NewReader(os.Stdin)
	line, err := in.ReadString('\n')
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		return err
	}
	clients := make([]net.Conn, n)
	for i := range clients {
		nc, err := net.Dial("tcp", address)
		if err != nil {
			return err
		}
		defer nc.Close()
		clients[i] = nc
		fmt.Fprintf(nc, "GET /crowd-%d HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
			"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n", i%20, address)
		r := bufio.NewReader(nc)
		response, err := http.ReadResponse(r, nil)
		if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
			return fmt.Errorf("client %d: %v, %v", i, response, err)
		}
		state := fmt.Sprintf(`{"user":{"name":"Client %d","color":"#30bced"}}`, i)
		presence := append([]byte{1, 0x80 | byte(i), byte(i >> 7), 1, byte(len(state))}, state...)
		if _, err := nc.Write(append(masked(fin|opBinary, hello), masked(fin|opBinary, syncproto.AppendAwareness(nil, presence))...)); err != nil {
			return err
		}
	}
	for _, nc := range clients {
		go func() { _, _ = io.Copy(io.Discard, nc) }()
	}
	fmt.Println("ready")
	_, err = in.ReadString('\n')
	if err == io.EOF {
		err = nil
	}
	return err
}

// TestMemoryOfAnIdleConnection bounds what an idle connection keeps alive, on
// heap and stacks, with its subscription and presence.
func TestMemoryOfAnIdleConnection(t *testing.T) {
	const n, bound = 2000, 10 << 10
	var at clock
	r := start(t, func(o *Options) { o.Now = at.now })
	before := live()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), crowdAt+"="+r.address)
	child.Stderr = os.Stderr
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(in, n)
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("%q %v", line, err)
	}
	waitFor(t, func() bool {
		at.advance(time.Second)
		return r.phases()[phaseParked] == n
	})
	each := (live() - before) / n
	t.Logf("%d bytes for each of %d idle connections", each, n)
	if each > bound {
		t.Errorf("%d bytes for an idle connection, at most %d are allowed", each, bound)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := child.Wait(); err != nil {
		t.Fatal(err)
	}
}

// live is what the process holds, in bytes, after a collection.
func live() int64 {
	runtime.GC()
	runtime.GC() // the first one only moves pooled buffers aside
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
