package gateway

import (
	"context"
	"maps"
	"sync"
	"testing"
	"time"

	"ysync/awareness"
	"ysync/crdt"
	"ysync/internal/teststores"
	"ysync/internal/vectors"
	"ysync/syncproto"
)

// conversation is what a recorded session of y-websocket clients with
// @y/websocket-server 0.1.1 looked like on the wire.
type conversation struct {
	Name   string
	Room   string
	Conns  []struct{ URL string }
	Frames []struct {
		Conn int
		Dir  string
		B    []byte
	}
	Final struct {
		State []byte `json:"state_v1"`
		Text  string
	}
}

// talker is one recorded client that talks to our server.
type talker struct {
	*client
	asked int // SyncStep1 it sent

	mu       sync.Mutex
	firstly  syncproto.Kind // the first sync message it got
	answers  int            // SyncStep2 it got
	present  *awareness.Awareness
	acked    chan struct{}
	finished chan struct{}
	// recorded is who it saw at last in the recording.
	recorded *awareness.Awareness
}

func (k *talker) read() {
	defer close(k.finished)
	for {
		_, frame, err := k.ws.Read(context.Background())
		if err != nil {
			return
		}
		d := syncproto.NewDecoder(frame)
		k.mu.Lock()
		for m, ok := d.Next(); ok; m, ok = d.Next() {
			switch m.Kind {
			case syncproto.KindSyncStep1, syncproto.KindSyncStep2, syncproto.KindUpdate:
				if k.firstly == syncproto.KindUnknown {
					k.firstly = m.Kind
				}
				if m.Kind == syncproto.KindSyncStep2 {
					k.answers++
				}
			case syncproto.KindAwareness:
				k.hear(k.present, m.Payload)
			case syncproto.KindAck:
				k.acked <- struct{}{}
			}
		}
		k.mu.Unlock()
	}
}

func (k *talker) hear(a *awareness.Awareness, update []byte) {
	if _, err := a.Apply(update, time.Now()); err != nil {
		k.t.Error(err)
	}
}

// settle waits until everything sent so far was judged.
func (k *talker) settle() {
	k.t.Helper()
	k.send(syncproto.AppendAck(nil, []byte{1}))
	select {
	case <-k.acked:
	case <-time.After(bound):
		k.t.Fatal("no acknowledgement")
	}
}

// agree waits until the client sees who it saw in the recording.
func (k *talker) agree(name string) {
	k.t.Helper()
	want := states(k.recorded)
	for deadline := time.Now().Add(bound); ; {
		k.mu.Lock()
		got := states(k.present)
		k.mu.Unlock()
		if maps.Equal(got, want) {
			return
		}
		if time.Now().After(deadline) {
			k.t.Fatalf("%s: a client sees %v, in the recording %v", name, got, want)
		}
		// The next frame may change it; an acknowledgement is such a frame.
		k.settle()
	}
}

func states(a *awareness.Awareness) map[uint64]string {
	out := map[uint64]string{}
	for id, state := range a.States() {
		out[id] = string(state)
	}
	return out
}

// TestConformanceConversation plays the clients' side of every recorded
// conversation against our server: SyncStep1 comes first, each SyncStep1 gets
// one SyncStep2, everybody sees who they saw, and the content is the same.
func TestConformanceConversation(t *testing.T) {
	teststores.Each(t, func(t *testing.T, s teststores.Stores) {
		converse(t, func(o *Options) {
			if s.Log != "" {
				o.Hub = elsewhere(t, o.Metrics, s)
			}
		})
	})
}

func converse(t *testing.T, change func(*Options)) {
	all, err := vectors.Records[conversation]("conversation")
	if err != nil {
		t.Fatal(err)
	}
	checks := 0
	for _, c := range all {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			r := start(t, change)
			talkers := make([]*talker, len(c.Conns))
			recorded := c.recorded(t)
			for _, f := range c.Frames {
				k := talkers[f.Conn]
				switch f.Dir {
				case "open":
					k = &talker{
						client: r.connect(c.Conns[f.Conn].URL), acked: make(chan struct{}, 1), finished: make(chan struct{}),
						present: nobody(t), recorded: recorded[f.Conn],
					}
					talkers[f.Conn] = k
					go k.read()
				case "c2s":
					d := syncproto.NewDecoder(f.B)
					m, ok := d.Next()
					if !ok {
						t.Fatal(d.Err())
					}
					switch m.Kind {
					case syncproto.KindSyncStep1:
						k.asked++
					case syncproto.KindAwareness:
						k.mu.Lock()
						k.hear(k.present, m.Payload)
						k.mu.Unlock()
					}
					k.send(f.B)
					if k.asked > 0 {
						k.settle()
					}
				case "close":
					k.agree(c.Name)
					if err := k.ws.CloseNow(); err != nil {
						t.Log(err)
					}
					<-k.finished
				}
			}
			for i, k := range talkers {
				k.ws.CloseNow()
				<-k.finished
				if k.firstly != syncproto.KindSyncStep1 {
					t.Errorf("client %d: the first sync message is %v", i, k.firstly)
				}
				if k.answers != k.asked {
					t.Errorf("client %d: %d SyncStep1 got %d SyncStep2", i, k.asked, k.answers)
				}
			}
			c.compare(t, r)
		})
		checks += len(c.Frames)
	}
	if len(all) < 11 || checks < 300 {
		t.Fatalf("only %d conversations with %d frames", len(all), checks)
	}
}

// nobody is a replica of presence with no state of its own.
func nobody(t *testing.T) *awareness.Awareness {
	a := awareness.New(1, time.Now())
	if _, err := a.SetLocalState(nil, time.Now()); err != nil {
		t.Fatal(err)
	}
	return a
}

// recorded is, by connection, who was seen at last. The order of what several
// clients did at once is the recording's alone, so only the end is compared.
func (c *conversation) recorded(t *testing.T) []*awareness.Awareness {
	seen := make([]*awareness.Awareness, len(c.Conns))
	for i := range seen {
		seen[i] = nobody(t)
	}
	for _, f := range c.Frames {
		d := syncproto.NewDecoder(f.B)
		if m, ok := d.Next(); ok && m.Kind == syncproto.KindAwareness {
			if _, err := seen[f.Conn].Apply(m.Payload, time.Now()); err != nil {
				t.Fatal(err)
			}
		}
	}
	return seen
}

// compare reads the document as a new client does.
func (c *conversation) compare(t *testing.T, r *rig) {
	want := crdt.New(crdt.Options{})
	if _, err := want.Apply(nil, crdt.V1, c.Final.State); err != nil {
		t.Fatal(err)
	}
	fresh := r.connect(c.Conns[0].URL)
	fresh.send(syncproto.AppendSyncStep1(nil, []byte{0}))
	got := crdt.New(crdt.Options{})
	if _, err := got.Apply(nil, crdt.V1, fresh.until(syncproto.KindSyncStep2).Payload); err != nil {
		t.Fatal(err)
	}
	if !got.StateVector().Equal(want.StateVector()) {
		t.Errorf("the state vector is %v, in the recording %v", got.StateVector(), want.StateVector())
	}
	if g, w := string(got.AppendJSON(nil, nil)), string(want.AppendJSON(nil, nil)); g != w {
		t.Errorf("the document is %s, in the recording %s", g, w)
	}
	if text := got.Text("t").String(); text != c.Final.Text {
		t.Errorf("the text is %q, in the recording %q", text, c.Final.Text)
	}
}
