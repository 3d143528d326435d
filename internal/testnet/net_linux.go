package testnet

import (
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// variable tells a process that it is alone in its network.
const variable = "YSYNC_TEST_NETWORK"

// Missing says what is not there for machines of their own; empty when all is.
func Missing() string {
	if os.Geteuid() != 0 {
		return "network namespaces need root"
	}
	for _, program := range []string{"ip", "tc"} {
		if _, err := tool(program); err != nil {
			return program + " (iproute2) is not installed"
		}
	}
	return ""
}

// tool finds a program also where the path of an ordinary user has it not.
func tool(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	return exec.LookPath("/usr/sbin/" + name)
}

// Alone reports whether the process has a network of its own. Where it has not,
// the test is run again in a process that has one, and fails as that does; the
// caller returns. Where that cannot be, the test says that it did not run, or
// fails when CI=true.
func Alone(t *testing.T) bool {
	t.Helper()
	if os.Getenv(variable) != "" {
		return true
	}
	if missing := Missing(); missing != "" {
		if os.Getenv("CI") == "true" {
			t.Fatal(missing)
		}
		t.Skipf("NOT RUN: %s", missing)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// The same flags, but for this test alone and once.
	arguments := append(slices.Clone(os.Args[1:]), "-test.run=^"+t.Name()+"$", "-test.count=1")
	c := exec.CommandContext(t.Context(), self, arguments...)
	c.Env = append(os.Environ(), variable+"=own")
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread() // whose end would end the process
	defer runtime.UnlockOSThread()
	if err := c.Run(); err != nil {
		t.Errorf("in a network of its own: %v", err)
	}
	return false
}

// Net is a bridge with machines. Its methods may be called at any time, but for
// Add.
type Net struct {
	// Here is the test's own place on the bridge.
	Here  *Host
	hosts []*Host

	mu sync.Mutex
	// loss is the share of packets that get lost from one to another.
	loss map[[2]*Host]float64
}

const (
	bridge = "bridge"
	subnet = "10.77.0."
)

// New makes a bridge in the network of this process, which is its own.
func New() (*Net, error) {
	n := &Net{Here: &Host{Name: "clients", ip: subnet + "1", outer: bridge}, loss: map[[2]*Host]float64{}}
	return n, n.run("ip", "link set lo up", "ip", "link add "+bridge+" type bridge",
		"ip", "addr add "+n.Here.ip+"/24 dev "+bridge, "ip", "link set "+bridge+" up",
		"tc", "qdisc add dev "+bridge+" clsact")
}

// Remove takes the bridge and its machines away, whose processes have ended.
func (n *Net) Remove() error {
	err := n.run("ip", "link del "+bridge)
	for _, h := range n.hosts {
		err = errors.Join(err, n.run("ip", "link del "+h.outer), h.close())
	}
	return err
}

// run runs programs with their arguments, one after the other.
func (n *Net) run(commands ...string) error {
	for i := 0; i < len(commands); i += 2 {
		program, err := tool(commands[i])
		if err != nil {
			return err
		}
		if out, err := exec.Command(program, strings.Fields(commands[i+1])...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s %s: %w: %s", commands[i], commands[i+1], err, out)
		}
	}
	return nil
}

// Add puts a machine on the bridge.
func (n *Net) Add(name string) (*Host, error) {
	number := len(n.hosts) + 2
	h := &Host{Name: name, ip: fmt.Sprint(subnet, number), outer: fmt.Sprint("to", number)}
	space, err := newSpace()
	if err != nil {
		return nil, err
	}
	h.start, h.close = func(c *exec.Cmd) error { return space.within(c.Start) }, space.file.Close
	inner := fmt.Sprint("in", number)
	if err := n.run(
		"ip", fmt.Sprintf("link add %s type veth peer name %s", h.outer, inner),
		"ip", fmt.Sprintf("link set %s netns /proc/%d/fd/%d", inner, os.Getpid(), space.file.Fd()),
		"ip", fmt.Sprintf("link set %s master %s up", h.outer, bridge),
		"tc", fmt.Sprintf("qdisc add dev %s clsact", h.outer)); err != nil {
		return nil, err
	}
	err = space.within(func() error {
		return n.run("ip", "link set lo up", "ip", fmt.Sprintf("addr add %s/24 dev %s", h.ip, inner), "ip", "link set "+inner+" up")
	})
	n.hosts = append(n.hosts, h)
	return h, err
}

// Lose loses a share of what goes from one machine to another, from now on: 0
// for none, 1 for all.
func (n *Net) Lose(from, to *Host, share float64) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.loss[[2]*Host{from, to}] = share
	return n.install(to)
}

// Heal delivers everything again.
func (n *Net) Heal() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.loss)
	err := n.install(n.Here)
	for _, h := range n.hosts {
		err = errors.Join(err, n.install(h))
	}
	return err
}

// install brings the filter in front of a machine to what is to be lost: a
// classic BPF program at the end of its cable. (netem would do; many kernels
// are built without it.)
func (n *Net) install(to *Host) error {
	const (
		drop, pass = 2, math.MaxUint32 // what tc does with the packet
		random     = 0xfffff000 + 56   // where the kernel's random numbers are read
	)
	program := []string{"40 0 0 12", "21 1 0 2048", fmt.Sprint("6 0 0 ", uint32(pass)), "32 0 0 26"} // IPv4? its source
	for _, from := range append([]*Host{n.Here}, n.hosts...) {
		share := n.loss[[2]*Host{from, to}]
		var a, b, c, d byte
		if _, err := fmt.Sscanf(from.ip, "%d.%d.%d.%d", &a, &b, &c, &d); err != nil {
			return err
		}
		source := uint32(a)<<24 | uint32(b)<<16 | uint32(c)<<8 | uint32(d)
		switch {
		case share <= 0:
		case share >= 1:
			program = append(program, fmt.Sprint("21 0 1 ", source), fmt.Sprint("6 0 0 ", drop))
		default:
			program = append(program, fmt.Sprint("21 0 4 ", source), fmt.Sprint("32 0 0 ", uint32(random)),
				fmt.Sprint("53 1 0 ", uint32(share*math.MaxUint32)), fmt.Sprint("6 0 0 ", drop), fmt.Sprint("6 0 0 ", uint32(pass)))
		}
	}
	program = append(program, fmt.Sprint("6 0 0 ", uint32(pass)))
	tc, err := tool("tc")
	if err != nil {
		return err
	}
	// What goes to a machine leaves the bridge by its cable; what comes here is
	// taken in from the bridge itself.
	way := "egress"
	if to == n.Here {
		way = "ingress"
	}
	c := exec.Command(tc, "filter", "replace", "dev", to.outer, way, "pref", "1", "handle", "1", "bpf", "da",
		"bytecode", fmt.Sprintf("%d,%s,", len(program), strings.Join(program, ",")))
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("tc filter: %w: %s", err, out)
	}
	return nil
}

// space is a network namespace that nobody has a name for.
type space struct{ file *os.File }

const self = "/proc/thread-self/ns/net"

func newSpace() (s space, err error) {
	err = elsewhere(func() error { return unix.Unshare(unix.CLONE_NEWNET) }, func() error {
		s.file, err = os.Open(self)
		return err
	})
	return s, err
}

// within calls a function in the namespace; what it starts stays there.
func (s space) within(do func() error) error {
	return elsewhere(func() error { return unix.Setns(int(s.file.Fd()), unix.CLONE_NEWNET) }, do)
}

// elsewhere moves the goroutine to another namespace for the time of a call.
func elsewhere(enter, do func() error) error {
	runtime.LockOSThread()
	home, err := os.Open(self)
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer home.Close()
	err = enter()
	if err == nil {
		err = do()
	}
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		return errors.Join(err, back) // the thread ends with the goroutine that is locked to it
	}
	runtime.UnlockOSThread()
	return err
}
