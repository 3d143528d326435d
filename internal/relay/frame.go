package relay

import (
	"errors"

	"ysync/internal/lib0"
)

// frameKind says what a frame of a channel is for. The values are on the wire.
type frameKind byte

const (
	// From the node with the sessions to the one with the document.

	// frameOpen: text names the document; body is the vector of the sessions
	// that joined as current, empty for none. It is a channel's first frame.
	frameOpen frameKind = 1 + iota
	// frameJoin: session joins; a are its rights, b is its hub.Join, text its
	// subject, body its user, list the only generation that it may see, or nothing.
	frameJoin
	// frameLeave: session went.
	frameLeave
	// frameMessage: the client of session sent body, a message of kind a; text
	// names the span by which it is followed, and is empty if it is not.
	frameMessage
	// frameLag: the outbox of session is full.
	frameLag
	// frameDrained: it is empty again.
	frameDrained
	// frameClose: the channel ends.
	frameClose

	// From the node with the document.

	// frameOpened: the document is here.
	frameOpened
	// frameRefused: the document is not here; text is the boot ID of the node
	// that is believed to have it, empty if none is.
	frameRefused
	// frameCast: a is a hub.CastKind for everybody, b the version, list the
	// sessions that do not get body.
	frameCast
	// frameSingle: body is for session; a is a hub.CastKind.
	frameSingle
	// frameAudience: session hears a, a hub.Audience, from here on.
	frameAudience
	// frameEnd: session has ended with code a for reason text.
	frameEnd
	// frameGone: the channel ends, as frameEnd; body is the last vector.
	frameGone

	// Both ways.

	// frameCredit: a bytes more may be sent on the channel.
	frameCredit

	// On channel 0.

	frameHello
	frameWelcome
	frameProof
	framePing

	frameKinds
)

// frame is a unit of one channel. The same fields serve all kinds: what is not
// used costs a byte.
type frame struct {
	kind    frameKind
	session uint64
	a, b    uint64
	list    []uint64
	text    string
	body    []byte
}

const (
	// maxFrame bounds a frame: a message of a client, and room for its header.
	maxFrame = 64<<20 + 1<<10
	// maxText bounds text: names and reasons.
	maxText = 1 << 10
	// maxList bounds the sessions of one frame.
	maxList = 1 << 16
)

var errFrame = errors.New("relay: malformed frame")

// appendHead appends a frame without its body, which comes last and has no
// length of its own.
func (f *frame) appendHead(dst []byte) []byte {
	dst = append(dst, byte(f.kind))
	dst = lib0.AppendUvarint(dst, f.session)
	dst = lib0.AppendUvarint(dst, f.a)
	dst = lib0.AppendUvarint(dst, f.b)
	dst = lib0.AppendUvarint(dst, uint64(len(f.list)))
	for _, s := range f.list {
		dst = lib0.AppendUvarint(dst, s)
	}
	dst = lib0.AppendUvarint(dst, uint64(len(f.text)))
	return append(dst, f.text...)
}

// decodeFrame decodes a whole frame. The body aliases data.
func decodeFrame(data []byte) (frame, error) {
	if len(data) == 0 || data[0] == 0 || data[0] >= byte(frameKinds) {
		return frame{}, errFrame
	}
	f := frame{kind: frameKind(data[0])}
	r := lib0.NewReader(data[1:])
	f.session, f.a, f.b = r.Uvarint(), r.Uvarint(), r.Uvarint()
	n := r.Uvarint()
	// Each session takes a byte at least.
	if r.Err() != nil || n > maxList || n > uint64(len(data)) {
		return frame{}, errFrame
	}
	if n > 0 {
		f.list = make([]uint64, n)
		for i := range f.list {
			f.list[i] = r.Uvarint()
		}
	}
	text := r.Bytes()
	if r.Err() != nil || len(text) > maxText {
		return frame{}, errFrame
	}
	f.text = string(text)
	f.body = r.Rest()
	return f, nil
}
