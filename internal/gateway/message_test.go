package gateway

import (
	"bufio"
	"bytes"
	"strings"
	"testing"

	"ysync/syncproto"
)

// What is not a whole message in one frame is left to the WebSocket library, byte for byte.
func TestTakeMessage(t *testing.T) {
	long := []byte(strings.Repeat("0123456789", 30))
	for name, c := range map[string]struct {
		ahead []byte
		want  []byte // nil: it is not taken
	}{
		"short":         {masked(fin|opBinary, []byte("abc")), []byte("abc")},
		"empty":         {masked(fin|opBinary, nil), []byte{}},
		"8 bytes":       {masked(fin|opBinary, []byte("12345678")), []byte("12345678")},
		"long":          {masked(fin|opBinary, long), long},
		"in part":       {masked(fin|opBinary, []byte("abc"))[:8], nil},
		"half a length": {masked(fin|opBinary, long)[:3], nil},
		"a header only": {masked(fin|opBinary, long)[:8], nil},
		"text":          {masked(fin|0x1, []byte("abc")), nil},
		"a fragment":    {masked(opBinary, []byte("abc")), nil},
		"the last one":  {masked(fin, []byte("abc")), nil},
		"a ping":        {masked(fin|0x9, []byte("abc")), nil},
		"a close":       {masked(fin|0x8, []byte("\x03\xe8")), nil},
		"compressed":    {masked(fin|0x40|opBinary, []byte("abc")), nil},
		"no mask":       {[]byte{fin | opBinary, 3, 'a', 'b', 'c', 'd', 'e'}, nil},
		"64 bits":       {append([]byte{fin | opBinary, 0xff}, make([]byte, 40)...), nil},
		"nothing":       {nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			for _, behind := range []string{"", "behind"} {
				s := &socket{ahead: append(bytes.Clone(c.ahead), behind...)}
				if c.want == nil && behind != "" {
					continue // more bytes may make it whole
				}
				s.in = bufio.NewReaderSize(s, ioBuffer)
				before := s.ahead
				message, ok := s.takeMessage()
				if ok != (c.want != nil) || !bytes.Equal(message, c.want) {
					t.Fatalf("took %q, %v; want %q", message, ok, c.want)
				}
				left := []byte(behind)
				if !ok {
					left = before
				}
				if !bytes.Equal(s.ahead, left) {
					t.Errorf("%q is left, want %q", s.ahead, left)
				}
			}
		})
	}
}

// What the library has taken in part comes before what was read ahead.
func TestTakeMessageBehindTheLibrary(t *testing.T) {
	s := &socket{ahead: append([]byte{1}, masked(fin|opBinary, []byte("abc"))...)}
	s.in = bufio.NewReaderSize(s, ioBuffer)
	if _, err := s.in.Peek(1); err != nil {
		t.Fatal(err)
	}
	if m, ok := s.takeMessage(); ok {
		t.Errorf("took %q", m)
	}
}

// Messages that come in one packet, whole and in part, are taken in order, by
// whoever reads them.
func TestMessagesInOnePacket(t *testing.T) {
	r := start(t, nil)
	c := r.raw()
	c.upgrade("/notes")
	ack := func(n byte) []byte { return syncproto.AppendAck(nil, []byte{n}) }
	var packet []byte
	packet = append(packet, masked(fin|opBinary, ack(1))...)
	packet = append(packet, masked(fin|opBinary, ack(2))...)
	packet = append(packet, masked(opBinary, ack(3)[:1])...)
	packet = append(packet, masked(fin|0x9, []byte("ping"))...)
	packet = append(packet, masked(fin, ack(3)[1:])...)
	packet = append(packet, masked(fin|opBinary, ack(4))...)
	last := masked(fin|opBinary, ack(5))
	packet = append(packet, last[:4]...)
	c.write(packet)
	var got []byte
	acked := func(n int) {
		t.Helper()
		for len(got) < n {
			messages := syncproto.NewDecoder(c.until(frameBinary))
			if m, ok := messages.Next(); ok && m.Kind == syncproto.KindAck {
				got = append(got, m.Payload...)
			}
		}
	}
	acked(4)
	c.write(last[4:])
	acked(5)
	if !bytes.Equal(got, []byte{1, 2, 3, 4, 5}) {
		t.Errorf("acknowledged %v", got)
	}
}

// The end of a connection is noticed when it comes together with its last message.
func TestTheEndBehindAMessage(t *testing.T) {
	var at clock
	r := start(t, func(o *Options) { o.Now = at.now })
	const n = 20
	for range n {
		c := r.raw()
		c.upgrade("/notes")
		hello := masked(fin|opBinary, syncproto.AppendAck(nil, []byte{1}))
		c.write(hello)
		c.until(frameBinary)
		c.write(hello)
		_ = c.Close()
	}
	at.advance(2 * parkAfter)
	waitFor(t, func() bool { return r.connections.count.Load() == 0 })
}
