// Package testnet gives the servers of a test machines of their own: network
// namespaces on one bridge, where what goes from one to another can be cut off
// or lost. Everything ends with the test's process and shows nowhere else.
package testnet

import "os/exec"

// Host is a machine. The nil Host is the one that the test runs on, with its
// loopback interface.
type Host struct {
	// Name is for people.
	Name string

	ip    string
	outer string // the other end of its cable, at the bridge
	start func(*exec.Cmd) error
	close func() error
}

// IP is the address at which the others reach it.
func (h *Host) IP() string {
	if h == nil {
		return "127.0.0.1"
	}
	return h.ip
}

// Start starts a command on it.
func (h *Host) Start(c *exec.Cmd) error {
	if h == nil || h.start == nil {
		return c.Start()
	}
	return h.start(c)
}

// String is its name.
func (h *Host) String() string {
	if h == nil {
		return "here"
	}
	return h.Name
}
