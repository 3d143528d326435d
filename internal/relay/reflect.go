package relay

import (
	"slices"

	"ysync/awareness"
	"ysync/syncproto"
)

// told is the presence that the owner has told the sessions of a node. Stock
// clients send back every state that they are told: with a thousand readers at
// a node each change of one would cross to the owner a thousand times, to be
// found old there.
type told map[uint64]toldState

// toldState is the newest state that was told of a client.
type toldState struct {
	clock   uint64
	removed bool
}

// maxTold bounds the clients of a told. Beyond it all are forgotten, which costs
// crossings.
const maxTold = 1 << 14

// note takes in a frame of the owner.
func (k told) note(frame []byte) {
	d := syncproto.NewDecoder(frame)
	m, ok := d.Next()
	if !ok || m.Kind != syncproto.KindAwareness {
		return
	}
	entries := awareness.NewDecoder(m.Payload)
	for e, ok := entries.Next(); ok; e, ok = entries.Next() {
		if len(k) >= maxTold {
			clear(k)
		}
		if known, ok := k[e.ClientID]; !ok || e.Clock >= known.clock {
			k[e.ClientID] = toldState{e.Clock, e.Removes()}
		}
	}
}

// reflects tells whether an update of a session says nothing but what its node
// was told, and nothing of the clients that the session speaks for: the owner
// would do nothing about it. What a session says first is never a reflection: a
// client that comes back has the clock of before.
func (k told) reflects(update []byte, own []uint64) bool {
	if own == nil {
		return false
	}
	d := awareness.NewDecoder(update)
	for e, ok := d.Next(); ok; e, ok = d.Next() {
		known, ok := k[e.ClientID]
		switch {
		case !ok || e.Clock > known.clock || slices.Contains(own, e.ClientID):
			return false
		case e.Removes() != known.removed && (known.removed || e.Clock == known.clock):
			// It says that a client lives that was removed, or the other way round.
			return false
		}
	}
	return d.Err() == nil
}
