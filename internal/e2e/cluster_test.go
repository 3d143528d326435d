package e2e_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ysync/internal/e2e"
	"ysync/internal/testredis"
	"ysync/internal/teststores"
)

// TestCluster puts the same clients on three nodes, through a balancer that
// knows nothing but TCP: whom a connection reaches has nothing to do with who
// owns its document.
func TestCluster(t *testing.T) {
	t.Parallel()
	nodes := newNodes(t)
	t.Run("Together", func(t *testing.T) {
		for name, f := range map[string]func(*testing.T, place){"Clients": clients, "Idle": idle, "Reset": reset, "Browser": browser} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				f(t, nodes.place())
			})
		}
	})
	// What was shown is worth something only if documents were elsewhere.
	for _, n := range nodes.servers {
		if text := metricsOf(t, n); strings.Contains(text, "\nysync_relay_deliveries_total 0\n") || strings.Contains(text, "\nysync_relay_casts_total 0\n") {
			t.Errorf("the node at %s had no sessions elsewhere, or was no owner of such:\n%s", n.Addr, text)
		}
	}
	// At the end, as it takes all nodes away.
	t.Run("Restart", func(t *testing.T) { restart(t, nodes.clients.addr(), nodes.kill, nodes.start) })
}

// nodes are three servers that share a database, a bucket and a Redis, and the
// balancers before their ports.
type nodes struct {
	*testing.T
	dir                 string
	env, args           []string
	servers             []*e2e.Server
	clients, operations *balancer
}

func newNodes(t *testing.T, args ...string) *nodes {
	t.Helper()
	n := &nodes{T: t, dir: t.TempDir(), args: append(args, "--ops", "127.0.0.1:0"), clients: balance(t), operations: balance(t)}
	n.env = append(teststores.External(t).Env(), "YSYNC_CLUSTER="+testredis.Start(t).URL())
	n.start()
	return n
}

func (n *nodes) place() place { return place{n.clients.addr(), n.operations.addr()} }

// start starts all nodes and waits until each of them sees the others.
func (n *nodes) start() {
	n.Helper()
	n.servers = nil
	var clients, operations []string
	for i := range 3 {
		s := startWith(n.T, filepath.Join(n.dir, fmt.Sprint(i)), n.env, n.args...)
		n.servers = append(n.servers, s)
		clients, operations = append(clients, s.Addr), append(operations, fmt.Sprint(s.Fields["ops"]))
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	late := time.After(time.Minute)
	for _, s := range n.servers {
		for text := ""; !strings.Contains(text, "\nysync_cluster_members 3\n"); text = metricsOf(n.T, s) {
			select {
			case <-tick.C:
			case <-late:
				n.Fatalf("three nodes do not see one another:\n%s", text)
			}
		}
	}
	n.clients.to.Store(&clients)
	n.operations.to.Store(&operations)
}

func (n *nodes) kill() {
	for _, s := range n.servers {
		s.Kill()
	}
}

func metricsOf(t *testing.T, s *e2e.Server) string {
	t.Helper()
	answer, err := http.Get(fmt.Sprintf("http://%v/metrics", s.Fields["ops"]))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// balancer passes each connection to the next address that takes it.
type balancer struct {
	listener net.Listener
	to       atomic.Pointer[[]string]
	next     atomic.Uint64
}

func balance(t *testing.T) *balancer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &balancer{listener: l}
	b.to.Store(&[]string{})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go b.pass(c)
		}
	}()
	t.Cleanup(func() { l.Close() })
	return b
}

func (b *balancer) addr() string { return b.listener.Addr().String() }

// pass carries a connection until both ends have closed.
func (b *balancer) pass(client net.Conn) {
	defer client.Close()
	to := *b.to.Load()
	for range to {
		server, err := net.Dial("tcp", to[b.next.Add(1)%uint64(len(to))])
		if err != nil {
			continue
		}
		defer server.Close()
		var both sync.WaitGroup
		both.Go(func() { half(server, client) })
		both.Go(func() { half(client, server) })
		both.Wait()
		return
	}
}

// half carries one direction: its end is passed on, a break breaks both.
func half(to, from net.Conn) {
	if _, err := io.Copy(to, from); err != nil && !errors.Is(err, net.ErrClosed) {
		to.Close()
		from.Close()
		return
	}
	_ = to.(*net.TCPConn).CloseWrite()
}
