package crdt

import (
	"cmp"
	"fmt"
	"iter"
	"slices"

	"ysync/internal/lib0"
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
	slices.SortFunc(cs, compareClients)
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
	i, ok := slices.BinarySearchFunc(sv.clients, clientClock{client: c}, compareClients)
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

// DecodeStateVector reads a state vector (Yjs: decodeStateVector). It allocates at
// most eight times the input. Bytes after it are ignored, as in Yjs. The error is
// an *UpdateError.
func DecodeStateVector(b []byte) (StateVector, error) {
	r := lib0.NewReader(b)
	n := r.Count(2)
	cs := make([]clientClock, 0, n)
	for ; n > 0 && r.Err() == nil; n-- {
		c, clock := r.Uvarint(), r.Uvarint()
		if r.Err() == nil {
			cs = append(cs, clientClock{ClientID(c), Clock(clock)})
		}
	}
	if err := r.Err(); err != nil {
		return StateVector{}, &UpdateError{r.Off(), fmt.Errorf("%w: state vector: %w", ErrMalformed, err)}
	}
	// Of entries for the same client the last one counts.
	slices.Reverse(cs)
	slices.SortStableFunc(cs, compareClients)
	cs = slices.CompactFunc(cs, func(a, b clientClock) bool { return a.client == b.client })
	kept := cs[:0]
	for _, e := range cs {
		if e.clock > 0 {
			kept = append(kept, e)
		}
	}
	return StateVector{kept}, nil
}

// AppendStateVector appends a state vector, clients in descending order
// (Yjs: encodeStateVector).
func AppendStateVector(dst []byte, sv StateVector) []byte {
	dst = lib0.AppendUvarint(dst, uint64(len(sv.clients)))
	for _, e := range sv.clients {
		dst = lib0.AppendUvarint(lib0.AppendUvarint(dst, uint64(e.client)), uint64(e.clock))
	}
	return dst
}

// compareClients orders by descending client.
func compareClients(a, b clientClock) int { return cmp.Compare(b.client, a.client) }
