package awareness

import (
	"iter"
	"time"

	"ysync/internal/lib0"
)

// ForgetAfter is how long after its removal the clock of a client is kept, so
// that late copies of its last state don't bring it back.
const ForgetAfter = 60 * time.Second

// Defaults of Options.
const (
	DefaultMaxStateBytes = 16 << 10
	DefaultMaxPerSession = 8
	DefaultMaxEntries    = 10_000
	DefaultMaxTotalBytes = 8 << 20
	DefaultGrace         = 3 * time.Second
)

// Bounds on clocks. Who could set the clock of another client to the highest
// there is would silence it.
const (
	// MaxClockJump bounds how far one update may raise a known clock: half a
	// year of renewals.
	MaxClockJump = 1_000_000
	// MaxFirstClock bounds the clock of a client not known yet, which may have
	// counted for long. Above it there is room for as many changes again.
	MaxFirstClock = 1 << 52
)

// Options bound the presence of one document. The zero value has the defaults.
type Options struct {
	// MaxStateBytes bounds one state. 0 means DefaultMaxStateBytes.
	MaxStateBytes int
	// MaxPerSession bounds the client IDs that a session speaks for, those that
	// it removed less than ForgetAfter ago included. 0 means
	// DefaultMaxPerSession.
	MaxPerSession int
	// MaxEntries bounds the client IDs that are remembered in all; those removed
	// first make room for new ones. 0 means DefaultMaxEntries.
	MaxEntries int
	// MaxTotalBytes bounds all states together. 0 means DefaultMaxTotalBytes.
	MaxTotalBytes int
	// Grace is how long the states of a session stay after it left, so that a
	// reconnect shows no gap. 0 means DefaultGrace, less than 0 none, and more
	// than OutdatedAfter means OutdatedAfter.
	Grace time.Duration
}

func (o Options) withDefaults() Options {
	orDefault := func(n *int, d int) {
		if *n <= 0 {
			*n = d
		}
	}
	orDefault(&o.MaxStateBytes, DefaultMaxStateBytes)
	orDefault(&o.MaxPerSession, DefaultMaxPerSession)
	orDefault(&o.MaxEntries, DefaultMaxEntries)
	orDefault(&o.MaxTotalBytes, DefaultMaxTotalBytes)
	if o.Grace == 0 {
		o.Grace = DefaultGrace
	}
	o.Grace = min(max(o.Grace, 0), OutdatedAfter)
	return o
}

// Presence is what a server keeps of who is in one document, and which session
// speaks for whom. A session is named by an opaque key that is not used again
// after Leave, and acts for a subject; without authentication the subject is "".
//
// Every state that a client is sent, stock clients send back. Such a reflection
// has a clock that is known already and is dropped by that, before its JSON is
// looked at and without touching anything: it neither prolongs a presence nor
// moves a client ID to the session that it came through.
//
// Presence is not safe for concurrent use.
type Presence struct {
	opts     Options
	entries  map[uint64]*entry
	sessions map[uint64]*session
	bytes    int // of all states

	// Every entry is in exactly one of these, oldest first. Each list has one
	// lifetime, so what ends next is at its head.
	live    list // has a state, speaks through a session
	leaving list // has a state, its session left
	removed list // has no state

	// Scratch of the running operation.
	round    uint64 // counts operations
	touched  []*entry
	repairs  []*entry
	accepted []uint64
	refused  []Refusal
}

// session is a session that has sent awareness.
type session struct {
	// entries are the client IDs that it speaks for.
	entries []*entry
}

// entry is one client ID. It has a state unless it is in the list of removed.
type entry struct {
	id      uint64
	clock   uint64
	state   []byte   // JSON
	owner   *session // nil after that session left
	subject string   // of the session that spoke for it last

	list       *list
	prev, next *entry
	// at is when the entry came to the end of its list: when it was accepted,
	// when its session left, when it was removed.
	at       time.Time
	accepted uint64 // the last round that did
	repaired uint64 // the last round that did
}

// NewPresence returns the empty presence of a document.
func NewPresence(opts Options) *Presence {
	return &Presence{
		opts:     opts.withDefaults(),
		entries:  map[uint64]*entry{},
		sessions: map[uint64]*session{},
	}
}

// Len returns the number of clients that have a state.
func (p *Presence) Len() int { return p.live.len + p.leaving.len }

// Bytes returns the size of all states.
func (p *Presence) Bytes() int { return p.bytes }

// Client is one client that is present.
type Client struct {
	ID      uint64
	Clock   uint64
	State   []byte // JSON; valid until the next call that changes the presence
	Subject string
}

// Clients yields those present, those whose session just left last.
func (p *Presence) Clients() iter.Seq[Client] {
	return func(yield func(Client) bool) {
		for _, l := range []*list{&p.live, &p.leaving} {
			for e := l.head; e != nil; e = e.next {
				if !yield(Client{e.id, e.clock, e.state, e.subject}) {
					return
				}
			}
		}
	}
}

// AppendAll appends an awareness update with every state, for a session that
// joins. What Expire would remove at now is left out.
func (p *Presence) AppendAll(dst []byte, now time.Time) []byte {
	live, n := p.live.after(now.Add(-OutdatedAfter))
	leaving, m := p.leaving.after(now.Add(-p.opts.Grace))
	dst = lib0.AppendUvarint(dst, uint64(n+m))
	for _, first := range []*entry{live, leaving} {
		for e := first; e != nil; e = e.next {
			dst = appendEntry(dst, e.id, e.clock, e.state)
		}
	}
	return dst
}

// AppendStates appends an awareness update with what is known now of some
// clients, null for those removed. It serves to relay the newest of several
// accepted updates at once. IDs that are not known are left out.
func (p *Presence) AppendStates(dst []byte, clientIDs ...uint64) []byte {
	n := 0
	for _, id := range clientIDs {
		if p.entries[id] != nil {
			n++
		}
	}
	dst = lib0.AppendUvarint(dst, uint64(n))
	for _, id := range clientIDs {
		if e := p.entries[id]; e != nil {
			dst = appendEntry(dst, e.id, e.clock, e.state)
		}
	}
	return dst
}

// encode returns an awareness update of the entries, nil if there are none.
func encode(entries []*entry) []byte {
	if len(entries) == 0 {
		return nil
	}
	size := lib0.UvarintLen(uint64(len(entries)))
	for _, e := range entries {
		n := max(len(e.state), len(null))
		size += lib0.UvarintLen(e.id) + lib0.UvarintLen(e.clock) + lib0.UvarintLen(uint64(n)) + n
	}
	dst := lib0.AppendUvarint(make([]byte, 0, size), uint64(len(entries)))
	for _, e := range entries {
		dst = appendEntry(dst, e.id, e.clock, e.state)
	}
	return dst
}
