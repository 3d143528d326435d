package awareness

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Outcome is what came of one awareness update.
type Outcome struct {
	// Relay is an awareness update of what was accepted, for the other
	// sessions; nil if nothing was. Each client is in it once.
	Relay []byte
	// Repair is an awareness update for the session that sent, nil if it needs
	// none. It removes clients whom the session shows under a clock that the
	// others don't listen to any more. The client that it is about raises its
	// clock and sends its state again.
	Repair []byte
	// Accepted are the client IDs in Relay; valid until the next call.
	Accepted []uint64
	// Renewal says that of what was accepted only the clocks are new. It may be
	// relayed later, as long as the other clients hear of it within
	// OutdatedAfter of the time before.
	Renewal bool
	// Refused is what broke a rule, at most MaxRefusals of it; valid until the
	// next call. A reflection breaks none.
	Refused []Refusal
}

// MaxRefusals bounds Outcome.Refused.
const MaxRefusals = 16

// Reason is why an entry was refused.
type Reason uint8

// The reasons.
const (
	// ReasonSubject: the client ID belongs to a session of another subject.
	ReasonSubject Reason = iota + 1
	// ReasonClock: the clock is ahead by more than MaxClockJump, or the first
	// one beyond MaxFirstClock.
	ReasonClock
	// ReasonStateSize: the state exceeds Options.MaxStateBytes.
	ReasonStateSize
	// ReasonSessionFull: the session speaks for Options.MaxPerSession clients
	// already. Tabs of one browser send each other's states, so that many tabs
	// run into it, and lose nothing by it: each one sends its own.
	ReasonSessionFull
	// ReasonDocumentFull: there are Options.MaxEntries clients already, or
	// Options.MaxTotalBytes of states.
	ReasonDocumentFull
)

var reasonNames = [...]string{
	ReasonSubject:      "other subject",
	ReasonClock:        "clock jump",
	ReasonStateSize:    "state too large",
	ReasonSessionFull:  "too many clients of one session",
	ReasonDocumentFull: "presence of the document full",
}

// String returns the reason in words, for logs and metric labels.
func (r Reason) String() string {
	if int(r) < len(reasonNames) && r > 0 {
		return reasonNames[r]
	}
	return "Reason(" + strconv.Itoa(int(r)) + ")"
}

// Label is the reason in one word with underscores, for the label of a metric.
func (r Reason) Label() string { return strings.ReplaceAll(r.String(), " ", "_") }

// Refusal is one entry that was not taken in.
type Refusal struct {
	ClientID uint64
	Reason   Reason
}

// Apply takes in an awareness update from a session. An update that does not
// decode, or with a new state that is not JSON, is an *Error and changes
// nothing. A single entry is accepted
//
//   - if its clock is newer than the known one. It then moves the client ID to
//     this session, unless the ID belongs to another subject;
//   - if its clock is the known one, it removes, and the client ID is this
//     session's: that is how y-websocket says goodbye. Others say it too, when
//     they lost their own connection or their patience, and are not obeyed.
//
// Anything else is older than what is known and is dropped. (y-protocols
// awareness.js applyAwarenessUpdate, narrowed by the last rule.)
func (p *Presence) Apply(key uint64, subject string, update []byte, now time.Time) (Outcome, error) {
	entries, news, err := p.examine(update)
	if err != nil || entries == 0 {
		return Outcome{}, err
	}
	s := p.sessions[key]
	firstWord := s == nil
	if firstWord {
		s = &session{}
		p.sessions[key] = s
	}
	if !news {
		return Outcome{}, nil
	}
	p.begin()
	renewal := true
	d := NewDecoder(update)
	for e, ok := d.Next(); ok; e, ok = d.Next() {
		known := p.entries[e.ClientID]
		if known != nil && e.Clock <= known.clock {
			p.older(s, subject, known, e, now, firstWord && entries == 1)
			continue
		}
		if reason := p.judge(s, subject, known, e); reason != 0 {
			if len(p.refused) < MaxRefusals {
				p.refused = append(p.refused, Refusal{e.ClientID, reason})
			}
			continue
		}
		renewal = p.newer(s, subject, known, e, now) && renewal
	}
	for _, e := range p.touched {
		p.accepted = append(p.accepted, e.id)
	}
	out := Outcome{
		Relay:    encode(p.touched),
		Repair:   encodeRemovals(p.repairs),
		Accepted: p.accepted,
		Refused:  p.refused,
	}
	out.Renewal = renewal && out.Relay != nil
	return out, nil
}

// examine decodes the whole update and checks every state that may be taken in.
// It counts the entries and says whether any of them is more than a reflection.
// It looks into no state whose clock is known.
func (p *Presence) examine(update []byte) (entries int, news bool, err error) {
	d := NewDecoder(update)
	for e, ok := d.Next(); ok; e, ok = d.Next() {
		entries++
		known := p.entries[e.ClientID]
		switch {
		case known == nil && e.Clock == 0:
		case known != nil && e.Clock <= known.clock:
			news = news || known.mayMatter(e)
		case e.Removes():
			news = true
		default:
			news = true
			if len(e.State) > p.opts.MaxStateBytes || known.holds(e.State) {
				continue
			}
			if err := e.CheckState(); err != nil {
				return 0, false, err
			}
		}
	}
	return entries, news, d.Err()
}

// mayMatter says whether an entry whose clock is known already may be more than
// a reflection of what is held: a goodbye at the known clock, or the word of a
// client that is held for gone.
func (known *entry) mayMatter(e Entry) bool {
	if known.owner == nil || known.state == nil {
		return true
	}
	return e.Clock == known.clock && e.Removes()
}

// holds says whether the state is the one held, byte for byte.
func (known *entry) holds(state []byte) bool {
	return known != nil && known.state != nil && bytes.Equal(known.state, state)
}

func (p *Presence) begin() {
	p.round++
	p.touched = p.touched[:0]
	p.repairs = p.repairs[:0]
	p.accepted = p.accepted[:0]
	p.refused = p.refused[:0]
}

// older takes an entry whose clock is not newer than the known one. ownWord
// says that the session has said nothing else so far.
func (p *Presence) older(s *session, subject string, known *entry, e Entry, now time.Time, ownWord bool) {
	switch {
	case e.Removes():
		if e.Clock == known.clock && known.state != nil && known.owner == s {
			p.remove(known, now)
			p.touch(known)
		}
	case !known.mayMoveTo(s, subject):
	case known.state == nil, known.owner == nil && ownWord:
		// A client that came back under the clock at which it was removed, or
		// is about to be. Everyone knows that clock and will not listen. The
		// first thing that a client sends on a connection is its own state; a
		// later one may be a reflection, and to repair that would remove the
		// client from the view of one who is only watching. If it is removed
		// already, such a repair says nothing new.
		if known.repaired != p.round {
			known.repaired = p.round
			p.repairs = append(p.repairs, known)
		}
	}
}

// mayMoveTo says whether the session may speak for the client ID.
func (known *entry) mayMoveTo(s *session, subject string) bool {
	return known.owner == s || known.subject == subject || known.subject == ""
}

// judge says why an entry with a newer clock can't be taken in, or 0. It makes
// no changes.
func (p *Presence) judge(s *session, subject string, known *entry, e Entry) Reason {
	removes := e.Removes()
	if known == nil {
		switch {
		case removes || e.Clock == 0:
			return 0
		case e.Clock > MaxFirstClock:
			return ReasonClock
		case len(p.entries) >= p.opts.MaxEntries && !p.hasRoom():
			return ReasonDocumentFull
		}
	} else {
		switch {
		case !known.mayMoveTo(s, subject):
			return ReasonSubject
		case e.Clock-known.clock > MaxClockJump:
			return ReasonClock
		case removes:
			return 0
		}
	}
	switch {
	case len(e.State) > p.opts.MaxStateBytes:
		return ReasonStateSize
	case (known == nil || known.owner != s) && len(s.entries) >= p.opts.MaxPerSession:
		return ReasonSessionFull
	case p.bytes-known.size()+len(e.State) > p.opts.MaxTotalBytes:
		return ReasonDocumentFull
	}
	return 0
}

// hasRoom says whether a removed entry can be forgotten. What this round removed
// can't: nobody has been told yet.
func (p *Presence) hasRoom() bool {
	oldest := p.removed.head
	return oldest != nil && oldest.accepted != p.round
}

func (known *entry) size() int {
	if known == nil {
		return 0
	}
	return len(known.state)
}

// newer takes in an entry with a newer clock that was judged and found good. It
// says whether only the clock is new.
func (p *Presence) newer(s *session, subject string, known *entry, e Entry, now time.Time) bool {
	if e.Removes() {
		// Nobody shows a client that was never heard of, or is removed.
		if known == nil {
			return true
		}
		known.clock = e.Clock
		if known.state == nil {
			p.removed.move(known, now)
			return true
		}
		p.remove(known, now)
		p.touch(known)
		return false
	}
	if known == nil {
		if e.Clock == 0 {
			return true
		}
		if len(p.entries) >= p.opts.MaxEntries {
			p.forget(p.removed.head)
		}
		known = &entry{id: e.ClientID}
		p.entries[known.id] = known
	}
	same := known.holds(e.State)
	if !same {
		p.bytes += len(e.State) - len(known.state)
		known.state = replace(known.state, e.State)
	}
	known.clock = e.Clock
	known.subject = subject
	p.bind(known, s)
	p.live.move(known, now)
	p.touch(known)
	return same
}

// replace returns a copy of state, in the memory of old if that fits without
// waste.
func replace(old, state []byte) []byte {
	if c := cap(old); c < len(state) || c > 2*len(state)+64 {
		old = make([]byte, 0, len(state))
	}
	return append(old[:0], state...)
}

// touch notes that the entry is to be relayed.
func (p *Presence) touch(e *entry) {
	if e.accepted != p.round {
		e.accepted = p.round
		p.touched = append(p.touched, e)
	}
}

// bind makes the session the one that speaks for the entry; nil makes it none.
func (p *Presence) bind(e *entry, s *session) {
	if e.owner == s {
		return
	}
	if old := e.owner; old != nil {
		i := slices.Index(old.entries, e)
		old.entries = slices.Delete(old.entries, i, i+1)
	}
	if s != nil {
		s.entries = append(s.entries, e)
	}
	e.owner = s
}
