package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Build compiles cmd/ysync into dir and returns the binary's path. The extra
// arguments go to `go build` ("-tags", "faults").
func Build(dir string, args ...string) (string, error) {
	_, file, _, _ := runtime.Caller(0)
	bin := filepath.Join(dir, "ysync")
	cmd := exec.Command("go", append(append([]string{"build"}, args...), "-o", bin, "./cmd/ysync")...)
	cmd.Dir = filepath.Dir(filepath.Dir(filepath.Dir(file)))
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building cmd/ysync: %w\n%s", err, out)
	}
	return bin, nil
}

// Server is a running `ysync serve`.
type Server struct {
	// Addr is host:port of the public listener.
	Addr string
	// Fields is the whole log line that said so.
	Fields map[string]any
	// Started is the time from the start of the process to that line.
	Started time.Duration

	cmd  *exec.Cmd
	done chan struct{}

	mu  sync.Mutex
	log strings.Builder
	err error
}

// startTimeout bounds the wait for the server's first word. A big log to
// replay after a crash takes well under a second.
const startTimeout = 20 * time.Second

// Start runs `bin serve` on the folder data and waits until it serves. A listen
// address among args replaces the default of any free loopback port.
func Start(bin, data string, env []string, args ...string) (*Server, error) {
	return StartUnder(nil, bin, data, env, args...)
}

// StartUnder is Start with the server run by another command: a prefix such as
// `taskset -c 0` that executes the rest of its arguments in its own place.
func StartUnder(prefix []string, bin, data string, env []string, args ...string) (*Server, error) {
	if !strings.Contains(strings.Join(args, " "), "--listen") {
		args = append(args, "--listen", "127.0.0.1:0")
	}
	command := slices.Concat(prefix, []string{bin, "serve", "--data", data}, args)
	s := &Server{cmd: exec.Command(command[0], command[1:]...), done: make(chan struct{})}
	s.cmd.Env = append(os.Environ(), env...)
	out, in := io.Pipe()
	s.cmd.Stdout, s.cmd.Stderr = in, in
	begin := time.Now()
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	serving := make(chan map[string]any, 1)
	go s.read(out, serving)
	go func() {
		err := s.cmd.Wait()
		in.Close()
		s.mu.Lock()
		s.err = err
		s.mu.Unlock()
		close(s.done)
	}()
	select {
	case s.Fields = <-serving:
		s.Started = time.Since(begin)
		s.Addr, _ = s.Fields["addr"].(string)
		return s, nil
	case <-s.done:
		return nil, fmt.Errorf("the server ended before it served: %w\n%s", s.wait(), s.Log())
	case <-time.After(startTimeout):
		s.Kill()
		return nil, fmt.Errorf("the server did not serve within %v\n%s", startTimeout, s.Log())
	}
}

func (s *Server) read(out io.Reader, serving chan<- map[string]any) {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		s.mu.Lock()
		s.log.WriteString(lines.Text() + "\n")
		s.mu.Unlock()
		var fields map[string]any
		if json.Unmarshal(lines.Bytes(), &fields) == nil && fields["msg"] == "serving" {
			serving <- fields
		}
	}
}

// PID is the process ID.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Log is everything that the server printed so far.
func (s *Server) Log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

func (s *Server) wait() error {
	<-s.done
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Kill ends the process with SIGKILL and waits for its end.
func (s *Server) Kill() {
	s.cmd.Process.Kill()
	<-s.done
}

// Stop asks the process to end (SIGTERM) and returns its exit code.
func (s *Server) Stop() (int, error) {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return 0, err
	}
	select {
	case <-s.done:
		return s.cmd.ProcessState.ExitCode(), nil
	case <-time.After(startTimeout):
		s.Kill()
		return 0, fmt.Errorf("the server did not stop within %v of SIGTERM\n%s", startTimeout, s.Log())
	}
}
