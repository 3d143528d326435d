package crashtest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"ysync/internal/testnet"
)

// startTimeout is how long a server may take until it serves.
const startTimeout = time.Minute

// server is one run of the binary.
type server struct {
	cmd *exec.Cmd
	// addr is where clients connect, operations where operators do.
	addr, operations string
	// done closes when the process has ended and its output is read.
	done chan struct{}

	mu    sync.Mutex
	lines []string // what it logged
}

// line is what the harness reads of a JSON log line.
type line struct {
	Level      string `json:"level"`
	Message    string `json:"msg"`
	Address    string `json:"addr"`
	Operations string `json:"ops"`
}

// launch runs the binary on a folder. The address arrives on serving. Snapshots are
// made well before the second after which a hub asks for what is missing: the
// answer is logged, so that what a snapshot left out of what waits would come back.
func launch(binary, data string, env []string) (s *server, serving <-chan string, err error) {
	cmd := exec.Command(binary, "serve", "--listen", "127.0.0.1:0", "--data", data,
		"--snapshot-interval", "600ms", "--segment-interval", "1s", "--idle-unload", "1s")
	cmd.Env = append(os.Environ(), env...)
	return launchOn(nil, cmd)
}

// launchOn runs a server's command on a machine.
func launchOn(host *testnet.Host, cmd *exec.Cmd) (s *server, serving <-chan string, err error) {
	s = &server{cmd: cmd, done: make(chan struct{})}
	out, in, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	s.cmd.Stderr = in
	if err := host.Start(s.cmd); err != nil {
		return nil, nil, errors.Join(err, in.Close(), out.Close())
	}
	address := make(chan string, 1)
	go s.read(out, address)
	return s, address, in.Close()
}

// startServer runs the binary on a folder and waits until it serves.
func startServer(ctx context.Context, binary, data string, env []string) (*server, error) {
	s, serving, err := launch(binary, data, env)
	if err != nil {
		return nil, err
	}
	return s, s.await(ctx, serving)
}

// await waits until the server serves.
func (s *server) await(ctx context.Context, serving <-chan string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	select {
	case s.addr = <-serving:
		return nil
	case <-s.done:
		return fmt.Errorf("the server ended before it served:\n%s", s.tail(30))
	case <-ctx.Done():
		s.kill()
		return fmt.Errorf("the server does not serve after %v:\n%s", startTimeout, s.tail(30))
	}
}

// read collects the log until the process ends.
func (s *server) read(out io.ReadCloser, serving chan<- string) {
	defer close(s.done)
	scan := bufio.NewScanner(out)
	scan.Buffer(nil, 1<<20)
	for scan.Scan() {
		s.mu.Lock()
		s.lines = append(s.lines, scan.Text())
		s.mu.Unlock()
		var l line
		if bytes.HasPrefix(scan.Bytes(), []byte("{")) && json.Unmarshal(scan.Bytes(), &l) == nil && l.Message == "serving" {
			s.operations = l.Operations
			select {
			case serving <- l.Address:
			default:
			}
		}
	}
	out.Close()
	// The exit status says only that it was killed.
	_ = s.cmd.Wait()
}

// kill ends the process with SIGKILL and waits for its end.
func (s *server) kill() {
	// It may be gone already.
	_ = s.cmd.Process.Kill()
	<-s.done
}

// tail returns the last n lines of the log.
func (s *server) tail(n int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.lines[max(0, len(s.lines)-n):], "\n")
}

// errors returns the lines of level error and worse.
func (s *server) errors() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, text := range s.lines {
		var l line
		if json.Unmarshal([]byte(text), &l) != nil || (l.Level != "info" && l.Level != "warn" && l.Level != "debug") {
			out = append(out, text)
		}
	}
	return out
}
