package relay

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"ysync/internal/canary"
	"ysync/internal/cluster"
	"ysync/internal/hub"
	"ysync/internal/lib0"
	"ysync/syncproto"
)

// rawLink dials a node without being one.
func rawLink(t *testing.T, n *node) grpcStream {
	t.Helper()
	return rawStream(t, n, streamDesc)
}

func rawStream(t *testing.T, n *node, desc grpc.StreamDesc) grpcStream {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+n.self.Relay,
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodecV2(codec{})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	t.Cleanup(cancel)
	s, err := conn.NewStream(ctx, &desc, "/"+serviceName+"/"+desc.StreamName)
	if err != nil {
		t.Fatal(err)
	}
	return grpcStream{s}
}

// stranger is a relay that has no node, to shake hands with.
func stranger(secret string) *Relay {
	return &Relay{self: "stranger", opt: Options{Secret: []byte(secret)}}
}

func TestWrongSecretIsTurnedAway(t *testing.T) {
	w := newWorld(t, 1)
	err := stranger("wrong").greet(rawLink(t, w.nodes[0]), streamName, "node0")
	if err == nil || !strings.Contains(err.Error(), ErrSecret.Error()) || canary.Find(err.Error()) != nil {
		t.Errorf("a dialer without the secret: %v", err)
	}
	// One that does not care whether the node has the secret, either.
	s := rawLink(t, w.nodes[0])
	r := stranger("wrong")
	hello := frame{kind: frameHello, list: []uint64{LeastVersion, NewestVersion}, text: r.self, body: nonce()}
	if err := sendHello(s, &hello); err != nil {
		t.Fatal(err)
	}
	welcome, err := receiveHello(s, frameWelcome)
	if err != nil {
		t.Fatal(err)
	}
	proof := r.proof("proof", welcome.a, r.self, welcome.text, hello.body, welcome.body[:nonceBytes])
	if err := sendHello(s, &frame{kind: frameProof, body: proof}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Receive(); err == nil || !strings.Contains(err.Error(), ErrSecret.Error()) {
		t.Errorf("a wrong proof: %v", err)
	}
	if n := w.nodes[0].relay.Links(); n != 0 {
		t.Errorf("%d links", n)
	}
	if err := stranger(theSecret).greet(rawLink(t, w.nodes[0]), streamName, "node0"); err != nil {
		t.Errorf("with the secret: %v", err)
	}
	if err := stranger(theSecret).greet(rawLink(t, w.nodes[0]), streamName, "another"); err != errOther {
		t.Errorf("another node than expected: %v", err)
	}
}

func TestVersionsMustMeet(t *testing.T) {
	w := newWorld(t, 1)
	for versions, ok := range map[[2]uint64]bool{{1, 1}: true, {1, 9}: true, {0, 1}: true, {2, 9}: false, {0, 0}: false} {
		s := rawLink(t, w.nodes[0])
		if err := sendHello(s, &frame{kind: frameHello, list: versions[:], text: "x", body: nonce()}); err != nil {
			t.Fatal(err)
		}
		f, err := receiveHello(s, frameWelcome)
		if (err == nil) != ok || ok && f.a != 1 {
			t.Errorf("versions %v: %d, %v", versions, f.a, err)
		}
		if want := fmt.Sprintf("speaks %d to %d, this one 1 to 1", versions[0], versions[1]); !ok && !strings.Contains(err.Error(), want) {
			t.Errorf("versions %v: %v, want %q in it", versions, err, want)
		}
	}
}

// linked is a stranger with the secret, and a node that it may talk to.
func linked(t *testing.T, w *world) grpcStream {
	t.Helper()
	s := rawLink(t, w.nodes[0])
	if err := stranger(theSecret).greet(s, streamName, "node0"); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestMalformedFramesEndTheLinkAlone(t *testing.T) {
	w := newWorld(t, 2)
	w.own("d", w.nodes[0])
	a, b := w.client(w.nodes[0], "d", 1), w.client(w.nodes[1], "d", 2)
	w.synced(a, b)
	open := frame{kind: frameOpen, text: "d"}
	join := frame{kind: frameJoin, session: 5, a: rightWrite}
	twice := slices.Concat(record(2, open), record(2, open))
	for name, data := range map[string][]byte{
		"no record":           {0xff},
		"unknown kind":        slices.Concat(record(2, open), appendRecord(nil, 2, 1, []byte{200})),
		"opened twice":        twice,
		"joined twice":        slices.Concat(record(2, open), record(2, join), record(2, join)),
		"too much credit":     slices.Concat(record(2, open), record(2, frame{kind: frameCredit, a: 1 << 40})),
		"of the other side":   slices.Concat(record(2, open), record(2, frame{kind: frameCast, a: 1})),
		"a list without end":  slices.Concat(record(2, open), appendRecord(nil, 2, 1, []byte{2, 0, 0, 0, 0xff, 0xff, 3, 0})),
		"a document not here": slices.Concat(record(2, frame{kind: frameOpen})),
	} {
		s := linked(t, w)
		if err := s.Send(data); err != nil {
			t.Fatal(err)
		}
		for {
			if _, err := s.Receive(); err != nil {
				if context.Cause(s.stream.(grpc.ClientStream).Context()) == context.DeadlineExceeded {
					t.Errorf("%s: the link lives", name)
				}
				break
			}
		}
	}
	a.write("x")
	w.converge(1, a, b)
}

func record(channel uint64, f frame) []byte {
	return appendRecord(nil, channel, 1, append(f.appendHead(nil), f.body...))
}

// stuck is a directory that does not answer for one document.
type stuck struct {
	directory
	document string
	release  chan struct{}
}

func (d stuck) Owner(ctx context.Context, document string) (cluster.Node, error) {
	if document == d.document {
		select {
		case <-d.release:
		case <-ctx.Done():
			return cluster.Node{}, ctx.Err()
		}
	}
	return d.directory.Owner(ctx, document)
}

func TestBusyDocumentDoesNotBlockAnother(t *testing.T) {
	w := newWorld(t, 1)
	release := make(chan struct{})
	w.add(nil)
	owner := w.nodes[0]
	owner.relay.opt.Directory = stuck{directory{w, owner}, "busy", release}
	w.own("busy", owner)
	w.own("free", owner)
	busy, free := w.client(w.nodes[1], "busy", 1), w.client(w.nodes[1], "free", 2)
	w.synced(free)
	// The owner does not get to what it is sent for "busy", so its credit and
	// then the queue are used up, and the sender has to wait.
	part := strings.Repeat("x", 100<<10)
	sent := make(chan int)
	go func() {
		defer close(sent)
		for i := range 30 {
			u := busy.edit(part)
			var turn hub.Turn
			if err := busy.seat.SendInTurn(context.Background(), syncproto.Message{Kind: syncproto.KindUpdate, Payload: u}, &turn); err != nil {
				return
			}
			sent <- i
		}
	}()
	n := 0
	quiet := time.NewTimer(bound)
	defer quiet.Stop()
	for waiting := false; !waiting; {
		select {
		case <-sent:
			n++
		case <-time.After(300 * time.Millisecond):
			waiting = true
		case <-quiet.C:
			t.Fatal("it is never made to wait")
		}
	}
	if n < 8 || n > 20 {
		t.Errorf("%d messages of 100 KiB went before the sender had to wait", n)
	}
	free.write("flows")
	free.ack(1)
	w.until("the other document flows", func() bool { return len(free.acks) == 1 }, free)
	close(release)
	for range sent {
		n++
	}
	busy.ack(2)
	w.until("the busy one is taken in", func() bool { return len(busy.acks) == 1 }, busy, free)
	if n != 30 {
		t.Errorf("%d of 30 messages went", n)
	}
}

func FuzzPacket(f *testing.F) {
	f.Add(record(2, frame{kind: frameOpen, text: "d"}))
	f.Add(slices.Concat(record(2, frame{kind: frameOpen, text: "d", body: []byte{0}}), record(2, frame{kind: frameJoin, session: 3, a: 7, text: "me"}),
		record(2, frame{kind: frameMessage, session: 3, a: 2, body: []byte{0, 0}}), record(2, frame{kind: frameClose})))
	f.Add(record(2, frame{kind: frameCast, list: []uint64{1, 2, 3}, b: 9, body: []byte("x")}))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := lib0.NewReader(data)
		for r.Len() > 0 {
			r.Uvarint()
			part := r.Bytes()
			if r.Err() != nil {
				return
			}
			in, err := decodeFrame(part)
			if err != nil {
				continue
			}
			again, err := decodeFrame(append(in.appendHead(nil), in.body...))
			if err != nil || again.kind != in.kind || again.text != in.text || again.session != in.session ||
				!slices.Equal(again.list, in.list) || string(again.body) != string(in.body) || again.a != in.a || again.b != in.b {
				t.Fatalf("%+v became %+v, %v", in, again, err)
			}
		}
	})
}

// FuzzHost is what a peer that has the secret can do to a node.
func FuzzHost(f *testing.F) {
	f.Add(slices.Concat(record(2, frame{kind: frameOpen, text: "d"}), record(2, frame{kind: frameJoin, session: 3, a: 7}),
		record(2, frame{kind: frameMessage, session: 3, a: uint64(syncproto.KindUpdate), body: []byte{0, 0}}), record(2, frame{kind: frameLag, session: 3}),
		record(2, frame{kind: frameDrained, session: 3}), record(2, frame{kind: frameLeave, session: 3}), record(2, frame{kind: frameClose})))
	f.Fuzz(func(t *testing.T, data []byte) {
		w := newWorld(t, 1)
		w.own("d", w.nodes[0])
		l := newLink(w.nodes[0].relay, "peer", nowhere{}, 1, func() {})
		w.nodes[0].relay.opt.Metrics.RelayLinks.Inc()
		_ = l.packet(data)
		l.fail(errClosing)
	})
}

// nowhere is a stream that takes everything.
type nowhere struct{}

func (nowhere) Send([]byte) error        { return nil }
func (nowhere) Receive() ([]byte, error) { return nil, errClosing }
