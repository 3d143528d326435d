package crashtest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/coder/websocket"

	"ysync/crdt"
	"ysync/internal/fault"
	"ysync/internal/teststores"
	"ysync/syncproto"
)

// operator runs commands of the binary on stores whose server is down.
type operator struct {
	t            *testing.T
	binary, data string
	stores       teststores.Stores
}

// run runs a command, which dies at a point if one is given.
func (o operator) run(at string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(o.t.Context(), o.binary, append(args, "--data", o.data)...)
	cmd.Env = append(append(os.Environ(), o.stores.Env()...), fmt.Sprintf("%s=%s", fault.PointVariable, at))
	return cmd.Output()
}

func (o operator) generation(document string) int {
	o.t.Helper()
	out, err := o.run("", "doc", "explain", document, "--json")
	var e struct{ Generation int }
	if err == nil {
		err = json.Unmarshal(out, &e)
	}
	if err != nil {
		o.t.Fatalf("%v: %s", err, out)
	}
	return e.Generation
}

// serving runs f at a server, which is killed after it.
func (o operator) serving(f func(dialer)) {
	o.t.Helper()
	s, err := startServer(o.t.Context(), o.binary, o.data, o.stores.Env())
	if err != nil {
		o.t.Fatal(err)
	}
	defer s.kill()
	f(dial(s.addr))
	for _, l := range s.errors() {
		o.t.Errorf("the server logged: %s", l)
	}
}

// bring connects a replica with what it has and returns the code with which it
// was closed; 0 when it was let in.
func (o operator) bring(d dialer, document string, doc *crdt.Doc) websocket.StatusCode {
	o.t.Helper()
	ctx, cancel := context.WithCancel(o.t.Context())
	defer cancel()
	l, err := d(ctx, document)
	if err != nil {
		o.t.Fatal(err)
	}
	defer l.hangUp()
	if err := l.write(ctx, syncproto.AppendSyncStep1(nil, crdt.AppendStateVector(nil, doc.StateVector()))); err != nil {
		o.t.Fatal(err)
	}
	if err := l.write(ctx, syncproto.AppendSyncStep2(nil, doc.AppendDiff(nil, crdt.V1, crdt.StateVector{}))); err != nil {
		return websocket.CloseStatus(err)
	}
	if err := l.ask(ctx, nil); err != nil {
		return websocket.CloseStatus(err)
	}
	for acked := false; !acked; {
		frame, ok := <-l.frames
		if !ok {
			return websocket.CloseStatus(l.err)
		}
		if err := messages(frame, func(m syncproto.Message) error {
			acked = acked || m.Kind == syncproto.KindAck
			return nil
		}); err != nil {
			o.t.Fatal(err)
		}
	}
	return 0
}

// TestKillDuringReset kills a reset at its steps.
func TestKillDuringReset(t *testing.T) {
	binary := buildServer(t, "-tags", "faults")
	for _, point := range []fault.Point{
		fault.BeforePut, fault.AfterPut, fault.AfterPointer, fault.AfterSegment, fault.AfterRetired,
		fault.AfterPut + ":2", fault.BeforeReset, fault.AfterReset,
	} {
		t.Run(string(point), func(t *testing.T) {
			teststores.Each(t, func(t *testing.T, s teststores.Stores) {
				killDuringReset(t, operator{t, binary, t.TempDir(), s}, point)
			})
		})
	}
}

// killDuringReset kills a reset at a step: the document is before it or after it,
// whole, and the reset can be made again.
func killDuringReset(t *testing.T, o operator, point fault.Point) {
	const name = "team/plan"
	old := crdt.New(crdt.Options{})
	if _, err := old.Transact(nil, func(tx *crdt.Txn) { old.Text(textRoot).Insert(tx, 0, "content") }); err != nil {
		t.Fatal(err)
	}
	o.serving(func(d dialer) {
		if code := o.bring(d, name, old); code != 0 {
			t.Fatalf("the writer was closed with %d", code)
		}
	})
	if out, err := o.run(string(point), "doc", "reset", name, "--yes"); err == nil {
		t.Fatalf("the reset did not come to its point: %s", out)
	}
	want := 1
	if point == fault.AfterReset {
		want = 2
	}
	check := func(want int) {
		t.Helper()
		if g := o.generation(name); g != want {
			t.Fatalf("it is at generation %d, want %d", g, want)
		}
		o.serving(func(d dialer) {
			fresh, err := fetch(t.Context(), d, name)
			if err != nil {
				t.Fatal(err)
			}
			if text := fresh.Text(textRoot).String(); text != "content" {
				t.Errorf("it holds %q", text)
			}
			if code := o.bring(d, name, old); (code == 4409) != (want > 1) {
				t.Errorf("in generation %d the old replica is closed with %d", want, code)
			}
		})
	}
	check(want)
	if out, err := o.run("", "doc", "reset", name, "--yes"); err != nil {
		t.Fatalf("again: %v: %s", err, out)
	}
	check(want + 1)
	if out, err := o.run("", "snapshot", "verify"); err != nil {
		t.Errorf("verify: %v: %s", err, out)
	}
}
