package syncproto

import "ysync/internal/lib0"

// Decoder yields the messages of one frame, in order. It copies nothing and
// allocates only for an error. It is not safe for concurrent use.
type Decoder struct {
	r     lib0.Reader
	count int // messages yielded
	err   error
	done  bool
}

// NewDecoder returns a Decoder of frame, which it aliases.
func NewDecoder(frame []byte) Decoder { return Decoder{r: lib0.NewReader(frame)} }

// Next returns the next message, and false at the end of the frame or at the
// first failure, which Err then reports. The messages before a failure have
// been yielded: a caller that wants the whole frame or nothing decodes it
// twice.
//
// A message of unknown type is yielded with the rest of the frame as its
// payload, and Err reports ErrUnknownType from then on.
func (d *Decoder) Next() (Message, bool) {
	if d.done {
		return Message{}, false
	}
	if d.r.Len() == 0 && d.count > 0 {
		d.done = true
		return Message{}, false
	}
	if d.count == MaxMessages {
		d.fail(&Error{Offset: d.r.Off(), Err: ErrTooMany})
		return Message{}, false
	}
	start := d.r.Off()
	m := decodeMessage(&d.r)
	if err := d.r.Err(); err != nil {
		d.fail(wrap(err))
		return Message{}, false
	}
	if m.Kind == KindUnknown {
		d.fail(&Error{Offset: start, Err: ErrUnknownType})
	}
	d.count++
	return m, true
}

// Err returns why Next ended, an *Error, or nil if it was the end of the frame.
func (d *Decoder) Err() error { return d.err }

func (d *Decoder) fail(err error) {
	d.err = err
	d.done = true
}

func decodeMessage(r *lib0.Reader) Message {
	m := Message{Type: r.Uvarint()}
	switch m.Type {
	case typeSync:
		decodeSync(r, &m)
	case typeAwareness:
		decodeAwareness(r, &m)
	case typeAuth:
		decodeAuth(r, &m)
	case typeQueryAwareness:
		decodeQueryAwareness(r, &m)
	case typeAck:
		decodeAck(r, &m)
	default:
		decodeUnknown(r, &m)
	}
	return m
}

func decodeSync(r *lib0.Reader, m *Message) {
	m.Sub = r.Uvarint()
	switch m.Sub {
	case syncStep1:
		decodeSyncStep1(r, m)
	case syncStep2:
		decodeSyncStep2(r, m)
	case syncUpdate:
		decodeUpdate(r, m)
	default:
		decodeUnknown(r, m)
	}
}

func decodeUnknown(r *lib0.Reader, m *Message) {
	m.Kind = KindUnknown
	m.Payload = r.Rest()
}

// bounded reads bytes of at most limit bytes.
func bounded(r *lib0.Reader, limit int) []byte {
	at := *r
	b := r.Bytes()
	if len(b) > limit {
		at.Fail(ErrTooLarge)
		*r = at
		return nil
	}
	return b
}
