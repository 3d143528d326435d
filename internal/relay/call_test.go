package relay

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"ysync/internal/cluster"
)

// serveCalls answers the calls of other nodes until the test ends.
func (n *node) serveCalls(h http.Handler) {
	n.world.t.Helper()
	s := &http.Server{Handler: h}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Serve(n.relay.Calls()); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			n.world.t.Error(err)
		}
	}()
	n.world.t.Cleanup(func() {
		_ = s.Close()
		<-done
	})
}

// caller passes requests on to another node.
func (n *node) caller(to cluster.Node) *http.Client {
	t := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return n.relay.Call(ctx, to) }}
	n.world.t.Cleanup(t.CloseIdleConnections)
	return &http.Client{Transport: t, Timeout: bound}
}

// Requests and answers of any size go from node to node, one after the other and
// at once, and the one that is called sees where they come from.
func TestCallsCarryRequests(t *testing.T) {
	w := newWorld(t, 2)
	a, b := w.nodes[0], w.nodes[1]
	b.serveCalls(http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
		if !strings.HasPrefix(in.RemoteAddr, "127.0.0.1:") {
			t.Errorf("called from %s", in.RemoteAddr)
		}
		_, _ = io.Copy(out, in.Body)
	}))
	client := a.caller(b.self)
	body := make([]byte, 3<<20)
	_, _ = rand.Read(body)
	results := make(chan error, 8)
	for range cap(results) {
		go func() {
			for _, size := range []int{0, 1, len(body)} {
				answer, err := client.Post("http://b/", "text/plain", bytes.NewReader(body[:size]))
				if err != nil {
					results <- err
					return
				}
				got, err := io.ReadAll(answer.Body)
				if answer.Body.Close(); err != nil || !bytes.Equal(got, body[:size]) {
					results <- errors.Join(err, errors.New("another body came back"))
					return
				}
			}
			results <- nil
		}()
	}
	for range cap(results) {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
}

// A call ends when the node that was called goes, and there is none to a node
// that is gone, or to one at whose address another is now.
func TestCallsEnd(t *testing.T) {
	w := newWorld(t, 2)
	a, b := w.nodes[0], w.nodes[1]
	conn, err := a.relay.Call(t.Context(), b.self)
	if err != nil {
		t.Fatal(err)
	}
	there, err := b.relay.Calls().Accept()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(there, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	other := b.self
	other.Boot = "other"
	if _, err := a.relay.Call(t.Context(), other); !errors.Is(err, errOther) {
		t.Errorf("another node at the address: %v", err)
	}
	b.stop()
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("the call goes on without the other node")
	}
	if _, err := a.relay.Call(t.Context(), b.self); err == nil {
		t.Error("a node that is gone was called")
	}
}

// Who does not have the secret makes no call, and what is said on a link can't
// be used for one.
func TestCallsNeedTheSecret(t *testing.T) {
	w := newWorld(t, 1)
	for name, c := range map[string]struct{ secret, purpose string }{
		"a wrong secret":       {"wrong", callName},
		"the proof of a link":  {theSecret, streamName},
		"the proof of nothing": {theSecret, ""},
	} {
		s := rawStream(t, w.nodes[0], callDesc)
		if err := stranger(c.secret).greet(s, c.purpose, "node0"); !errors.Is(err, ErrSecret) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s := rawStream(t, w.nodes[0], callDesc)
	if err := stranger(theSecret).greet(s, callName, "node0"); err != nil {
		t.Errorf("with the secret: %v", err)
	}
	conn, err := w.nodes[0].relay.Calls().Accept()
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
}
