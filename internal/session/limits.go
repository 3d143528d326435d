package session

import (
	"time"

	"ysync/internal/limit"
)

// Limits bounds what one client may do. The zero value of a field means its
// default.
type Limits struct {
	// MessageBytes bounds one message. Default 32 MiB: an author who comes back
	// after a long time offline sends all of it as one SyncStep2.
	MessageBytes int
	// SilentFor is how long the server waits for the first frame before it
	// speaks. Default 5 s.
	SilentFor time.Duration
	// TokenFor is how long a client may take that has promised to send its token
	// in a message. Default 10 s.
	TokenFor time.Duration
	// KeepaliveAfter is how long the server may send nothing. Default 20 s:
	// stock clients drop a connection on which no data message came for 30 s,
	// and look every 3 s.
	KeepaliveAfter time.Duration
	// StallFor is how long a reader may take no byte at all. Default 30 s.
	StallFor time.Duration
	// LargeBytesPerSecond is the rate, from LargeGrace after its start on, that
	// a message must keep which draws on the budget for large messages.
	// Default 16 KiB/s.
	LargeBytesPerSecond int
	// LargeGrace is how long a large message may take in any case. Default 15 s.
	LargeGrace time.Duration
	// MessagesPerSecond and BytesPerSecond are what is taken of one session in
	// the long run; past them, and a burst of five seconds' worth, it is read
	// later. Defaults 50,000 and 16 MiB.
	MessagesPerSecond, BytesPerSecond int
	// FairUnitsPerSecond replaces them while the node is pressed, so that who
	// asks for little is served before who asks for much. A message is a unit,
	// and each full 4 KiB of it another one. A burst of two seconds' worth is
	// allowed. Default 100.
	FairUnitsPerSecond int

	messages, bytes, fair limit.Rate // made of the above
}

// WithDefaults returns l with its zero fields replaced by their defaults.
func (l Limits) WithDefaults() Limits {
	fill(&l.MessageBytes, 32<<20)
	fill(&l.SilentFor, 5*time.Second)
	fill(&l.TokenFor, 10*time.Second)
	fill(&l.KeepaliveAfter, 20*time.Second)
	fill(&l.StallFor, 30*time.Second)
	fill(&l.LargeBytesPerSecond, 16<<10)
	fill(&l.LargeGrace, 15*time.Second)
	fill(&l.MessagesPerSecond, 50_000)
	fill(&l.BytesPerSecond, 16<<20)
	fill(&l.FairUnitsPerSecond, 100)
	l.messages = limit.Per(l.MessagesPerSecond, rateBurst*l.MessagesPerSecond)
	l.bytes = limit.Per(l.BytesPerSecond, rateBurst*l.BytesPerSecond)
	l.fair = limit.Per(l.FairUnitsPerSecond, fairBurst*l.FairUnitsPerSecond)
	return l
}

// Seconds' worth that may come at once.
const (
	rateBurst = 5
	fairBurst = 2
)

// fairUnit is how many bytes of a message cost as much as a message.
const fairUnit = 4 << 10

func fill[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// How much misbehaviour is overlooked. A stock client sends none; a client
// with handlers of its own may send messages that this server does not know,
// at a low rate, for ever.
const (
	malformedAllowed = 4
	malformedForgive = 10 * time.Second
	unknownAllowed   = 64
	unknownForgive   = time.Second
)

// bucket counts strikes and forgives one every so often.
type bucket struct {
	strikes int
	updated instant // when strikes was last brought up to date
}

// strike adds one at now and reports whether more than allowed stand.
func (b *bucket) strike(now instant, allowed int, forgive time.Duration) (over bool) {
	forgiven := int(now.since(b.updated) / forgive)
	if b.strikes == 0 || forgiven >= b.strikes {
		b.strikes, b.updated = 0, now
	} else if forgiven > 0 {
		b.strikes -= forgiven
		b.updated += instant(forgiven) * instant(forgive)
	}
	b.strikes++
	return b.strikes > allowed
}
