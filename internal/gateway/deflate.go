package gateway

import (
	"bytes"
	"compress/flate"
	"io"
	"sync"
	"time"
)

// Compression of messages (RFC 7692, permessage-deflate) without context takeover
// either way: each message is compressed by itself, so that a connection holds no
// window between two. The WebSocket library inflates what comes in, with the bounds
// on a message kept on what comes out; what goes out is deflated here, into the frames
// that the socket writes.

const (
	// Messages of fewer bytes gain little, and those of more would keep others
	// waiting while they are compressed.
	deflateFrom = 512
	deflateTo   = 1 << 20
	// frameDeflated is the bit of a frame that begins a compressed message.
	frameDeflated = 0x40
)

// deflater compresses one message after another.
type deflater struct {
	writer *flate.Writer
	out    bytes.Buffer
}

var deflaters = sync.Pool{New: func() any {
	d := &deflater{}
	d.writer, _ = flate.NewWriter(&d.out, flate.BestSpeed) // it fails for unknown levels only
	return d
}}

// flushTail is what ends a flush and is left out of a message (RFC 7692 section 7.2.1).
var flushTail = []byte{0, 0, 0xff, 0xff}

// appendDeflated appends a message compressed. It returns false, and dst as it was,
// if that is not worth it.
func appendDeflated(dst, payload []byte) ([]byte, bool) {
	if len(payload) < deflateFrom || len(payload) > deflateTo {
		return dst, false
	}
	d := deflaters.Get().(*deflater)
	defer deflaters.Put(d)
	d.out.Reset()
	d.writer.Reset(&d.out)
	// Writing to memory can't fail.
	_, _ = d.writer.Write(payload)
	_ = d.writer.Flush()
	packed := bytes.TrimSuffix(d.out.Bytes(), flushTail)
	if len(packed) >= len(payload) {
		return dst, false
	}
	return append(dst, packed...), true
}

// discard drops the rest of a message that is refused. One that may be compressed is
// dropped as it comes, with all that follows: to inflate it would be what it is about.
func (c *conn) discard(r io.Reader) error {
	if !c.deflates {
		_, err := io.Copy(io.Discard, r)
		return err
	}
	_ = c.socket.SetReadDeadline(time.Now().Add(closeWait))
	if _, err := io.Copy(io.Discard, &c.socket); err != nil {
		return err
	}
	return io.EOF
}
