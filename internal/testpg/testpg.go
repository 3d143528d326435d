//go:build unix

// Package testpg starts a PostgreSQL server for a test, in a temporary folder
// on a free loopback port or a machine of its own, with fsync as in production.
package testpg

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"ysync/internal/testnet"
)

// Server is a running server. Its methods are for one goroutine at a time.
type Server struct {
	// Dir is the folder of the cluster's files.
	Dir string
	// Port is where it listens, on the loopback interface or its machine.
	Port int

	host       *testnet.Host
	bin        string
	credential *syscall.Credential // of the user postgres, when we are root
	settings   []string
	process    *exec.Cmd
	exited     chan struct{}
	databases  int
}

// Superuser is the user of every URL; it needs no password.
const Superuser = "postgres"

// Missing says what is not there to start a server; empty when all is.
func Missing() string {
	if _, err := binaries(); err != nil {
		return err.Error()
	}
	if os.Geteuid() == 0 {
		if _, err := user.Lookup(Superuser); err != nil {
			return "PostgreSQL refuses to run as root, and there is no user postgres"
		}
	}
	return ""
}

// binaries is the folder of initdb and postgres, the newest if there are several.
func binaries() (string, error) {
	folders, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	sort.Slice(folders, func(i, j int) bool { return major(folders[i]) > major(folders[j]) })
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			folders = append([]string{filepath.Dir(path)}, folders...)
		}
	}
	for _, folder := range folders {
		if _, err := os.Stat(filepath.Join(folder, "postgres")); err != nil {
			continue
		}
		if _, err := os.Stat(filepath.Join(folder, "initdb")); err == nil {
			return folder, nil
		}
	}
	return "", errors.New("PostgreSQL (initdb, postgres) is not installed")
}

func major(folder string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(folder)))
	return n
}

// Start starts a server with more settings ("max_connections=30") and stops it
// at the end of the test. Where the binaries are missing the test says that it
// did not run and ends; with CI=true it fails.
func Start(t testing.TB, settings ...string) *Server {
	t.Helper()
	return StartIn(t, "", settings...)
}

// StartIn is Start with the files in a folder that exists, for a disk of a
// certain kind; empty is a temporary folder.
func StartIn(t testing.TB, dir string, settings ...string) *Server {
	t.Helper()
	Need(t)
	s, err := New(dir, settings...)
	if err != nil {
		t.Fatalf("PostgreSQL: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Remove(); err != nil {
			t.Errorf("PostgreSQL: %v", err)
		}
	})
	return s
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

// New makes a server and starts it. Remove must follow.
func New(dir string, settings ...string) (*Server, error) { return NewOn(nil, dir, settings...) }

// NewOn is New on a machine, from where everybody is let in.
func NewOn(host *testnet.Host, dir string, settings ...string) (*Server, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	s := &Server{host: host, bin: bin, settings: settings}
	if s.Dir, err = os.MkdirTemp(dir, "ysync-pg-"); err != nil {
		return nil, err
	}
	if os.Geteuid() == 0 {
		if err := s.becomePostgres(); err != nil {
			return nil, err
		}
	}
	initdb := s.command("initdb", "-D", s.data(), "-U", Superuser, "-A", "trust", "--no-sync", "--no-instructions", "-E", "UTF8", "--locale=C")
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, errors.Join(fmt.Errorf("initdb: %w\n%s", err, out), os.RemoveAll(s.Dir))
	}
	if host != nil {
		rule := "host all all " + host.IP() + "/24 trust\n"
		if err := appendTo(filepath.Join(s.data(), "pg_hba.conf"), rule); err != nil {
			return nil, errors.Join(err, os.RemoveAll(s.Dir))
		}
	}
	if s.Port, err = freePort(); err != nil {
		return nil, err
	}
	if err := s.Start(); err != nil {
		return nil, errors.Join(err, s.Remove())
	}
	return s, nil
}

// becomePostgres hands the folder to the user postgres, as whom the server runs.
func (s *Server) becomePostgres() error {
	u, err := user.Lookup(Superuser)
	if err != nil {
		return err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return err
	}
	s.credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return os.Chown(s.Dir, int(uid), int(gid))
}

func (s *Server) data() string { return filepath.Join(s.Dir, "data") }

func (s *Server) command(name string, args ...string) *exec.Cmd {
	c := exec.Command(filepath.Join(s.bin, name), args...)
	c.Dir = s.Dir
	// A group of its own, so that a signal to the test does not reach it.
	c.SysProcAttr = &syscall.SysProcAttr{Credential: s.credential, Setpgid: true}
	c.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC")
	return c
}

func appendTo(file, text string) error {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// startTimeout bounds the wait for a server that starts or ends; after a crash
// it replays its log first.
const startTimeout = 60 * time.Second

// Start starts a server that was stopped or killed, and waits until it answers.
func (s *Server) Start() error {
	for deadline := time.Now().Add(startTimeout); ; {
		err := s.launch()
		// Processes of a server that was killed may hold its memory for a while;
		// that is then the last thing that it says, with a hint.
		log := s.Log()
		busy := strings.Contains(log[max(0, len(log)-500):], "pre-existing shared memory block")
		if err == nil || !busy || time.Now().After(deadline) {
			return err
		}
		<-time.After(50 * time.Millisecond)
	}
}

func (s *Server) launch() error {
	args := []string{"-D", s.data(), "-p", strconv.Itoa(s.Port), "-k", s.Dir, "-c", "listen_addresses=" + s.host.IP()}
	for _, setting := range s.settings {
		args = append(args, "-c", setting)
	}
	log, err := os.OpenFile(filepath.Join(s.Dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	c := s.command("postgres", args...)
	c.Stdout, c.Stderr = log, log
	if err := s.host.Start(c); err != nil {
		return err
	}
	exited := make(chan struct{})
	s.process, s.exited = c, exited
	go func() {
		_ = c.Wait()
		close(exited)
	}()
	return s.await()
}

// await waits until the server takes connections.
func (s *Server) await() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(ctx, s.URL("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-tick.C:
		case <-s.exited:
			return fmt.Errorf("the server ended at once:\n%s", s.Log())
		case <-ctx.Done():
			return fmt.Errorf("the server does not answer: %w\n%s", err, s.Log())
		}
	}
}

// URL is the connection URL of a database.
func (s *Server) URL(database string) string {
	return fmt.Sprintf("postgres://%s@%s/%s", Superuser, s.Addr(), database)
}

// Addr is host:port of the server.
func (s *Server) Addr() string { return net.JoinHostPort(s.host.IP(), strconv.Itoa(s.Port)) }

// Database makes an empty database and returns its URL.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	s.databases++
	name := fmt.Sprint("test", s.databases)
	Exec(t, s.URL("postgres"), "CREATE DATABASE "+name)
	return s.URL(name)
}

// Exec runs statements in the database of a URL.
func Exec(t testing.TB, url string, statements ...string) {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatalf("PostgreSQL: %v", err)
	}
	defer conn.Close(ctx)
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			t.Fatalf("PostgreSQL: %s: %v", statement, err)
		}
	}
}

// DemandPassword makes the server ask a user for a password, which others are not.
func (s *Server) DemandPassword(t testing.TB, url, who string) {
	t.Helper()
	name := filepath.Join(s.Dir, "data", "pg_hba.conf")
	rules, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	rules = append([]byte("host all "+who+" 127.0.0.1/32 scram-sha-256\n"), rules...)
	if err := os.WriteFile(name, rules, 0o600); err != nil {
		t.Fatal(err)
	}
	Exec(t, url, "SELECT pg_reload_conf()")
	late := time.After(startTimeout)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(context.Background(), strings.Replace(url, Superuser+"@", who+"@", 1))
		if err != nil {
			return
		}
		_ = conn.Close(context.Background())
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("PostgreSQL lets %s in without a password", who)
		}
	}
}

// Log is the end of what the server has printed.
func (s *Server) Log() string {
	text, err := os.ReadFile(filepath.Join(s.Dir, "log"))
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-4000):])
}

// Stop ends the server in an orderly way that does not wait for clients.
func (s *Server) Stop() error { return s.end(syscall.SIGINT) }

// Kill ends the server and its children at once, as a crash of the machine
// would, but for what the system has in its caches.
func (s *Server) Kill() error { return s.end(syscall.SIGKILL) }

func (s *Server) end(how syscall.Signal) error {
	if s.process == nil {
		return nil
	}
	if how == syscall.SIGKILL {
		if err := s.signalAll(how); err != nil {
			return err
		}
	} else if err := s.process.Process.Signal(how); err != nil {
		return err
	}
	select {
	case <-s.exited:
		s.process = nil
		return nil
	case <-time.After(startTimeout):
		return errors.New("the server does not end")
	}
}

// Freeze stops the server and its children where they are, until Thaw.
func (s *Server) Freeze() error { return s.signalAll(syscall.SIGSTOP) }

// Thaw lets a frozen server go on.
func (s *Server) Thaw() error { return s.signalAll(syscall.SIGCONT) }

// signalAll signals every process of the server: its backends are in sessions of
// their own, so they are looked up by their parent. It comes first: a child that
// it makes after the look would be left out.
func (s *Server) signalAll(how syscall.Signal) error {
	parent := s.process.Process.Pid
	if err := syscall.Kill(parent, how); err != nil {
		return err
	}
	if how == syscall.SIGSTOP {
		var state syscall.WaitStatus
		if _, err := syscall.Wait4(parent, &state, syscall.WUNTRACED, nil); err != nil {
			return fmt.Errorf("testpg: wait until the server is stopped: %w", err)
		}
	}
	var all []int
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return err
	}
	for _, name := range stats {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		// pid (name) state parent …
		_, rest, _ := strings.Cut(string(text), ") ")
		if fields := strings.Fields(rest); len(fields) > 1 && fields[1] == strconv.Itoa(parent) {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
			if err != nil {
				return err
			}
			all = append(all, pid)
		}
	}
	for _, pid := range all {
		if err := syscall.Kill(pid, how); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
	return nil
}

// Remove stops the server and removes its files.
func (s *Server) Remove() error {
	err := s.end(syscall.SIGINT)
	if err != nil {
		err = errors.Join(err, s.end(syscall.SIGKILL))
	}
	return errors.Join(err, os.RemoveAll(s.Dir))
}
