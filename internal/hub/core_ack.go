package hub

import (
	"slices"
	"time"

	"ysync/internal/fault"
	"ysync/persistence"
	"ysync/syncproto"
)

// ackWait is an acknowledgement that a client asked for.
type ackWait struct {
	payload []byte
	version persistence.Position // what must be committed
	at      time.Time
}

const (
	// maxAcks bounds the acknowledgements that wait for one session. Beyond it
	// a request takes the place of the one before: an acknowledgement stands
	// for everything sent before it, so nothing is left without one.
	maxAcks = 1024
	// keepaliveAfter and keepaliveEvery: y-sweet clients give up a connection
	// when an acknowledgement is late by 3 s and nothing else comes in.
	keepaliveAfter = 1500 * time.Millisecond
	keepaliveEvery = 2 * time.Second
)

// notYet is the version of an acknowledgement that was asked for while
// something that the session sent before it is pending or was set aside.
const notYet = ^persistence.Position(0)

// wantAck notes that everything that s sent so far is to be acknowledged.
func (c *core) wantAck(s *Subscription, payload []byte) {
	a := ackWait{payload, c.version, c.now}
	if s.at.pending || s.at.owes || s.at.refused {
		a.version = notYet
	}
	if n := len(s.at.acks); n == maxAcks {
		s.at.acks[n-1] = a
		return
	}
	s.at.acks = append(s.at.acks, a)
	if !s.at.waiting {
		s.at.waiting = true
		c.acking = append(c.acking, s)
	}
	c.answerAcksOf(s)
}

// raiseAcks is called when something of s that was missing has been applied.
// What waited for it now waits for the commit of what was applied until now.
func (c *core) raiseAcks(s *Subscription) {
	if s.at.pending || s.at.owes || s.at.refused {
		return
	}
	for i := range s.at.acks {
		if s.at.acks[i].version == notYet {
			s.at.acks[i].version = c.version
		}
	}
	c.answerAcksOf(s)
}

// answerAcksOf answers, in order, the requests whose version is committed.
func (c *core) answerAcksOf(s *Subscription) {
	at := &s.at
	durable := c.committed
	if fault.Active(fault.AckBeforeCommit) {
		durable = c.version
	}
	n := 0
	for n < len(at.acks) && at.acks[n].version <= durable {
		a := &at.acks[n]
		c.control(s, syncproto.AppendAck(nil, a.payload))
		c.opt.count.acks.Inc()
		c.opt.count.ackSeconds.Observe(c.now.Sub(a.at).Seconds())
		n++
	}
	if n == 0 {
		return
	}
	left := copy(at.acks, at.acks[n:])
	clear(at.acks[left:])
	at.acks = at.acks[:left]
	if left == 0 && cap(at.acks) > 4 {
		at.acks = nil
	}
}

// answerAcks answers what a commit made due.
func (c *core) answerAcks() {
	for _, s := range c.acking {
		if !s.gone() {
			c.answerAcksOf(s)
		}
	}
}

// awaited tells whether anything but durability itself hangs on the next
// commit: an acknowledgement, a frame that tells of one, a snapshot, the end of
// the process, updates that are set aside until the log has caught up.
func (c *core) awaited() bool {
	if c.committed == c.version {
		return false
	}
	if len(c.held) > 0 || len(c.changes) > 0 || c.draining || len(c.releases) > 0 || c.discarding || c.stored.frozen != nil {
		return true
	}
	return slices.ContainsFunc(c.acking, func(s *Subscription) bool {
		return len(s.at.acks) > 0 && s.at.acks[0].version != notYet
	})
}

// keepAlive keeps clients that wait for a late acknowledgement, and forgets who
// waits no more.
func (c *core) keepAlive() {
	n := 0
	for _, s := range c.acking {
		if s.gone() || len(s.at.acks) == 0 {
			s.at.waiting = false
			continue
		}
		c.acking[n] = s
		n++
		if c.now.Sub(s.at.acks[0].at) >= keepaliveAfter && c.now.Sub(s.at.keepalive) >= keepaliveEvery {
			s.at.keepalive = c.now
			c.control(s, syncproto.Keepalive)
		}
	}
	clear(c.acking[n:])
	c.acking = c.acking[:n]
}
