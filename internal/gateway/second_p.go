package gateway

import (
	"os"
	"runtime"
)

// secondP lets a process that has one processor run two goroutines at once while many
// sessions are slowed down. With one, who comes from the network waits until nothing
// else is ready to run, or 10 ms, for each step of a message's way; with two, the kernel
// shares the processor. That costs a fifth of the throughput, so there is one as long as
// nobody asks for more than a share.
type secondP struct {
	on    bool
	calm  int  // looks in a row with few
	fixed bool // the operator has named a number
}

const (
	// manySlowed are the waits over a limit between two looks from which on there are two.
	manySlowed = 16
	// secondFor is after how many looks with fewer there is one again.
	secondFor = 40
)

func newSecondP() secondP { return secondP{fixed: os.Getenv("GOMAXPROCS") != ""} }

// take is told at every look how often sessions were slowed down since the look before.
func (p *secondP) take(slowed uint32) {
	switch {
	case p.fixed:
	case slowed >= manySlowed:
		p.calm = 0
		if !p.on && runtime.GOMAXPROCS(0) == 1 {
			runtime.GOMAXPROCS(2)
			p.on = true
		}
	case p.on:
		if p.calm++; p.calm >= secondFor {
			p.on, p.calm = false, 0
			runtime.SetDefaultGOMAXPROCS()
		}
	}
}
