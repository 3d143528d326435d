package awareness

import (
	"bytes"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"ysync/internal/lib0"
)

// The times of y-protocols awareness.js, which every client keeps.
const (
	// OutdatedAfter is the silence after which a client is taken for gone.
	OutdatedAfter = 30 * time.Second
	// RenewAfter is the age at which a client sends its own state again.
	RenewAfter = OutdatedAfter / 2
	// CheckEvery is how often a client looks at the two above.
	CheckEvery = OutdatedAfter / 10
)

// Change says what an operation did to the states. Client IDs ascend.
//
// Clients report a change event if IsChange and an update event if IsUpdate;
// it is the update event that makes a provider send.
type Change struct {
	// Added: a state of a client that was never heard of.
	Added []uint64
	// Updated: any other new state, also one equal to the old (a renewal), and
	// that of a client which had been removed.
	Updated []uint64
	// Changed is the part of Updated whose states differ from what was there.
	Changed []uint64
	// Removed: the state is null now.
	Removed []uint64
}

// IsChange says whether what is shown of anyone changed.
func (c Change) IsChange() bool { return len(c.Added)+len(c.Changed)+len(c.Removed) > 0 }

// IsUpdate says whether anything changed, clocks included.
func (c Change) IsUpdate() bool { return len(c.Added)+len(c.Updated)+len(c.Removed) > 0 }

// Clients returns the IDs that a provider sends: added, updated and removed.
func (c Change) Clients() []uint64 { return slices.Concat(c.Added, c.Updated, c.Removed) }

type meta struct {
	clock   uint64
	updated time.Time
}

// Awareness is a client's replica of who is present, itself included, to the
// letter of y-protocols 1.0.7 awareness.js (class Awareness). States are JSON
// text, kept as it came: what Yjs reads and prints again, this passes on.
//
// It is for clients, tests and tools: it has no bounds. It is not safe for
// concurrent use.
type Awareness struct {
	clientID uint64
	states   map[uint64][]byte
	// meta has the clock of every client ever heard of, removed ones included.
	meta map[uint64]meta
}

// New returns a replica whose own state is {} at clock 0.
func New(clientID uint64, now time.Time) *Awareness {
	return &Awareness{
		clientID: clientID,
		states:   map[uint64][]byte{clientID: []byte("{}")},
		meta:     map[uint64]meta{clientID: {updated: now}},
	}
}

// ClientID returns the ID of the client whose replica it is.
func (a *Awareness) ClientID() uint64 { return a.clientID }

// LocalState returns the client's own state, nil if it is null. Like
// y-protocols it takes false, 0 and "" for null.
func (a *Awareness) LocalState() []byte {
	if s, ok := a.states[a.clientID]; ok && !isFalsy(s) {
		return s
	}
	return nil
}

// State returns a client's state, nil if it has none.
func (a *Awareness) State(clientID uint64) []byte { return a.states[clientID] }

// States yields the clients that have a state, by ascending ID.
func (a *Awareness) States() iter.Seq2[uint64, []byte] {
	return func(yield func(uint64, []byte) bool) {
		for _, id := range slices.Sorted(maps.Keys(a.states)) {
			if !yield(id, a.states[id]) {
				return
			}
		}
	}
}

// Clocks yields the clock of every client ever heard of, by ascending ID.
func (a *Awareness) Clocks() iter.Seq2[uint64, uint64] {
	return func(yield func(uint64, uint64) bool) {
		for _, id := range slices.Sorted(maps.Keys(a.meta)) {
			if !yield(id, a.meta[id].clock) {
				return
			}
		}
	}
}

// SetLocalState sets the client's own state and raises its clock. The state is
// JSON text, copied; nil or null takes the client away.
func (a *Awareness) SetLocalState(state []byte, now time.Time) (Change, error) {
	if state != nil {
		if err := checkJSON(state); err != nil {
			return Change{}, &Error{Err: err}
		}
	}
	return a.setLocal(bytes.Clone(state), now), nil
}

func (a *Awareness) setLocal(state []byte, now time.Time) Change {
	id := a.clientID
	prev, had := a.states[id]
	a.meta[id] = meta{clock: a.meta[id].clock + 1, updated: now}
	self := []uint64{id}
	if state == nil || isNull(state) {
		delete(a.states, id)
		return Change{Removed: self}
	}
	a.states[id] = state
	switch {
	case !had:
		return Change{Added: self}
	case equalJSON(prev, state):
		return Change{Updated: self}
	default:
		return Change{Updated: self, Changed: self}
	}
}

// SetLocalStateField sets one field of the client's own state, which must be an
// object, and does nothing while that state is null.
func (a *Awareness) SetLocalStateField(key string, value []byte, now time.Time) (Change, error) {
	state := a.LocalState()
	if state == nil {
		return Change{}, nil
	}
	state, err := SetField(state, key, value)
	if err != nil {
		return Change{}, err
	}
	return a.setLocal(state, now), nil
}

// Remove takes the states of clients away without raising their clocks, except
// the own one (removeAwarenessStates).
func (a *Awareness) Remove(clientIDs []uint64, now time.Time) Change {
	var c Change
	for _, id := range clientIDs {
		if _, ok := a.states[id]; !ok {
			continue
		}
		delete(a.states, id)
		if id == a.clientID {
			a.meta[id] = meta{clock: a.meta[id].clock + 1, updated: now}
		}
		c.Removed = append(c.Removed, id)
	}
	slices.Sort(c.Removed)
	return c
}

// Check is what a client does every CheckEvery: it renews its own state when
// that is RenewAfter old, and removes the others that have been silent for
// OutdatedAfter. The two are reported apart, the renewal first.
func (a *Awareness) Check(now time.Time) (renewal, timeout Change) {
	if s := a.LocalState(); s != nil && now.Sub(a.meta[a.clientID].updated) >= RenewAfter {
		renewal = a.setLocal(s, now)
	}
	var gone []uint64
	for id := range a.states {
		if id != a.clientID && now.Sub(a.meta[id].updated) >= OutdatedAfter {
			gone = append(gone, id)
		}
	}
	return renewal, a.Remove(gone, now)
}

// AppendUpdate appends an awareness update with what is known of the clients,
// null for those removed. A client never heard of is an error
// (encodeAwarenessUpdate).
func (a *Awareness) AppendUpdate(dst []byte, clientIDs ...uint64) ([]byte, error) {
	start := len(dst)
	dst = lib0.AppendUvarint(dst, uint64(len(clientIDs)))
	for _, id := range clientIDs {
		m, ok := a.meta[id]
		if !ok {
			return dst[:start], fmt.Errorf("awareness: client %d is unknown", id)
		}
		state := a.states[id]
		if state != nil && isFalsy(state) {
			state = nil
		}
		dst = appendEntry(dst, id, m.clock, state)
	}
	return dst, nil
}
