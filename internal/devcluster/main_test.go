//go:build unix

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"ysync/crdt"
	"ysync/internal/e2e"
	"ysync/internal/s3test"
	"ysync/internal/testpg"
	"ysync/internal/testredis"
	"ysync/syncproto"
)

// The test binary is the program itself when this is set.
const asProgram = "YSYNC_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// patience bounds every wait.
const patience = 2 * time.Minute

// firstPort is one from which on the ports of a cluster are free.
func firstPort(t *testing.T) int {
	t.Helper()
	for range 100 {
		// Not of the ports that the system gives to others meanwhile.
		first := 10_001 + rand.IntN(20_000)
		var all []net.Listener
		for _, port := range []int{first - 1, first, first + 1, first + 2, first + 100, first + 101, first + 102} {
			if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
				all = append(all, l)
			}
		}
		for _, l := range all {
			_ = l.Close()
		}
		if len(all) == 7 {
			return first
		}
	}
	t.Fatal("there are no ports for a cluster")
	return 0
}

// page reads the page that shows who has what, until it is as wanted.
func page(t *testing.T, url string, want func(string) bool) string {
	t.Helper()
	late := time.After(patience)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		answer, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		if err := answer.Body.Close(); err != nil {
			t.Fatal(err)
		}
		if want(string(text)) {
			return string(text)
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("the page is\n%s", text)
		}
	}
}

// write writes a word into a document and waits until it is durable.
func write(t *testing.T, node, document, word string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, "ws://"+node+"/"+document, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	doc := crdt.New(crdt.Options{})
	commit, err := doc.Transact(nil, func(tx *crdt.Txn) { doc.Text("t").Insert(tx, 0, word) })
	if err != nil {
		t.Fatal(err)
	}
	frame := syncproto.AppendAck(syncproto.AppendUpdate(nil, commit.AppendUpdate(nil, crdt.V1)), []byte{1})
	if err := ws.Write(ctx, websocket.MessageBinary, frame); err != nil {
		t.Fatal(err)
	}
	for {
		_, frame, err := ws.Read(ctx)
		if err != nil {
			t.Fatal(err)
		}
		d := syncproto.NewDecoder(frame)
		for m, ok := d.Next(); ok; m, ok = d.Next() {
			switch m.Kind {
			case syncproto.KindAck:
				return
			case syncproto.KindSyncStep1:
				// A node that lost the way to the owner asks again, and acknowledges
				// nothing before it is answered.
				sv, err := crdt.DecodeStateVector(m.Payload)
				if err != nil {
					t.Fatal(err)
				}
				if err := ws.Write(ctx, websocket.MessageBinary, syncproto.AppendSyncStep2(nil, doc.AppendDiff(nil, crdt.V1, sv))); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// A cluster starts with one command, shows who has what, serves a document at
// every node, and leaves nothing when it is interrupted.
func TestDevcluster(t *testing.T) {
	testpg.Need(t)
	testredis.Need(t)
	s3test.Need(t)
	program, err := e2e.Build(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	// Not t.TempDir: the database's user must be able to get there.
	temporary, err := os.MkdirTemp("", "ysync-devcluster-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(temporary)
	if err := os.Chmod(temporary, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-ysync", program, "-port", fmt.Sprint(firstPort(t)))
	cmd.Env = append(os.Environ(), asProgram+"=1", "TMPDIR="+temporary)
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if cmd.ProcessState == nil { // the test has failed: its processes end in order, too
			_ = cmd.Process.Signal(os.Interrupt)
			_, _ = io.Copy(io.Discard, out)
			_ = cmd.Wait()
		}
	}()
	lines := bufio.NewScanner(out)
	var nodes, operations []string
	var pids []int
	board := ""
	for board == "" && lines.Scan() {
		if m := regexp.MustCompile(`^node-\d  http://(\S+)  operations http://(\S+)/status  pid (\d+)$`).FindStringSubmatch(lines.Text()); m != nil {
			pid, err := strconv.Atoi(m[3])
			if err != nil {
				t.Fatal(err)
			}
			nodes, operations, pids = append(nodes, m[1]), append(operations, m[2]), append(pids, pid)
		}
		if rest, ok := strings.CutPrefix(lines.Text(), "who has what: "); ok {
			board, _, _ = strings.Cut(rest, " ")
		}
	}
	if len(nodes) != 3 || board == "" {
		_ = cmd.Wait()
		t.Fatalf("%d nodes, the page is at %q\n%s", len(nodes), board, complaints.String())
	}
	page(t, board, func(text string) bool { return strings.Count(text, "<td>up<td>") == 3 })
	for i, n := range nodes {
		write(t, n, "plan", fmt.Sprint("word", i))
	}
	text := page(t, board, func(text string) bool {
		return regexp.MustCompile(`<td>plan<td>node-[123]<td>1<td>3`).MatchString(text)
	})
	if strings.Count(text, "<td>plan<") != 1 {
		t.Errorf("the document is not there once:\n%s", text)
	}
	for _, n := range operations {
		got, err := exec.Command(program, "doc", "get", "plan", "--server", "http://"+n).CombinedOutput()
		if err != nil || strings.Count(string(got), "word") != 3 {
			t.Errorf("at %s the document is %s, %v", n, got, err)
		}
	}

	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("interrupted, it ends with %v\n%s", err, complaints.String())
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("node %d is still there: %v", pid, err)
		}
	}
	left, err := os.ReadDir(temporary)
	if err != nil || len(left) > 0 {
		t.Errorf("%v, %v are left", left, err)
	}
}
