package crdt

import "fmt"

// Limits bound what Apply accepts from others, one update at a time. A zero field
// means its default; no default refuses what a Yjs client sends that edits a
// document as its user does. An update beyond a limit is refused whole, with
// ErrLimit in an *UpdateError, and the document stays as it was.
//
// Beside them stand bounds that no option moves: values nest at most 100 deep, a
// client has at most 2^32-1 clocks, all content of a document takes less than
// 4 GiB, and what V2 says by reference, such as a format's name, is at most 64
// times the bytes of the update.
type Limits struct {
	// TypeDepth is how deep shared types may nest; a type in a root has depth 1.
	// Default 512. It bounds local edits too.
	TypeDepth int
	// BlocksPerUpdate is how many blocks one update may hold. In V2 run-length
	// coding lets a few bytes claim millions. Default: 4096 and 4 per byte in V2;
	// in V1 as many as the bytes can hold.
	BlocksPerUpdate int
	// DeletesPerUpdate is how many ranges the delete set of one update may hold.
	// A client sends its whole delete set when it connects. Default: as many as
	// the bytes can hold, one for two of them.
	DeletesPerUpdate int
	// ClockAdvance is how far an update may go beyond the clocks that the document
	// knows of a client. A deleted run of a few bytes may use up all clocks that a
	// client has; but somebody who typed a book offline and deleted it sends the
	// like. Default: no bound below 2^32.
	ClockAdvance uint64
	// PendingBytes bounds the blocks and deletes that wait for a dependency, as
	// counted by Pending.Bytes. Default 256 MiB.
	PendingBytes int
}

// SetLimits changes what the document accepts from now on. What it holds
// already stays, whatever it exceeds: a document that was rebuilt from its own
// log under wide limits gets those of the edge before it takes in what others
// send.
func (d *Doc) SetLimits(l Limits) { d.limits = l.withDefaults() }

// defaultLimits are those of documents for which nothing else was said.
var defaultLimits = Limits{TypeDepth: defaultTypeDepth, PendingBytes: defaultPendingBytes}

// blocksPerUpdate is the default of Limits.BlocksPerUpdate in V2. Real updates
// have less than one block a byte.
func blocksPerUpdate(size int) int { return 4096 + 4*size }

// payloadPerUpdate is how many bytes of content one update may stand for. Only
// V2 can say more than it has bytes.
func payloadPerUpdate(size int) int { return 64<<10 + 64*size }

const (
	defaultTypeDepth    = 512
	defaultPendingBytes = 256 << 20
	// maxAnyDepth is how deep values (Any and JSON) may nest.
	maxAnyDepth = 100
)

func (l Limits) withDefaults() *Limits {
	if l == (Limits{}) {
		return &defaultLimits
	}
	if l.TypeDepth <= 0 {
		l.TypeDepth = defaultTypeDepth
	}
	if l.PendingBytes <= 0 {
		l.PendingBytes = defaultPendingBytes
	}
	return &l
}

// admit checks a valid update against the limits of the document.
func (d *Doc) admit(v Version, update []byte, in *incoming) error {
	if len(d.arena.buf)+4*in.payload+d.pending.bytes > maxArena || len(d.keys)+2*len(update) > maxArena {
		return &UpdateError{-1, fmt.Errorf("%w: document beyond %d bytes", ErrLimit, maxArena)}
	}
	if most := d.limits.ClockAdvance; most > 0 {
		for i := range in.sections {
			s := &in.sections[i]
			if known := d.state(s.client); s.end > known && uint64(s.end-known) > most {
				return &UpdateError{-1, fmt.Errorf("%w: client %d goes on by %d clocks, at most %d", ErrLimit, s.client, s.end-known, most)}
			}
		}
	}
	if d.fresh() || d.rehearsal {
		return nil // a fresh document can be emptied, a copy is thrown away
	}
	types := in.types
	if d.pending.types > 0 && d.mayComplete(in) {
		types += d.pending.types
	}
	waiting := in.total*rawBytes + in.payload + len(update) + in.ranges*clientBytes
	if int(d.maxDepth)+types > d.limits.TypeDepth || d.pending.bytes+waiting > d.limits.PendingBytes {
		return d.rehearse(v, update)
	}
	return nil
}

// mayComplete tells whether an update may lead to pending blocks being tried again:
// applier.due looks at clients that were waited for before the update came.
func (d *Doc) mayComplete(in *incoming) bool {
	for i := range in.sections {
		if _, missing := d.pending.missing[in.sections[i].client]; missing {
			return true
		}
	}
	return false
}

func errDepth(limit int) error {
	return &UpdateError{-1, fmt.Errorf("%w: types nested deeper than %d", ErrLimit, limit)}
}

// tooMuch tells what a document that was fresh before an update, or is a copy of
// one, holds too much of after it.
func (d *Doc) tooMuch() error {
	if int(d.maxDepth) > d.limits.TypeDepth {
		return errDepth(d.limits.TypeDepth)
	}
	if n := d.pending.bytes; n > d.limits.PendingBytes {
		return &UpdateError{-1, fmt.Errorf("%w: %d bytes wait for dependencies, at most %d", ErrLimit, n, d.limits.PendingBytes)}
	}
	return nil
}
