package differential

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"ysync/internal/vectors"
)

// peer is a real Yjs in a Node process (peer.mjs). Calls are made one at a time.
type peer struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan []byte // closed at the end of the output
	id    int
}

// errNoPeer says what is missing on this machine.
var errNoPeer = errors.New("no real Yjs here")

// errHung says that Yjs did not answer in time. The peer is of no use any more.
var errHung = errors.New("no answer from Yjs")

// patience is how long an answer may take.
const patience = 2 * time.Minute

// needPeer starts a peer; false says that there is none here, which with
// CI=true is a failure.
func needPeer(t *testing.T) (*peer, bool) {
	p, err := startPeer(t)
	if errors.Is(err, errNoPeer) && os.Getenv("CI") != "true" {
		t.Logf("not run: %v", err)
		return nil, false
	}
	if err != nil {
		t.Fatal(err)
	}
	return p, true
}

// startPeer starts a peer that ends with the test.
func startPeer(t *testing.T) (*peer, error) {
	node, err := exec.LookPath("node")
	if err != nil {
		return nil, fmt.Errorf("%w: node is missing", errNoPeer)
	}
	if _, err := os.Stat("node_modules/yjs/package.json"); err != nil {
		return nil, fmt.Errorf("%w: run npm ci in crdt/differential", errNoPeer)
	}
	cmd := exec.Command(node, "--max-semi-space-size=64", "peer.mjs")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &peer{cmd: cmd, in: in, lines: make(chan []byte, 16)}
	go func() {
		defer close(p.lines)
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 256<<20)
		for lines.Scan() {
			p.lines <- bytes.Clone(lines.Bytes())
		}
	}()
	t.Cleanup(p.stop)
	return p, nil
}

// stop ends the process, by force if it hangs.
func (p *peer) stop() {
	p.in.Close()
	for {
		select {
		case _, more := <-p.lines:
			if !more {
				_ = p.cmd.Wait()
				return
			}
		case <-time.After(patience):
			_ = p.cmd.Process.Kill()
		}
	}
}

// arg is one argument of a command.
type arg struct {
	name  string
	value any
}

// call sends a command and returns the answer; an error that Yjs reports comes
// as a *yjsError.
func (p *peer) call(op string, args ...arg) (vectors.Value, error) {
	var v vectors.Value
	if err := p.send(op, args...); err != nil {
		return v, err
	}
	line, err := p.receive()
	if err != nil {
		return v, err
	}
	if err := json.Unmarshal(line, &v); err != nil {
		return v, fmt.Errorf("peer: %w", err)
	}
	if int(v.Get("id").Num) != p.id {
		return v, fmt.Errorf("peer: answer %v to command %d", v.Get("id"), p.id)
	}
	if !v.Get("ok").Bool {
		return v, &yjsError{v.Get("err").Str}
	}
	return v, nil
}

// send sends a command. Answers come in the order of the commands, of which a
// few may be on their way.
func (p *peer) send(op string, args ...arg) error {
	p.id++
	req := map[string]any{"id": p.id, "op": op}
	for _, a := range args {
		req[a.name] = a.value
	}
	b, err := json.Marshal(req)
	if err != nil {
		return err
	}
	if _, err := p.in.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("peer: %w", err)
	}
	return nil
}

// receive waits for the next answer.
func (p *peer) receive() ([]byte, error) {
	select {
	case line := <-p.lines:
		if line == nil {
			return nil, fmt.Errorf("peer: %w", io.ErrUnexpectedEOF)
		}
		return line, nil
	case <-time.After(patience):
		return nil, errors.Join(errHung, p.cmd.Process.Kill())
	}
}

// yjsError is an error that Yjs reported.
type yjsError struct{ msg string }

func (e *yjsError) Error() string { return "Yjs: " + e.msg }
