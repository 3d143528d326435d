package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"ysync/crdt"
	"ysync/syncproto"
)

var (
	cutOverDocuments = flag.Int("cut-over-documents", 40, "how many documents lie there while the writers' move")
	cutOverWriters   = flag.Int("cut-over-writers", 5, "how many write during a cut-over")
)

// commuter writes into a document of its own wherever its server is, and goes on
// where the next one is.
type commuter struct {
	document string
	address  *atomic.Pointer[string]
	doc      *crdt.Doc
	acks     chan string // where the newest acknowledgement came from
	acked    int         // words
	last     time.Time   // of the newest acknowledgement
	longest  time.Duration
}

// run writes until ctx ends. What fails is tried again at the address of then.
func (c *commuter) run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := c.connected(ctx, *c.address.Load()); err != nil {
			select {
			case <-time.After(5 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	}
}

func (c *commuter) connected(ctx context.Context, address string) error {
	ws, _, err := websocket.Dial(ctx, "ws://"+address+"/"+c.document, nil)
	if err != nil {
		return err
	}
	defer func() { _ = ws.CloseNow() }()
	ws.SetReadLimit(64 << 20)
	send := func(frame []byte) error { return ws.Write(ctx, websocket.MessageBinary, frame) }
	if err := send(syncproto.AppendSyncStep1(nil, crdt.AppendStateVector(nil, c.doc.StateVector()))); err != nil {
		return err
	}
	// The first acknowledgement covers what the server asks for first.
	waiting := false
	for {
		_, frame, err := ws.Read(ctx)
		if err != nil {
			return err
		}
		d := syncproto.NewDecoder(frame)
		m, ok := d.Next()
		if !ok {
			return errors.New("an empty frame")
		}
		switch m.Kind {
		case syncproto.KindSyncStep1:
			sv, err := crdt.DecodeStateVector(m.Payload)
			if err == nil {
				err = send(syncproto.AppendSyncStep2(nil, c.doc.AppendDiff(nil, crdt.V1, sv)))
			}
			if err != nil {
				return err
			}
		case syncproto.KindSyncStep2, syncproto.KindUpdate:
			if _, err := c.doc.Apply(nil, crdt.V1, m.Payload); err != nil {
				return err
			}
		case syncproto.KindAck:
			c.acknowledged(address)
			waiting = false
		}
		if waiting {
			continue
		}
		text := c.doc.Text("t")
		commit, err := c.doc.Transact(nil, func(tx *crdt.Txn) { text.Insert(tx, text.Len(), ".") })
		if err != nil {
			return err
		}
		if err := errors.Join(send(syncproto.AppendUpdate(nil, commit.AppendUpdate(nil, crdt.V1))), send(syncproto.AppendAck(nil, []byte{1}))); err != nil {
			return err
		}
		waiting = true
	}
}

func (c *commuter) acknowledged(address string) {
	select {
	case <-c.acks:
	default:
	}
	c.acks <- address
	now := time.Now()
	if !c.last.IsZero() {
		c.longest = max(c.longest, now.Sub(c.last))
	}
	c.last = now
	c.acked = c.doc.Text("t").Len()
}

// TestCutOverPause: from the last acknowledgement of the old server to the first of
// the new one, for clients that write all the time. Nothing acknowledged is lost.
func TestCutOverPause(t *testing.T) {
	small, large := embedded(t), elsewhere(t)
	names := make([]string, *cutOverDocuments)
	for i := range names {
		names[i] = fmt.Sprint("quiet/", i)
	}
	fill(t, small.data, names...)
	old := small.serve()
	var address atomic.Pointer[string]
	move := func(s *server) { at := s.addr(); address.Store(&at) }
	move(old)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var writing sync.WaitGroup
	commuters := make([]*commuter, *cutOverWriters)
	for i := range commuters {
		commuters[i] = &commuter{document: fmt.Sprint("busy/", i), address: &address, doc: crdt.New(crdt.Options{}), acks: make(chan string, 1)}
		writing.Go(func() { commuters[i].run(ctx) })
	}
	large.mustMove("http://" + old.ops())
	large.mustMove("http://" + old.ops())

	begun := time.Now()
	if code, log := old.stop(syscall.SIGTERM); code != 0 {
		t.Fatalf("exit code %d: %s", code, log)
	}
	stopped := time.Now()
	last := large.mustMove(small.data, "--cut-over", "--json")
	copied := time.Now()
	grown := large.serve()
	started := time.Now()
	move(grown)
	var end movedAll
	if err := json.Unmarshal([]byte(last[strings.LastIndex(strings.TrimSpace(last), "\n")+1:]), &end); err != nil {
		t.Fatalf("%v\n%s", err, last)
	}
	if end.NewestEdit == nil || end.NewestEdit.Before(begun.Add(-bound)) || end.NewestEdit.After(stopped) || end.TookMS <= 0 || end.TookMS > copied.Sub(stopped).Milliseconds() {
		t.Errorf("the last run tells %+v, of a stop from %v to %v and a run of %v", end, begun, stopped, copied.Sub(stopped))
	}
	for _, c := range commuters {
		for at := ""; at != grown.addr(); {
			select {
			case at = <-c.acks:
			case <-time.After(bound):
				t.Fatalf("%s is not acknowledged at the new server", c.document)
			}
		}
	}
	cancel()
	writing.Wait()
	var longest time.Duration
	acked := 0
	for _, c := range commuters {
		longest = max(longest, c.longest)
		acked += c.acked
		if got := strings.Count(grown.join(c.document).text(), "."); got < c.acked {
			t.Errorf("%s: %d words are there, %d were acknowledged", c.document, got, c.acked)
		}
	}
	t.Logf("%d documents, %d writers, %d acknowledged: the stop took %v, the last run %v (%d ms of it from the opening of the stores on), the start %v; the longest pause of a writer was %v",
		end.Documents, len(commuters), acked, stopped.Sub(begun), copied.Sub(stopped), end.TookMS, started.Sub(copied), longest)
}
