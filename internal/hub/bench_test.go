package hub

import (
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"ysync/crdt"
	"ysync/internal/metrics"
	"ysync/persistence/memory"
	"ysync/snapshots"
	"ysync/snapshots/dir"
	"ysync/syncproto"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// typing makes n updates of one character each.
func typing(b *testing.B, id crdt.ClientID, n int) [][]byte {
	b.Helper()
	r := newReplica(b, id)
	out := make([][]byte, n)
	for i := range out {
		out[i] = r.write("x")
	}
	return out
}

// One update to 200 readers: the core and the outboxes, without sockets.
func BenchmarkStepTo200Readers(b *testing.B) {
	r := newRig(b, Limits{DocumentUncommittedBytes: 1 << 30})
	a := r.join(1)
	var readers []*peer
	for i := range 200 {
		readers = append(readers, r.join(uint64(i+2)))
	}
	updates := typing(b, 1, b.N)
	var fx effects
	cmds := make([]command, 1)
	rec := r.record
	rec.Epoch, rec.Generation = 1, 1
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		cmds[0] = command{kind: cmdMessage, message: syncproto.KindUpdate, sub: a.sub, payload: updates[i]}
		fx.reset()
		r.core.step(input{now: r.now, commands: cmds}, &fx)
		for j := range fx.out {
			fx.out[j].sub.out.push(fx.out[j].item, r.opt.limits)
		}
		for _, p := range readers {
			p.sub.out.next()
		}
		rec.Head++
		cmds[0] = command{kind: cmdCommitted, record: &rec}
		fx.reset()
		r.core.step(input{now: r.now, commands: cmds}, &fx)
		if fx.job != nil {
			fx.job.err, fx.job.pointer.Position, fx.job.pointer.Key = nil, fx.job.position, "k"
			cmds[0] = command{kind: cmdJobDone, job: fx.job}
			fx.reset()
			r.core.step(input{now: r.now, commands: cmds}, &fx)
		}
	}
}

func newBenchHub(b *testing.B) *Hub {
	b.Helper()
	files, err := dir.Open(vfs.NewMem(), "/s")
	if err != nil {
		b.Fatal(err)
	}
	log := memory.New()
	h, err := New(Options{
		Log: log, Snapshots: snapshots.New(files, log, snapshots.Options{}), Boot: "b",
		Logger: zap.NewNop(), Metrics: metrics.New(prometheus.NewRegistry()),
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := h.Close(b.Context()); err != nil && b.Context().Err() == nil {
			b.Error(err)
		}
	})
	return h
}

// counter is a session that takes frames as they come.
type counter struct {
	sub  *Subscription
	poke chan struct{}
	n    *atomic.Int64
	full chan struct{}
	want int64
}

func (c *counter) read() {
	for range c.poke {
		for {
			frame, ok := c.sub.Next()
			if !ok {
				break
			}
			if frame[0] == 0 && frame[1] == 2 && c.n.Add(1) == c.want {
				close(c.full)
			}
		}
		if c.sub.End() != nil {
			return
		}
	}
}

// Two writers and 200 readers through the whole hub, without sockets. A batch
// is one frame, so fewer frames than updates arrive; the benchmark ends when
// the log has everything.
func BenchmarkHubOneDocument200Readers(b *testing.B) {
	h := newBenchHub(b)
	var n atomic.Int64
	for i := range 200 {
		c := &counter{poke: make(chan struct{}, 1), n: &n, full: make(chan struct{}), want: -1}
		sub, err := h.Subscribe("d", Peer{Session: uint64(i + 10)}, func() {
			select {
			case c.poke <- struct{}{}:
			default:
			}
		})
		if err != nil {
			b.Fatal(err)
		}
		c.sub = sub
		go c.read()
		if err := sub.Send(b.Context(), syncproto.Message{Kind: syncproto.KindSyncStep1, Payload: []byte{0}}); err != nil {
			b.Fatal(err)
		}
	}
	updates := typing(b, 1, b.N)
	done := make(chan struct{}, 1)
	w, err := h.Subscribe("d", Peer{Session: 1, CanWrite: true}, func() {
		select {
		case done <- struct{}{}:
		default:
		}
	})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		if err := w.Send(b.Context(), syncproto.Message{Kind: syncproto.KindUpdate, Payload: updates[i]}); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Send(b.Context(), syncproto.Message{Kind: syncproto.KindAck, Payload: []byte{1}}); err != nil {
		b.Fatal(err)
	}
	for acked := false; !acked; {
		<-done
		for frame, ok := w.Next(); ok; frame, ok = w.Next() {
			acked = acked || frame[0] == 102
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(n.Load())/float64(b.N), "frames/op")
}

// Opening a document of about 20 KB whose log has to be replayed.
func BenchmarkColdOpen(b *testing.B) {
	doc := newReplica(b, 1)
	doc.write(strings.Repeat("lorem ipsum ", 1700))
	state := doc.state()
	h := newBenchHub(b)
	for i := range b.N {
		p := &counter{poke: make(chan struct{}, 1)}
		s, err := h.Subscribe(fmt.Sprint("d", i), Peer{Session: 1, CanWrite: true}, func() {
			select {
			case p.poke <- struct{}{}:
			default:
			}
		})
		if err != nil {
			b.Fatal(err)
		}
		for _, m := range []syncproto.Message{{Kind: syncproto.KindUpdate, Payload: state}, {Kind: syncproto.KindAck, Payload: []byte{1}}} {
			if err := s.Send(b.Context(), m); err != nil {
				b.Fatal(err)
			}
		}
		await(s, p.poke, 102)
		s.Close()
	}
	if _, err := h.Document(b.Context(), "d0"); err != nil {
		b.Fatal(err)
	}
	// A second hub on the same log finds them cold.
	cold, err := New(Options{
		Log: h.opt.Log, Snapshots: h.opt.Snapshots, Boot: "c",
		Logger: zap.NewNop(), Metrics: metrics.New(prometheus.NewRegistry()),
	})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		poke := make(chan struct{}, 1)
		s, err := cold.Subscribe(fmt.Sprint("d", i), Peer{Session: 1}, func() {
			select {
			case poke <- struct{}{}:
			default:
			}
		})
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Send(b.Context(), syncproto.Message{Kind: syncproto.KindSyncStep1, Payload: []byte{0}}); err != nil {
			b.Fatal(err)
		}
		await(s, poke, 0)
	}
	b.StopTimer()
	if err := cold.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
}

// await takes frames until one of this type has come.
func await(s *Subscription, poke chan struct{}, kind byte) {
	for {
		<-poke
		for frame, ok := s.Next(); ok; frame, ok = s.Next() {
			if frame[0] == kind && (kind != 0 || frame[1] == 1) {
				return
			}
		}
	}
}

// What 10,000 idle subscriptions over 100 documents take.
func BenchmarkIdleSubscriptions(b *testing.B) {
	for range b.N {
		h := newBenchHub(b)
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		subs := make([]*Subscription, 10_000)
		var ready atomic.Int64
		for i := range subs {
			s, err := h.Subscribe(fmt.Sprint("d", i%100), Peer{Session: uint64(i + 1), CanWrite: true}, func() { ready.Add(1) })
			if err != nil {
				b.Fatal(err)
			}
			subs[i] = s
			if err := s.Send(b.Context(), syncproto.Message{Kind: syncproto.KindSyncStep1, Payload: []byte{0}}); err != nil {
				b.Fatal(err)
			}
		}
		for _, s := range subs {
			for synced := false; !synced; {
				frame, ok := s.Next()
				synced = ok && frame[0] == 0 && frame[1] == 1
				runtime.Gosched()
			}
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(len(subs)), "B/subscription")
		runtime.KeepAlive(subs)
	}
}
