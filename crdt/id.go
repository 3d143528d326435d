package crdt

// ClientID names one replica of a document. It has at most 53 bits, so that
// it fits a JavaScript number. Two replicas must never share one: the same ID
// and clock with different content diverges for ever.
type ClientID uint64

// MaxClientID is the largest client ID, 2^53-1.
const MaxClientID ClientID = 1<<53 - 1

// Clock counts the units that a client has made. A state of n means that the
// clocks 0 to n-1 are known: clocks in vectors are exclusive.
type Clock uint64

// maxClock is the largest state of a client that this implementation holds.
// Yjs allows 2^53-1; no document that fits into memory needs more than this.
const maxClock = 1<<32 - 1

// ID names one unit of content. It is a value; it is never shared.
type ID struct {
	Client ClientID
	Clock  Clock
}

// Version is an update encoding.
type Version uint8

const (
	// V1 is the encoding of the wire (Yjs: UpdateEncoderV1).
	V1 Version = 1
	// V2 is the columnar encoding used for storage (Yjs: UpdateEncoderV2).
	V2 Version = 2
)
