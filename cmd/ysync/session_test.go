package main

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"ysync/internal/gateway"
	"ysync/syncproto"
)

// TestSessionCommands follows a session from the outside: what it sends and is
// sent is told by kind and size, and nothing of the content.
func TestSessionCommands(t *testing.T) {
	on(t, func(t *testing.T, site *site) {
		s := site.serve()
		at := "http://" + s.serving["ops"].(string)
		ws, _, err := websocket.Dial(t.Context(), "ws://"+s.addr()+"/notes/plan", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = ws.CloseNow() }()

		out, errs, code := ysync(t, "session", "list", "notes/plan", "--server", at, "--json")
		var info gateway.SessionInfo
		var all []gateway.SessionInfo
		if err := json.Unmarshal([]byte(out), &info); err != nil {
			t.Fatalf("exit code %d: %q %q", code, out, errs)
		}
		if err := json.Unmarshal([]byte("["+out+"]"), &all); err != nil || len(all) != 1 || info.Document != "notes/plan" || info.Attached {
			t.Fatalf("%+v", all)
		}
		if out, _, _ := ysync(t, "session", "list", "notes/other", "--server", at, "--json"); out != "" {
			t.Errorf("of a document without sessions: %q", out)
		}
		if _, errs, code := ysync(t, "session", "trace", "4711", "--server", at); code != exitNotFound || !strings.Contains(errs, "no such session") {
			t.Errorf("of no session: exit code %d, %q", code, errs)
		}

		follow := command(t, "session", "trace", "1", "--server", at)
		follow.Stderr = os.Stderr
		pipe, err := follow.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := follow.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(pipe)
		// The first thing to be seen says that it follows.
		followed := func(want ...string) {
			t.Helper()
			line, err := lines.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range want {
				if !strings.Contains(line, w) {
					t.Errorf("%q lacks %q", line, w)
				}
			}
			if strings.Contains(line, "secret") {
				t.Errorf("%q tells of the content", line)
			}
		}
		send := func(frame []byte) {
			t.Helper()
			if err := ws.Write(t.Context(), websocket.MessageBinary, frame); err != nil {
				t.Fatal(err)
			}
		}
		followed("note", "watching")
		send(syncproto.AppendSyncStep1(nil, []byte{0}))
		followed("in", "SyncStep1", "1 B")
		followed("note", "attached")
		followed("out", "SyncStep1")
		followed("out", "SyncStep2", "2 B")
		send(syncproto.AppendUpdate(nil, append([]byte{1, 1, 7, 0, 4, 1, 1, 't', 6}, "secret\x00"...)))
		followed("in", "Update", "16 B")
		send([]byte{0, 2, 9, 'x'})
		followed("in", "Unknown")
		followed("note", "malformed", "set aside")
		if err := ws.Close(websocket.StatusNormalClosure, ""); err != nil {
			t.Fatal(err)
		}
		followed("note", "closed", "1000")
		if rest, err := io.ReadAll(lines); err != nil || len(rest) > 0 {
			t.Errorf("after the end: %q, %v", rest, err)
		}
		if err := follow.Wait(); err != nil {
			t.Error(err)
		}
		if out, errs, code := ysync(t, "doc", "hot", "--server", at); code != 0 || !strings.HasPrefix(out, "DOCUMENT") {
			t.Errorf("exit code %d: %q %q", code, out, errs)
		}
	})
}
