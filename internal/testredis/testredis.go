//go:build unix

// Package testredis starts a Redis server for a test, in a temporary folder on
// a free loopback port or a machine of its own. It keeps nothing on disk:
// restarted, it is empty.
package testredis

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"ysync/internal/testnet"
)

// Server is a server. Its methods are for one goroutine at a time.
type Server struct {
	// Dir is the folder of the server's files.
	Dir string
	// Port is where it listens, on the loopback interface or its machine.
	Port int
	// Bus is where one of a Redis Cluster listens for the others; 0 for none.
	Bus int

	host      *testnet.Host
	arguments []string
	sentinel  string // the configuration of a Sentinel; empty for a server
	process   *exec.Cmd
	exited    chan struct{}
}

// Missing says what is not there to start a server; empty when all is.
func Missing() string {
	if _, err := exec.LookPath("redis-server"); err != nil {
		return "Redis (redis-server) is not installed"
	}
	return ""
}

// Start starts a server with more arguments ("--maxmemory", "1mb") and stops it
// at the end of the test. Where the program is missing the test says that it
// did not run and ends; with CI=true it fails.
func Start(t testing.TB, arguments ...string) *Server {
	t.Helper()
	Need(t)
	return startFor(t, &Server{arguments: arguments})
}

// Need ends a test where a server cannot be started: it says so, or fails when CI=true.
func Need(t testing.TB) {
	t.Helper()
	if missing := Missing(); missing != "" {
		if os.Getenv("CI") == "true" {
			t.Fatal(missing)
		}
		t.Skipf("NOT RUN: %s", missing)
	}
}

// StartSentinel is Start for a Sentinel with a configuration, a file that it writes to.
func StartSentinel(t testing.TB, config string) *Server {
	t.Helper()
	return startFor(t, &Server{sentinel: config})
}

// StartCluster is Start for one of a Redis Cluster that has no slots yet and gives
// another up after a second.
func StartCluster(t testing.TB) *Server {
	t.Helper()
	Need(t)
	// The port for the others would be 10000 above that for clients, which may be
	// too high.
	bus, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	return startFor(t, &Server{Bus: bus, arguments: []string{
		"--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(bus), "--cluster-node-timeout", "1000",
	}})
}

// startFor starts a server for as long as the test lasts.
func startFor(t testing.TB, s *Server) *Server {
	t.Helper()
	s, err := start(s)
	if err != nil {
		t.Fatalf("Redis: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Remove(); err != nil {
			t.Errorf("Redis: %v", err)
		}
	})
	return s
}

// New makes a server and starts it. Remove must follow.
func New(arguments ...string) (*Server, error) { return start(&Server{arguments: arguments}) }

// NewOn is New on a machine, from where everybody is let in.
func NewOn(host *testnet.Host) (*Server, error) {
	return start(&Server{host: host, arguments: []string{"--protected-mode", "no"}})
}

// freePort is a port that nobody listens at.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

func start(s *Server) (*Server, error) {
	var err error
	if s.Port, err = freePort(); err != nil {
		return nil, err
	}
	if s.Dir, err = os.MkdirTemp("", "ysync-redis-"); err != nil {
		return nil, err
	}
	if err := s.Start(); err != nil {
		return nil, errors.Join(err, s.Remove())
	}
	return s, nil
}

// startTimeout bounds the wait for a server that starts or ends.
const startTimeout = 20 * time.Second

// Start starts a server that was stopped, empty, and waits until it answers.
func (s *Server) Start() error {
	arguments := append([]string{
		"--port", strconv.Itoa(s.Port), "--bind", s.host.IP(), "--dir", s.Dir, "--save", "", "--appendonly", "no",
	}, s.arguments...)
	if s.sentinel != "" {
		arguments = []string{s.sentinel, "--sentinel", "--port", strconv.Itoa(s.Port), "--bind", "127.0.0.1"}
	}
	c := exec.Command("redis-server", arguments...)
	// A group of its own, so that a signal to the test does not reach it.
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var out strings.Builder
	c.Stdout, c.Stderr = &out, &out
	if err := s.host.Start(c); err != nil {
		return err
	}
	exited := make(chan struct{})
	s.process, s.exited = c, exited
	go func() {
		_ = c.Wait()
		close(exited)
	}()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(startTimeout)
	for {
		answer, err := s.Do("PING")
		if err == nil && answer == "+PONG" {
			return nil
		}
		select {
		case <-tick.C:
		case <-exited:
			return fmt.Errorf("redis-server ended at once:\n%s", out.String())
		case <-late:
			return fmt.Errorf("redis-server does not answer: %w", err)
		}
	}
}

// Addr is host:port of the server.
func (s *Server) Addr() string { return net.JoinHostPort(s.host.IP(), strconv.Itoa(s.Port)) }

// URL is the URL for clients.
func (s *Server) URL() string { return "redis://" + s.Addr() }

// Do sends a command of words without spaces and returns the first line of the answer.
func (s *Server) Do(words ...string) (string, error) {
	line, _, err := s.ask(words)
	return line, err
}

// Text is Do for a command whose answer is one text, which it returns.
func (s *Server) Text(words ...string) (string, error) {
	_, text, err := s.ask(words)
	return text, err
}

// ask returns the first line of an answer, and the text behind it if there is one.
func (s *Server) ask(words []string) (line, text string, err error) {
	conn, err := net.DialTimeout("tcp", s.Addr(), startTimeout)
	if err != nil {
		return "", "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(startTimeout)); err != nil {
		return "", "", err
	}
	if _, err := fmt.Fprintf(conn, "%s\r\n", strings.Join(words, " ")); err != nil {
		return "", "", err
	}
	answer := bufio.NewReader(conn)
	if line, err = answer.ReadString('\n'); err != nil {
		return "", "", err
	}
	line = strings.TrimRight(line, "\r\n")
	length, isText := strings.CutPrefix(line, "$")
	if !isText {
		return line, "", nil
	}
	n, err := strconv.Atoi(length)
	if err != nil || n < 0 {
		return line, "", err
	}
	b := make([]byte, n)
	_, err = io.ReadFull(answer, b)
	return line, string(b), err
}

// Kill ends the server at once.
func (s *Server) Kill() error {
	if s.process == nil {
		return nil
	}
	if err := s.process.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-s.exited
	s.process = nil
	return nil
}

// Freeze stops the server where it is, until Thaw.
func (s *Server) Freeze() error { return s.process.Process.Signal(syscall.SIGSTOP) }

// Thaw lets a frozen server go on.
func (s *Server) Thaw() error { return s.process.Process.Signal(syscall.SIGCONT) }

// Remove stops the server and removes its files.
func (s *Server) Remove() error { return errors.Join(s.Kill(), os.RemoveAll(s.Dir)) }
