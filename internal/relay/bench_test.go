package relay

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ysync/internal/hub"
	"ysync/internal/lib0"
	"ysync/syncproto"
)

// sink is a reader that takes everything at once and decodes nothing.
type sink struct {
	next func() ([]byte, bool)
	got  *atomic.Int64
	last *atomic.Int64 // when the newest frame came, in nanoseconds
}

func (s *sink) drain(now func() int64) {
	for _, ok := s.next(); ok; _, ok = s.next() {
		s.last.Store(now())
		s.got.Add(1)
	}
}

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkReaders is one document with 3,000 readers, which take at once what
// they are sent, without sockets: all at the owner, or a thousand at each of
// three nodes. It tells the processor time for each delivery, and how often an
// edit crosses between nodes.
func BenchmarkReaders(b *testing.B) {
	for name, nodes := range map[string]int{"here": 1, "three nodes": 3} {
		b.Run(name, func(b *testing.B) { benchmarkReaders(b, nodes) })
	}
}

const benchReaders = 3000

func benchmarkReaders(b *testing.B, nodes int) {
	w := newWorld(b, nodes)
	w.own("d", w.nodes[0])
	var got atomic.Int64
	var lasts []*atomic.Int64
	start := time.Now()
	now := func() int64 { return int64(time.Since(start)) }
	// As the gateway has it: a few goroutines that drain what was woken.
	woken := make(chan *sink, benchReaders)
	stop := make(chan struct{})
	var work sync.WaitGroup
	for range 2 {
		work.Go(func() {
			for {
				select {
				case s := <-woken:
					s.drain(now)
				case <-stop:
					return
				}
			}
		})
	}
	defer work.Wait()
	defer close(stop)
	for i := range benchReaders {
		s := &sink{got: &got, last: new(atomic.Int64)}
		lasts = append(lasts, s.last)
		ready := make(chan struct{})
		wake := func() {
			select {
			case <-ready:
				woken <- s
			default:
			}
		}
		n := w.nodes[i%nodes]
		seat, err := n.relay.Subscribe("d", hub.Peer{Session: uint64(i + 1)}, wake)
		if err != nil {
			b.Fatal(err)
		}
		s.next = seat.Next
		close(ready)
		var t hub.Turn
		if err := seat.SendInTurn(context.Background(), syncproto.Message{Kind: syncproto.KindSyncStep1, Payload: []byte{0}}, &t); err != nil {
			b.Fatal(err)
		}
		if t.Begin() {
			t.Step()
		}
		wake()
	}
	wait := func(n int64) {
		for got.Load() < n {
			<-time.After(50 * time.Microsecond)
		}
	}
	wait(benchReaders)
	author, err := w.nodes[0].hub.Subscribe("d", hub.Peer{Session: 1 << 41, CanWrite: true}, func() {})
	if err != nil {
		b.Fatal(err)
	}
	defer author.Close()
	casts, before := w.nodes[0].casts(), got.Load()
	used := cpu()
	var took []time.Duration
	b.ResetTimer()
	for i := range b.N {
		sent := now()
		m := syncproto.Message{Kind: syncproto.KindUpdate, Payload: typed(i)}
		if err := author.Send(context.Background(), m); err != nil {
			b.Fatal(err)
		}
		wait(before + int64(i+1)*benchReaders)
		for _, l := range lasts {
			took = append(took, time.Duration(l.Load()-sent))
		}
	}
	b.StopTimer()
	deliveries := float64(b.N) * benchReaders
	slices.Sort(took)
	b.ReportMetric(float64(cpu()-used)/deliveries, "cpu-ns/delivery")
	b.ReportMetric((w.nodes[0].casts()-casts)/float64(b.N), "crossings/edit")
	b.ReportMetric(float64(took[len(took)*99/100])/1e6, "p99-ms")
}

// typed is the update of one more character at the end.
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
