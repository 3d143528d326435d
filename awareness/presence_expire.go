package awareness

import (
	"time"

	"ysync/internal/lib0"
)

// Leave says that a session has ended. The states of the clients it spoke for
// stay for the time of grace, for the case that they come back through another
// session; then Expire removes them.
func (p *Presence) Leave(key uint64, now time.Time) {
	for _, e := range p.detach(key) {
		e.owner = nil
		if e.state != nil {
			p.leaving.move(e, now)
		}
	}
}

// Evict ends a session without grace and returns the awareness update that
// tells the others, nil if it showed nobody.
func (p *Presence) Evict(key uint64, now time.Time) []byte {
	p.begin()
	for _, e := range p.detach(key) {
		e.owner = nil
		if e.state != nil {
			p.remove(e, now)
			p.touch(e)
		}
	}
	return encode(p.touched)
}

func (p *Presence) detach(key uint64) []*entry {
	s := p.sessions[key]
	if s == nil {
		return nil
	}
	delete(p.sessions, key)
	return s.entries
}

// Expire removes the clients whose session left longer than the grace ago and
// those silent for OutdatedAfter, and forgets those removed ForgetAfter ago. It
// returns the awareness update that tells the sessions, nil if there is nothing
// to tell. It goes to all of them: a client that was removed wrongly hears of
// it, raises its clock and comes back.
//
// A removal has the clock of the state that it removes, as when a client
// removes another. A higher one would silence a client that comes back for
// longer.
func (p *Presence) Expire(now time.Time) []byte {
	p.begin()
	for e := p.leaving.due(now.Add(-p.opts.Grace)); e != nil; e = p.leaving.due(now.Add(-p.opts.Grace)) {
		p.remove(e, now)
		p.touch(e)
	}
	for e := p.live.due(now.Add(-OutdatedAfter)); e != nil; e = p.live.due(now.Add(-OutdatedAfter)) {
		p.remove(e, now)
		p.touch(e)
	}
	for e := p.removed.due(now.Add(-ForgetAfter)); e != nil; e = p.removed.due(now.Add(-ForgetAfter)) {
		p.forget(e)
	}
	return encode(p.touched)
}

// NextExpiry returns when Expire has something to do next, the zero time if
// nothing is waiting. Every call that changes the presence may change it.
func (p *Presence) NextExpiry() time.Time {
	var next time.Time
	for _, l := range []struct {
		*list
		lifetime time.Duration
	}{{&p.leaving, p.opts.Grace}, {&p.live, OutdatedAfter}, {&p.removed, ForgetAfter}} {
		if l.head == nil {
			continue
		}
		if at := l.head.at.Add(l.lifetime); next.IsZero() || at.Before(next) {
			next = at
		}
	}
	return next
}

// remove takes the state of an entry away. Its clock, session and subject stay.
func (p *Presence) remove(e *entry, now time.Time) {
	p.bytes -= len(e.state)
	e.state = nil
	p.removed.move(e, now)
}

// forget drops what is known of an entry that was removed.
func (p *Presence) forget(e *entry) {
	p.bind(e, nil)
	e.unlink()
	delete(p.entries, e.id)
}

// encodeRemovals returns an awareness update that removes the entries at their
// known clocks, nil if there are none.
func encodeRemovals(entries []*entry) []byte {
	if len(entries) == 0 {
		return nil
	}
	dst := lib0.AppendUvarint(nil, uint64(len(entries)))
	for _, e := range entries {
		dst = appendEntry(dst, e.id, e.clock, nil)
	}
	return dst
}
