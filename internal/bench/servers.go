package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/coder/websocket"

	"ysync/internal/e2e"
)

// The server has the first core, the clients the second.
const (
	serverCore = "0"
	clientCore = "1"
)

// server is one process under measurement.
type server struct {
	name string
	addr string
	ops  string // the operations port; empty for none
	pid  int
	stop func()
}

// ours starts the built binary on a folder, log on, every commit synced.
func ours(bin, data string, args ...string) (*server, error) {
	ops := ""
	if profiles != "" {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		ops = l.Addr().String()
		l.Close()
	}
	s, err := e2e.StartUnder([]string{"taskset", "-c", serverCore}, bin, data, nil,
		append([]string{"--log-level", "error", "--ops", ops}, args...)...)
	if err != nil {
		return nil, err
	}
	return &server{name: "ysync", addr: s.Addr, ops: ops, pid: s.PID(), stop: s.Kill}, nil
}

// profiles is the folder for CPU profiles of our server, one for each window of
// measurement; empty for none. A profiled run is a little slower.
var profiles string

// profile writes a CPU profile of the next d.
func (s *server) profile(d time.Duration) {
	s.fetch(fmt.Sprintf("profile?seconds=%d", max(1, int(d.Seconds())-1)), fmt.Sprintf("%d.pprof", time.Now().UnixNano()))
}

// fetch writes one of the server's profiles to a file, if profiles are wanted.
func (s *server) fetch(what, name string) {
	if s.ops == "" || profiles == "" {
		return
	}
	answer, err := http.Get(fmt.Sprintf("http://%s/debug/pprof/%s", s.ops, what))
	if err != nil {
		fmt.Fprintln(os.Stderr, "profile:", err)
		return
	}
	defer answer.Body.Close()
	f, err := os.Create(filepath.Join(profiles, name))
	if err != nil {
		fmt.Fprintln(os.Stderr, "profile:", err)
		return
	}
	defer f.Close()
	io.Copy(f, answer.Body)
}

// heap writes a heap profile of what is alive after a collection.
func (s *server) heap(name string) {
	if s.ops == "" {
		return
	}
	smaps, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps", s.pid))
	if err == nil {
		err = os.WriteFile(filepath.Join(profiles, name+".smaps"), smaps, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "profile:", err)
	}
	s.fetch("heap?debug=1", name+".heap.txt")
	s.fetch("heap?gc=1", name+".heap.pprof")
}

// trace writes an execution trace of d.
func (s *server) trace(d time.Duration) {
	if s.ops != "" {
		s.fetch(fmt.Sprintf("trace?seconds=%d", int(d.Seconds())), "loud.trace")
	}
}

// rival starts @y/websocket-server, which keeps documents in memory alone.
func rival(dir string) (*server, error) {
	return spawn("y-websocket-server", "node", filepath.Join(dir, "node_modules/@y/websocket-server/src/server.js"))
}

// echo starts this program as a bare coder/websocket echo.
func echo() (*server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return spawn("echo", self, "echo")
}

func spawn(name string, command ...string) (*server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := l.Addr().(*net.TCPAddr)
	l.Close()
	cmd := exec.Command("taskset", append([]string{"-c", serverCore}, command...)...)
	cmd.Env = append(os.Environ(), "HOST=127.0.0.1", "PORT="+strconv.Itoa(addr.Port), "NODE_ENV=production", "GOMAXPROCS=1")
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{name: name, addr: addr.String(), pid: cmd.Process.Pid, stop: func() {
		cmd.Process.Kill()
		cmd.Wait()
	}}
	var refused error
	if !until(20*time.Second, func() bool {
		conn, err := net.Dial("tcp", s.addr)
		if refused = err; err == nil {
			conn.Close()
		}
		return err == nil
	}) {
		s.stop()
		return nil, fmt.Errorf("%s does not listen: %w", name, refused)
	}
	return s, nil
}

// until looks at what another process does every 20 ms, until it is as wanted;
// false when it is not within a time.
func until(within time.Duration, done func() bool) bool {
	for late := time.Now().Add(within); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(late) {
			return false
		}
	}
	return true
}

// serveEcho answers every message with itself.
func serveEcho() error {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
		if err != nil {
			return
		}
		c.SetReadLimit(maxFrame)
		for {
			kind, message, err := c.Read(context.Background())
			if err != nil {
				return
			}
			if err := c.Write(context.Background(), kind, message); err != nil {
				return
			}
		}
	})
	return http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), handler)
}

// cpu is the processor time that the process has used, all threads, user and
// system (proc(5), /proc/pid/stat, fields 14 and 15, in hundredths of a second).
func (s *server) cpu() time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// waited is how long the process's threads that live were ready to run and did not
// (Linux, /proc/pid/task/tid/schedstat, field 2, in nanoseconds): what others on
// its core took of it.
func (s *server) waited() (all time.Duration) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", s.pid))
	if err != nil {
		return 0
	}
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if fields := strings.Fields(string(text)); err == nil && len(fields) > 1 {
			ns, _ := strconv.ParseInt(fields[1], 10, 64)
			all += time.Duration(ns)
		}
	}
	return all
}

// ownCPU is the processor time of this process.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// memory is the resident set in bytes, now and at its highest.
func (s *server) memory() (now, peak int64) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.pid))
	if err != nil {
		return 0, 0
	}
	for line := range strings.Lines(string(status)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		kb, _ := strconv.ParseInt(fields[1], 10, 64)
		switch fields[0] {
		case "VmRSS:":
			now = kb << 10
		case "VmHWM:":
			peak = kb << 10
		}
	}
	return now, peak
}

// pinSelf moves this process to the clients' core, by starting it again there:
// threads that exist already would stay where they are.
func pinSelf() error {
	if os.Getenv("YSYNC_BENCH_PINNED") != "" {
		return nil
	}
	taskset, err := exec.LookPath("taskset")
	if err != nil {
		return fmt.Errorf("taskset (util-linux) is needed to give server and clients a core each: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	args := append([]string{"taskset", "-c", clientCore, self}, os.Args[1:]...)
	return syscall.Exec(taskset, args, append(os.Environ(), "YSYNC_BENCH_PINNED=1"))
}
