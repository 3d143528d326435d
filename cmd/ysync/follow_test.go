package main

import (
	"bufio"
	"os"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"ysync/syncproto"
)

// TestExplainFollows: what changes of a document is told as it changes, and a signal
// ends it.
func TestExplainFollows(t *testing.T) {
	s := serve(t, "--ops", "127.0.0.1:0")
	ws, _, err := websocket.Dial(t.Context(), "ws://"+s.addr()+"/notes/plan", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ws.CloseNow() }()
	write := func(frames ...[]byte) {
		t.Helper()
		for _, frame := range frames {
			if err := ws.Write(t.Context(), websocket.MessageBinary, frame); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(syncproto.AppendSyncStep1(nil, []byte{0}), syncproto.AppendUpdate(nil, []byte{1, 1, 7, 0, 4, 1, 1, 't', 1, 'x', 0}), []byte{102, 1, 7})
	for {
		_, frame, err := ws.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if frame[0] == 102 {
			break
		}
	}

	follow := command(t, "doc", "explain", "--follow", "notes/plan", "--server", "http://"+s.serving["ops"].(string))
	follow.Stderr = os.Stderr
	pipe, err := follow.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := follow.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(pipe)
	until := func(want ...string) {
		t.Helper()
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				t.Fatalf("%v: %v", want, err)
			}
			found := true
			for _, part := range want {
				found = found && strings.Contains(line, part)
			}
			if found {
				return
			}
		}
	}
	until("committed", "up to 1 of 1")
	// Something is missing before it, so it waits, and is never acknowledged.
	write(syncproto.AppendUpdate(nil, []byte{1, 1, 8, 5, 0x84, 8, 4, 1, 'y', 0}))
	until("pending", "1 blocks")
	if err := follow.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := lines.ReadString('\n'); err != nil {
			break
		}
	}
	if err := follow.Wait(); err != nil {
		t.Error(err)
	}
}
