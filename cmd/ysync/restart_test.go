package main

import (
	"context"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/coder/websocket"

	"ysync/crdt"
	"ysync/syncproto"
)

// peer is a client of one document that keeps what it receives.
type peer struct {
	t   *testing.T
	ws  *websocket.Conn
	doc *crdt.Doc
}

func (s *server) join(document string) *peer {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	s.t.Cleanup(cancel)
	ws, _, err := websocket.Dial(ctx, "ws://"+s.addr()+"/"+document, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = ws.CloseNow() })
	ws.SetReadLimit(64 << 20)
	p := &peer{t: s.t, ws: ws, doc: crdt.New(crdt.Options{})}
	p.send(syncproto.AppendSyncStep1(nil, crdt.AppendStateVector(nil, p.doc.StateVector())))
	p.until(syncproto.KindSyncStep2)
	return p
}

func (p *peer) send(frame []byte) {
	p.t.Helper()
	if err := p.ws.Write(context.Background(), websocket.MessageBinary, frame); err != nil {
		p.t.Fatal(err)
	}
}

// until applies what comes, up to a message of the kind.
func (p *peer) until(kind syncproto.Kind) {
	p.t.Helper()
	for p.next() != kind {
	}
}

// next takes the next message in, and returns its kind.
func (p *peer) next() syncproto.Kind {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	_, frame, err := p.ws.Read(ctx)
	if err != nil {
		p.t.Fatal(err)
	}
	d := syncproto.NewDecoder(frame)
	m, _ := d.Next()
	if m.Kind == syncproto.KindUpdate || m.Kind == syncproto.KindSyncStep2 {
		if _, err := p.doc.Apply(nil, crdt.V1, m.Payload); err != nil {
			p.t.Fatal(err)
		}
	}
	if m.Kind == syncproto.KindSyncStep1 {
		p.answer(m.Payload)
	}
	return m.Kind
}

// answer sends what a SyncStep1 asks for.
func (p *peer) answer(vector []byte) {
	p.t.Helper()
	sv, err := crdt.DecodeStateVector(vector)
	if err != nil {
		p.t.Fatal(err)
	}
	p.send(syncproto.AppendSyncStep2(nil, p.doc.AppendDiff(nil, crdt.V1, sv)))
}

// edit writes text and waits until it is durable.
func (p *peer) edit(text string) {
	p.t.Helper()
	p.write(text)
	p.until(syncproto.KindAck)
}

// write writes text and asks to be told when it is durable.
func (p *peer) write(text string) {
	p.t.Helper()
	body := p.doc.Text("t")
	commit, err := p.doc.Transact(nil, func(tx *crdt.Txn) { body.Insert(tx, body.Len(), text) })
	if err != nil {
		p.t.Fatal(err)
	}
	p.send(syncproto.AppendUpdate(nil, commit.AppendUpdate(nil, crdt.V1)))
	p.send(syncproto.AppendAck(nil, []byte{1}))
}

func (p *peer) text() string { return string(p.doc.Text("t").AppendString(nil)) }

// What was acknowledged is there again, after an orderly end and after none.
func TestRestart(t *testing.T) {
	on(t, func(t *testing.T, site *site) {
		want := ""
		for _, end := range []os.Signal{syscall.SIGTERM, os.Kill, os.Kill, os.Interrupt} {
			s := site.serve()
			p := s.join("team/notes")
			if got := p.text(); got != want {
				t.Fatalf("before %v: %q, want %q", end, got, want)
			}
			more := end.String() + " "
			p.edit(more)
			want += more
			code, log := s.stop(end)
			if end != os.Kill && code != 0 {
				t.Errorf("%v: exit code %d: %s", end, code, log)
			}
			if out := site.must(nil, "doc", "get", "team/notes"); strings.TrimSpace(out) != `{"t":"`+want+`"}` {
				t.Errorf("after %v: %q", end, out)
			}
		}
	})
}

// A client that is connected when the server stops is told to come back.
func TestShutdownClosesWithRestart(t *testing.T) {
	on(t, func(t *testing.T, site *site) {
		s := site.serve()
		p := s.join("notes")
		p.edit("hello")
		if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), bound)
		defer cancel()
		for {
			if _, _, err := p.ws.Read(ctx); err != nil {
				if code := websocket.CloseStatus(err); code != websocket.StatusServiceRestart {
					t.Errorf("closed with %v: %v", code, err)
				}
				break
			}
		}
		<-s.rest
		if err := s.cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
}
