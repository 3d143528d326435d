package gateway

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/binary"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"ysync/internal/lib0"
	"ysync/internal/session"
	"ysync/syncproto"
)

func compressing(o *Options) { o.Compress = true }

var offering = func() *websocket.DialOptions {
	return &websocket.DialOptions{CompressionMode: websocket.CompressionNoContextTakeover, CompressionThreshold: 16}
}

// deflated is a message compressed as one frame carries it.
func deflated(t *testing.T, message []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(message); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSuffix(out.Bytes(), flushTail)
}

// long is an update that inserts a text of any length.
func long(client byte, text string) []byte {
	return append(lib0.AppendString([]byte{1, 1, client, 0, 4, 1, 1, 't'}, text), 0)
}

// Compression is off unless it is asked for, and not forced on anybody.
func TestCompressionIsOffered(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Options)
		dial   *websocket.DialOptions
		want   string
	}{
		"off":         {nil, offering(), ""},
		"on":          {compressing, offering(), "permessage-deflate; client_no_context_takeover; server_no_context_takeover"},
		"not offered": {compressing, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, c.change)
			client, response, err := r.try("/doc", c.dial)
			if err != nil {
				t.Fatal(err)
			}
			if got := response.Header.Get("Sec-WebSocket-Extensions"); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
			client.sync()
		})
	}
	r := start(t, compressing)
	c := r.raw()
	// A window that is smaller than ours can't be promised.
	c.write([]byte(c.request("/doc", "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=10")))
	if got := c.response().Header.Get("Sec-WebSocket-Extensions"); got != "" {
		t.Errorf("%q was taken", got)
	}
}

// What one client sends compressed reaches those who take it compressed and those
// who do not, of all sizes, and saves bytes.
func TestCompressedMessages(t *testing.T) {
	r := start(t, compressing)
	writer, _, err := r.try("/doc", offering())
	if err != nil {
		t.Fatal(err)
	}
	reader, _, err := r.try("/doc", offering())
	if err != nil {
		t.Fatal(err)
	}
	plain := r.connect("/doc")
	writer.sync()
	reader.sync()
	plain.sync()
	sent := 0
	for i, n := range []int{1, deflateFrom, batchBytes, 3 * batchBytes, deflateTo / 2, 2 * deflateTo} {
		message := syncproto.AppendUpdate(nil, long(byte(10+i), strings.Repeat("abcdefgh", 1+n/8)))
		writer.send(message)
		for who, c := range map[string]*client{"compressed": reader, "plain": plain} {
			if got := c.until(syncproto.KindUpdate); !bytes.Equal(syncproto.AppendUpdate(nil, got.Payload), message) {
				t.Fatalf("%s: %d bytes came of %d", who, len(got.Payload), len(message))
			}
		}
		sent += 3 * len(message) // the writer hears of it in no way that counts here
	}
	// All but the smallest and the largest went to one of the two in next to nothing.
	if out := r.value("ysync_bytes_out_total", ""); int(out) > sent-deflateTo/2 {
		t.Errorf("%v bytes out for messages of %d", out, sent)
	}
	// A whole state that is asked for is compressed as well, or goes in parts.
	late, _, err := r.try("/doc", offering())
	if err != nil {
		t.Fatal(err)
	}
	late.sync()
}

// A small message that inflates to more than a message may be is refused when it
// gets there, and not inflated further.
func TestZipBomb(t *testing.T) {
	const limit = 1 << 20
	r := start(t, func(o *Options) {
		o.Compress = true
		o.Session.MessageBytes = limit
	})
	other := r.connect("/doc")
	other.sync()
	bomb := deflated(t, make([]byte, 256<<20))
	if len(bomb) > limit {
		t.Fatalf("the bomb has %d bytes", len(bomb))
	}
	c := r.raw()
	c.write([]byte(c.request("/doc", "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover")))
	if got := c.response().Header.Get("Sec-WebSocket-Extensions"); !strings.HasPrefix(got, "permessage-deflate") {
		t.Fatalf("%q", got)
	}
	head := binary.BigEndian.AppendUint64([]byte{frameBinary | frameDeflated, 0x80 | 127}, uint64(len(bomb)))
	c.write(append(append(head, 0, 0, 0, 0), bomb...))
	frame := c.closeFrame(t)
	if code := int(binary.BigEndian.Uint16(frame)); code != session.CloseTooBig {
		t.Errorf("closed with %d %s", code, frame[2:])
	}
	if r.value("ysync_bytes_in_total", "") > limit {
		t.Error("more than the limit was handed on")
	}
	other.send(ack(9))
	other.until(syncproto.KindAck)
}

// closeFrame reads frames up to the close and returns its payload.
func (c *raw) closeFrame(t *testing.T) []byte {
	t.Helper()
	for {
		var head [2]byte
		if _, err := io.ReadFull(c.r, head[:]); err != nil {
			t.Fatal(err)
		}
		n := uint64(head[1])
		switch n {
		case 126:
			var b [2]byte
			if _, err := io.ReadFull(c.r, b[:]); err != nil {
				t.Fatal(err)
			}
			n = uint64(binary.BigEndian.Uint16(b[:]))
		case 127:
			var b [8]byte
			if _, err := io.ReadFull(c.r, b[:]); err != nil {
				t.Fatal(err)
			}
			n = binary.BigEndian.Uint64(b[:])
		}
		payload := make([]byte, n)
		if _, err := io.ReadFull(c.r, payload); err != nil {
			t.Fatal(err)
		}
		if head[0] == frameClose {
			return payload
		}
	}
}

// What is not compressed as it should be ends its own connection, and what was not
// negotiated is no message.
func TestBadlyCompressed(t *testing.T) {
	for name, c := range map[string]struct {
		offer string
		frame []byte
	}{
		"nonsense":          {"permessage-deflate", []byte{frameBinary | frameDeflated, 0x84, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}},
		"not negotiated":    {"", []byte{frameBinary | frameDeflated, 0x84, 0, 0, 0, 0, 0, 0, 1, 0}},
		"a control frame":   {"permessage-deflate", []byte{0x80 | frameDeflated | 9, 0x80, 0, 0, 0, 0}},
		"a further reserve": {"permessage-deflate", []byte{frameBinary | 0x20, 0x84, 0, 0, 0, 0, 0, 0, 1, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, compressing)
			other := r.connect("/doc")
			other.sync()
			n := r.raw()
			n.write([]byte(n.request("/doc", "Sec-WebSocket-Extensions: "+c.offer)))
			n.response()
			n.write(c.frame)
			if code := binary.BigEndian.Uint16(n.closeFrame(t)); code != 1002 {
				t.Errorf("closed with %d", code)
			}
			other.send(ack(9))
			other.until(syncproto.KindAck)
		})
	}
}

// Messages that say little and never end hold memory of the inflater, and so draw
// on the budget from their first byte: who is too slow is sent away.
func TestSlowCompressedMessages(t *testing.T) {
	r := start(t, func(o *Options) {
		o.Compress = true
		o.Session.LargeGrace = 100 * time.Millisecond
	})
	n := r.raw()
	n.write([]byte(n.request("/doc", "Sec-WebSocket-Extensions: permessage-deflate")))
	n.response()
	n.write([]byte{frameBinary | frameDeflated, 0x80 | 100, 0, 0, 0, 0, 0})
	if code := int(binary.BigEndian.Uint16(n.closeFrame(t))); code != session.CloseSlowSender {
		t.Errorf("closed with %d", code)
	}
	if !r.budget.tiers[0].free.TryAcquire(r.budget.tiers[0].total) {
		ctx, cancel := context.WithTimeout(t.Context(), bound)
		defer cancel()
		if err := r.budget.tiers[0].free.Acquire(ctx, r.budget.tiers[0].total); err != nil {
			t.Errorf("its part of the budget is gone: %v", err)
		}
	}
}
