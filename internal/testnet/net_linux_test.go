package testnet

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"
)

// TestMain is also the program that a machine of the test runs: it echoes what
// it gets by UDP.
func TestMain(m *testing.M) {
	if at := os.Getenv("ECHO"); at != "" {
		fmt.Fprintln(os.Stderr, echo(at))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func echo(at string) error {
	l, err := net.ListenPacket("udp", at)
	if err != nil {
		return err
	}
	var b [64]byte
	for {
		n, from, err := l.ReadFrom(b[:])
		if err != nil {
			return err
		}
		if _, err := l.WriteTo(b[:n], from); err != nil {
			return err
		}
	}
}

// Machines reach one another until they are cut off, in either direction, lose
// what they are to lose, and reach one another again.
func TestNet(t *testing.T) {
	if !Alone(t) {
		return
	}
	n, err := New()
	if err != nil {
		t.Fatal(err)
	}
	far, err := n.Add("far")
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), os.Args[0])
	c.Env = append(os.Environ(), "ECHO="+far.IP()+":7")
	if err := far.Start(c); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Wait() }()
	defer c.Process.Kill()
	conn, err := net.Dial("udp", far.IP()+":7")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	sequence := 0
	// answered tells how many of so many packets are answered, each within a while.
	answered := func(packets int, within time.Duration) (got int) {
		for range packets {
			sequence++
			want := fmt.Append(nil, sequence)
			if _, err := conn.Write(want); err != nil {
				continue // nobody is at the port yet
			}
			if err := conn.SetReadDeadline(time.Now().Add(within)); err != nil {
				t.Fatal(err)
			}
			var b [64]byte
			for {
				size, err := conn.Read(b[:])
				if err != nil {
					break
				}
				if bytes.Equal(b[:size], want) {
					got++
					break
				}
			}
		}
		return got
	}
	for start := time.Now(); answered(1, 100*time.Millisecond) == 0; {
		if time.Since(start) > 30*time.Second {
			t.Fatal("the machine is not reached")
		}
	}
	lose := func(from, to *Host, share float64) {
		t.Helper()
		if err := n.Lose(from, to, share); err != nil {
			t.Fatal(err)
		}
	}
	for _, way := range [][2]*Host{{n.Here, far}, {far, n.Here}} {
		lose(way[0], way[1], 1)
		if got := answered(3, 50*time.Millisecond); got > 0 {
			t.Errorf("cut off from %v to %v, %d answers", way[0], way[1], got)
		}
		lose(way[0], way[1], 0)
		if answered(1, 30*time.Second) != 1 {
			t.Errorf("not reached after the cut from %v to %v", way[0], way[1])
		}
	}
	lose(far, n.Here, 0.5)
	if got := answered(60, 100*time.Millisecond); got < 5 || got > 55 {
		t.Errorf("half of 60 is to be lost, %d were answered", got)
	}
	if err := n.Heal(); err != nil {
		t.Fatal(err)
	}
	if answered(1, 30*time.Second) != 1 {
		t.Error("not reached after all is healed")
	}
}
