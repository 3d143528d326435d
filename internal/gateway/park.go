package gateway

import (
	"errors"
	"os"
	"time"
)

// An idle reader has a stack that has grown with the messages it read, to twice
// what waiting alone needs. After parkAfter the sweeper has it give way to a
// goroutine that only waits, and starts a reader when something comes.
const parkAfter = time.Second

// The phases of a reader.
type phase uint8

const (
	phaseBusy    phase = iota // it reads, or waits inside a message or after a ping
	phaseWaiting              // it waits for a message to begin
	phaseLeaving              // it was told to give way
	phaseParked               // a goroutine with a small stack waits in its place
)

// await waits until a message begins that the WebSocket library has to read;
// whole ones are taken without it meanwhile. It returns false if the calling reader
// has to end, as another goroutine waits in its place.
func (c *conn) await() bool {
	if c.socket.rc == nil {
		return true
	}
	c.enter(phaseWaiting)
	err := c.socket.await(c.arrived)
	if c.enter(phaseBusy) == phaseLeaving && errors.Is(err, os.ErrDeadlineExceeded) {
		c.enter(phaseParked)
		go c.parked()
		return false
	}
	return true // the next read tells what the error was
}

// arrived reads what has come and takes the messages that are whole. It returns
// false when nothing is left and more can be waited for. The descriptor is polled
// edge-triggered, so after a read that leaves room nothing can be read until the
// next edge, and there is no need to ask. Only an end of the stream that came
// together with the last bytes makes no edge of its own: it is found when the
// reader is told to give way, if no frame to write finds it before.
func (c *conn) arrived(fd uintptr) bool {
	for {
		came := c.socket.readAhead(fd)
		if came == aheadNothing {
			return false
		}
		if came == aheadOver {
			return true
		}
		c.enter(phaseBusy)
		if !c.takeMessages() {
			return true
		}
		c.enter(phaseWaiting)
		if came == aheadAll {
			return false
		}
	}
}

// takeMessages takes the messages that were read ahead, and reports whether that
// was all of it.
func (c *conn) takeMessages() bool {
	for {
		message, ok := c.socket.takeMessage()
		if !ok {
			break
		}
		c.message(message)
	}
	c.run()
	return len(c.socket.ahead) == 0
}

// parked waits in place of a reader.
func (c *conn) parked() {
	_ = c.socket.await(c.socket.tryAhead)
	go c.read()
}

// enter changes the phase and returns the one before. Who leaves phaseLeaving
// takes back the deadline that park set, but not one that the end of the
// connection set.
func (c *conn) enter(next phase) (before phase) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before, c.phase = c.phase, next
	if next == phaseWaiting {
		c.waiting = c.server.now()
	}
	if before == phaseLeaving && c.ending == nil {
		_ = c.socket.SetReadDeadline(time.Time{})
	}
	return before
}

// park disturbs a reader that has been waiting for long. It must be called
// with c.mu.
func (c *conn) park(now time.Time) {
	if c.phase == phaseWaiting && now.Sub(c.waiting) >= parkAfter && c.ending == nil {
		c.phase = phaseLeaving
		_ = c.socket.SetReadDeadline(time.Unix(1, 0))
	}
}
