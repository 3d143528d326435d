package syncproto

import "ysync/internal/lib0"

// Dialect is a family of clients, told by their framing.
type Dialect uint8

// The answers of Sniff.
const (
	// Neither: the frame is whole in no dialect.
	Neither Dialect = iota
	// YWebSocket: y-websocket and y-sweet clients.
	YWebSocket
	// Hocuspocus: clients that put the name of a document before each message.
	Hocuspocus
	// Either: the frame reads both ways, and something else must decide, such
	// as a document named in the URL.
	Either
)

var dialectNames = [...]string{
	Neither: "neither", YWebSocket: "y-websocket", Hocuspocus: "hocuspocus", Either: "either",
}

// String returns the name of the dialect, for logs.
func (d Dialect) String() string { return dialectNames[d&3] }

// Sniff tells by the first frame of a client which dialect it speaks. One byte
// does not decide, since a client may start with its awareness state or with
// auth. Each dialect reads the whole frame, to its last byte and into those
// payloads whose form is plain.
func Sniff(frame []byte) Dialect {
	d := Neither
	if sniffYWebSocket(frame) {
		d |= YWebSocket
	}
	if sniffHocuspocus(frame) {
		d |= Hocuspocus
	}
	return d
}

func sniffYWebSocket(frame []byte) bool {
	d := NewDecoder(frame)
	for m, ok := d.Next(); ok; m, ok = d.Next() {
		if !plausible(m) {
			return false
		}
	}
	return d.Err() == nil
}

func plausible(m Message) bool {
	switch m.Kind {
	case KindSyncStep1:
		return isStateVector(m.Payload)
	case KindSyncStep2, KindUpdate:
		return len(m.Payload) >= 2
	case KindAwareness:
		return isAwarenessUpdate(m.Payload)
	case KindAck:
		r := lib0.NewReader(m.Payload)
		r.Uvarint()
		return r.Err() == nil && r.Len() == 0
	default:
		return true
	}
}

// isStateVector says whether b has the form of a state vector: a count and as
// many (client ID, clock), and nothing after it.
func isStateVector(b []byte) bool {
	r := lib0.NewReader(b)
	for n := r.Count(2); n > 0; n-- {
		r.Uvarint()
		r.Uvarint()
	}
	return r.Err() == nil && r.Len() == 0
}

// The messages that a Hocuspocus client sends (its MessageType in
// packages/provider/src/types.ts). The rest travel from a server only.
const (
	hocuspocusSync           = 0
	hocuspocusAwareness      = 1
	hocuspocusAuth           = 2
	hocuspocusQueryAwareness = 3
	hocuspocusStateless      = 5
	hocuspocusClose          = 7
)

// sniffHocuspocus reads text(address) varUint(type) payload, one message to the
// frame. The address is the name of a document, or that name, a NUL and the ID
// of a session.
func sniffHocuspocus(frame []byte) bool {
	r := lib0.NewReader(frame)
	if !isAddress(r.StringBytes()) {
		return false
	}
	switch r.Uvarint() {
	case hocuspocusSync:
		var m Message
		decodeSync(&r, &m)
		if m.Kind == KindUnknown || !plausible(m) {
			return false
		}
	case hocuspocusAwareness:
		if !isAwarenessUpdate(r.Bytes()) {
			return false
		}
	case hocuspocusAuth:
		if r.Uvarint() != 0 {
			return false
		}
		r.StringBytes()
		if r.Len() > 0 {
			r.StringBytes() // version of the provider, from 4 on
		}
	case hocuspocusStateless:
		r.StringBytes()
	case hocuspocusQueryAwareness, hocuspocusClose:
	default:
		return false
	}
	return r.Err() == nil && r.Len() == 0
}

// isAddress refuses what no name of a document holds. Control characters are
// what the lengths and counts of the other dialect look like.
func isAddress(b []byte) bool {
	for i, c := range b {
		if c == 0x7f || c < 0x20 && !(c == 0 && i > 0) {
			return false
		}
	}
	return len(b) > 0
}
