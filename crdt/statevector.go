package crdt

import (
	"iter"
	"slices"
)

// StateVector says for every client how many of its units are known: clocks
// are exclusive. It is a value that must not be changed; the zero value is the
// state of an empty document.
type StateVector struct {
	// clients are in descending order of their IDs; clocks are not 0.
	clients []clientClock
}

type clientClock struct {
	client ClientID
	clock  Clock
}

func newStateVector(cs []clientClock) StateVector {
	slices.SortFunc(cs, func(a, b clientClock) int {
		switch {
		case a.client > b.client:
			return -1
		case a.client < b.client:
			return 1
		}
		return 0
	})
	return StateVector{cs}
}

// Len is the number of clients.
func (sv StateVector) Len() int { return len(sv.clients) }

// Get is the state of a client, 0 when it is not known.
func (sv StateVector) Get(c ClientID) Clock {
	if len(sv.clients) == 1 { // the common case
		if sv.clients[0].client == c {
			return sv.clients[0].clock
		}
		return 0
	}
	i, ok := slices.BinarySearchFunc(sv.clients, c, func(e clientClock, c ClientID) int {
		switch {
		case e.client > c:
			return -1
		case e.client < c:
			return 1
		}
		return 0
	})
	if !ok {
		return 0
	}
	return sv.clients[i].clock
}

// All yields the clients in descending order with their states.
func (sv StateVector) All() iter.Seq2[ClientID, Clock] {
	return func(yield func(ClientID, Clock) bool) {
		for _, e := range sv.clients {
			if !yield(e.client, e.clock) {
				return
			}
		}
	}
}

// Contains tells whether everything that other knows is known here. It says
// nothing about deletions, which are not in a state vector.
func (sv StateVector) Contains(other StateVector) bool {
	for _, e := range other.clients {
		if sv.Get(e.client) < e.clock {
			return false
		}
	}
	return true
}

// Equal tells whether both hold the same states.
func (sv StateVector) Equal(other StateVector) bool {
	return slices.Equal(sv.clients, other.clients)
}
