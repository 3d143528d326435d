package session

import "time"

// Load is how much a node has to do.
type Load uint32

const (
	// Calm: who sends much takes nothing away from others.
	Calm Load = iota
	// Pressed: what has to be done waits, so everyone gets a fair share.
	Pressed
)

// Over is the bound that a wait is for.
type Over uint8

// The bounds on rates.
const (
	OverNothing Over = iota
	OverMessages
	OverBytes
	OverFair
)

// SpendPart notes that n more bytes of a message under way came at now, and
// returns how long the driver has to wait before it reads more of it. Who
// connects anew for each large message so gains no more than a burst.
func (s *Session) SpendPart(n int, now time.Time) time.Duration {
	return s.bytes.Take(s.limits.bytes, n, int64(s.at(now)))
}

// Spend notes that a message of n bytes, of which paid were noted before, came at
// now, under a load of the node, and returns how long the driver has to wait
// before it reads the next, and for which bound. Nothing is refused or dropped
// over it: TCP tells the client.
func (s *Session) Spend(n, paid int, load Load, now time.Time) (time.Duration, Over) {
	at := int64(s.at(now))
	wait, over := s.messages.Take(s.limits.messages, 1, at), OverMessages
	if w := s.bytes.Take(s.limits.bytes, n-paid, at); w > wait {
		wait, over = w, OverBytes
	}
	if load == Pressed {
		if w := s.fair.Take(s.limits.fair, 1+n/fairUnit, at); w > wait {
			wait, over = w, OverFair
		}
	}
	if wait == 0 {
		over = OverNothing
	}
	return wait, over
}
