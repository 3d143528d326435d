package gateway

import (
	"testing"

	"ysync/internal/session"
	"ysync/syncproto"
)

// Who is closed learns the code also if it has sent much more by then, which
// nobody reads as messages any more, and reads only after that.
func TestCloseCodeBehindWhatIsSentAfterIt(t *testing.T) {
	const limit = 1 << 16
	r := start(t, func(o *Options) { o.Session.MessageBytes = limit })
	more := masked(fin|opBinary, syncproto.AppendUpdate(nil, insert(7, 0, "a")))
	for len(more) < 1<<20 {
		more = append(more, more...)
	}
	refused := map[int][]byte{
		session.CloseUnsupportedData: masked(fin|opText, hello),
		session.CloseTooBig:          masked(fin|opBinary, make([]byte, limit+1)),
		1002:                         masked(fin|0x40|opBinary, hello),
	}
	for want, frame := range refused {
		raw := r.raw()
		raw.upgrade("/notes")
		raw.write(append(frame, more...))
		if code := raw.closeCode(); code != want {
			t.Errorf("closed with %d, want %d", code, want)
		}
	}
	for want, why := range map[int]*session.Close{
		4401: session.Closef(session.CloseUnauthorized, "expired"),
		4404: session.Closef(4404, "erased"),
		4409: session.Closef(4409, "retired"),
		1012: closeRestart,
	} {
		raw := r.raw()
		raw.upgrade("/notes")
		raw.write(masked(fin|opBinary, hello))
		raw.until(frameBinary)
		r.connections.each(func(c *conn) { c.end(why) })
		raw.write(more)
		if code := raw.closeCode(); code != want {
			t.Errorf("closed with %d, want %d", code, want)
		}
	}
}

// A connection that is closed at the moment at which its idle reader is told to
// give way has its close frame sent.
func TestCloseOfAReaderThatGivesWay(t *testing.T) {
	r := start(t, nil)
	for range 300 {
		raw := r.raw()
		raw.upgrade("/notes")
		waitFor(t, func() bool { return r.phases()[phaseWaiting] == 1 })
		r.connections.each(func(c *conn) {
			c.mu.Lock()
			c.park(c.waiting.Add(parkAfter))
			c.mu.Unlock()
			c.end(closeRestart)
		})
		if code := raw.closeCode(); code != session.CloseRestart {
			t.Fatalf("closed with %d", code)
		}
		_ = raw.Close()
		waitFor(t, func() bool { return r.connections.count.Load() == 0 })
	}
}
