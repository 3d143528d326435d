package main

import (
	"context"
	"encoding/json"
	"strings"
	"syscall"
	"testing"

	"github.com/coder/websocket"

	"ysync/crdt"
	"ysync/internal/api"
	"ysync/syncproto"
)

// closed reads until the server ends the connection, and returns its code.
func (p *peer) closed() websocket.StatusCode {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	for {
		if _, _, err := p.ws.Read(ctx); err != nil {
			return websocket.CloseStatus(err)
		}
	}
}

// TestResetUnderClients resets a document under a client, which may not come
// back with what it has, from a running server and from the stores.
func TestResetUnderClients(t *testing.T) {
	on(t, func(t *testing.T, s *site) {
		server := s.serve()
		writer := server.join("team")
		writer.edit("one")
		writer.edit(" two")
		if out := s.must(server, "doc", "reset", "team", "--dry-run"); !strings.Contains(out, "would be reset") {
			t.Errorf("rehearsed: %s", out)
		}
		var report api.ResetReport
		out := s.must(server, "doc", "reset", "team", "--at", "#1", "--yes", "--json")
		if err := json.Unmarshal([]byte(out), &report); err != nil || report.Generation != 2 || report.Sessions != 1 || report.Clients != 1 {
			t.Errorf("%s: %v", out, err)
		}
		if code := writer.closed(); code != 4409 {
			t.Errorf("the client was closed with %d", code)
		}
		refused := func() {
			t.Helper()
			ctx, cancel := context.WithTimeout(context.Background(), bound)
			defer cancel()
			ws, _, err := websocket.Dial(ctx, "ws://"+server.addr()+"/team", nil)
			if err != nil {
				t.Fatal(err)
			}
			vector := crdt.AppendStateVector(nil, writer.doc.StateVector())
			if err := ws.Write(ctx, websocket.MessageBinary, syncproto.AppendSyncStep1(nil, vector)); err != nil {
				t.Fatal(err)
			}
			if code := (&peer{t: t, ws: ws}).closed(); code != 4409 {
				t.Errorf("a client with the old document was closed with %d", code)
			}
		}
		refused()
		fresh := server.join("team")
		if text := fresh.doc.Text("t").String(); text != "one" {
			t.Errorf("a new client gets %q", text)
		}
		fresh.edit(" more")
		if code, log := server.stop(syscall.SIGTERM); code != 0 {
			t.Fatalf("exit code %d: %s", code, log)
		}

		for _, c := range []struct{ args, want string }{
			{"doc get team --text", "one more"},
			{"doc get team --text --at #2@1", "one two"},
			{"snapshot show team #2@1", "one two"},
			{"snapshot list team", "GENERATION"},
			{"doc history team --generation 1 --json", `"entries":2`},
			{"snapshot restore team #2@1 --into before", "before"},
			{"doc get before --text", "one two"},
			{"snapshot verify", "0 damaged"},
			{"doc reset team --yes", "reset"},
			{"doc explain team", "3,"},
		} {
			if out := s.must(nil, strings.Fields(c.args)...); !strings.Contains(out, c.want) {
				t.Errorf("%s: want %q in\n%s", c.args, c.want, out)
			}
		}
		if _, errs, code := s.run("doc", "import", "team", updateOf(t, writer.doc)); code != exitConflict {
			t.Errorf("importing the old document: exit code %d, %s", code, errs)
		}
		left := s.lose()
		if out := left.must(nil, "snapshot", "rebuild"); !strings.Contains(out, "2 rebuilt") {
			t.Errorf("rebuild: %s", out)
		}
		server = left.serve()
		refused()
		if text := server.join("team").doc.Text("t").String(); text != "one more" {
			t.Errorf("after the rebuild a client gets %q", text)
		}
	})
}
