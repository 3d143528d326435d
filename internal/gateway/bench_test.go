package gateway

import (
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"ysync/internal/hub"
	"ysync/internal/lib0"
	"ysync/syncproto"
)

// drain is a connection whose peer takes everything at once, at no cost.
type drain struct {
	net.Conn
	open    *atomic.Bool
	written *atomic.Int64
}

func (d drain) Write(p []byte) (int, error) {
	if !d.open.Load() {
		return d.Conn.Write(p)
	}
	d.written.Add(1)
	return len(p), nil
}

type drains struct {
	*pipes
	open    atomic.Bool
	written atomic.Int64
}

func (d *drains) Accept() (net.Conn, error) {
	nc, err := d.pipes.Accept()
	return drain{nc, &d.open, &d.written}, err
}

// BenchmarkFanOut is the work of one edit for 200 readers, without that of the
// kernel.
func BenchmarkFanOut(b *testing.B) {
	const readers = 200
	l := &drains{pipes: newPipes()}
	r := startOn(b, l, nil)
	r.Server.started = time.Now()
	for range readers {
		raw := (&rig{Server: r.Server, t: b, address: r.address, dial: l.dial}).raw()
		if err := raw.SetDeadline(time.Time{}); err != nil {
			b.Fatal(err)
		}
		raw.upgrade("/notes")
		raw.write(masked(fin|opBinary, hello))
		for {
			if m := raw.until(frameBinary); m[1] == 1 {
				break
			}
		}
	}
	l.open.Store(true)
	before := l.written.Load()
	sub, err := r.hub.Subscribe("notes", peerWith(1<<40), func() {})
	if err != nil {
		b.Fatal(err)
	}
	defer sub.Close()
	b.ResetTimer()
	for i := range b.N {
		m := syncproto.Message{Kind: syncproto.KindUpdate, Payload: typed(i)}
		if err := sub.Send(r.ctx, m); err != nil {
			b.Fatal(err)
		}
		for l.written.Load()-before < int64((i+1)*readers) {
			runtime.Gosched()
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*readers), "ns/delivery")
}

func peerWith(session uint64) hub.Peer {
	return hub.Peer{Session: session, CanWrite: true, CanPresence: true}
}

// typed is the update of one more character typed at the end.
func typed(i int) []byte {
	u := []byte{1, 1, 7}
	u = lib0.AppendUvarint(u, uint64(i))
	if i == 0 {
		u = append(u, 4, 1, 1, 't')
	} else {
		u = append(u, 0x84, 7)
		u = lib0.AppendUvarint(u, uint64(i-1))
	}
	return append(u, 1, 'a', 0)
}
