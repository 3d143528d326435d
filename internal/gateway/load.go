package gateway

import (
	"math"
	"runtime/debug"
	rt "runtime/metrics"
	"slices"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"ysync/internal/session"
)

// Marks are what the node may be loaded with.
type Marks struct {
	// Press is the delay of what is ready to run from which on every session
	// gets a fair share. Default 25 ms.
	Press time.Duration
	// Shed is the delay from which on, when it lasts, new connections are
	// refused. Default 1 s; less than 0 for never.
	Shed time.Duration
	// Memory is the part of the memory limit, in percent, that may be alive
	// before new connections are refused. Default 85; less than 0 for any.
	Memory int
}

func (m Marks) withDefaults() Marks {
	if m.Press <= 0 {
		m.Press = 25 * time.Millisecond
	}
	if m.Shed == 0 {
		m.Shed = time.Second
	}
	if m.Memory == 0 {
		m.Memory = 85
	}
	return m
}

const (
	// lookEvery is how often the load is measured.
	lookEvery = 250 * time.Millisecond
	// shedAfter is how many measurements in a row must be past Marks.Shed, and
	// calmAfter how many below half of a mark before it is over.
	shedAfter = 8
	calmAfter = 4
)

// measured is one look at the process.
type measured struct {
	// delay is what nine of ten goroutines waited at most between being ready
	// to run and running, since the look before.
	delay time.Duration
	// alive is the memory in use that no collection frees, limit what there may
	// be; 0 for no bound.
	alive, limit uint64
}

// load judges how loaded the node is.
type load struct {
	marks Marks

	pressed atomic.Uint32 // a session.Load
	shed    atomic.Pointer[shedding]
	slowed  atomic.Uint32 // waits over a limit since the last look

	// Owned by the sweeper.
	long, calm, quiet int // looks in a row past Shed, below half of Press, below half of Shed
	next              time.Time
	secondP           secondP
}

// shedding is why new connections are refused.
type shedding struct{ label, why string }

var (
	shedCPU    = &shedding{"cpu", "the node has too much to do"}
	shedMemory = &shedding{"memory", "the node is short of memory"}
)

// session is how sessions are to be read.
func (l *load) session() session.Load { return session.Load(l.pressed.Load()) }

// take judges a measurement.
func (l *load) take(m measured) {
	switch {
	case m.delay >= l.marks.Press:
		l.calm = 0
		l.pressed.Store(uint32(session.Pressed))
	case m.delay < l.marks.Press/2:
		if l.calm++; l.calm >= calmAfter {
			l.pressed.Store(uint32(session.Calm))
		}
	}
	full := l.marks.Memory > 0 && m.limit > 0 && m.alive/100 >= m.limit/10_000*uint64(l.marks.Memory)
	slow := l.marks.Shed > 0 && m.delay >= l.marks.Shed
	if slow {
		l.long, l.quiet = l.long+1, 0
	} else {
		l.long = 0
		if m.delay < l.marks.Shed/2 {
			l.quiet++
		}
	}
	before := l.shed.Load()
	switch {
	case full:
		l.shed.Store(shedMemory)
	case l.long >= shedAfter:
		l.shed.Store(shedCPU)
	case before == shedMemory, before == shedCPU && l.quiet >= calmAfter, l.marks.Shed < 0:
		l.shed.Store(nil)
	}
}

// watch measures the load from time to time. It is called by the sweeper.
func (s *Server) watch(now time.Time) {
	l := &s.load
	if now.Before(l.next) {
		return
	}
	l.next = now.Add(lookEvery)
	l.secondP.take(l.slowed.Swap(0))
	m := s.options.look()
	before, pressed := l.shed.Load(), l.session()
	l.take(m)
	s.metrics.RunDelay.Set(m.delay.Seconds())
	s.metrics.AliveBytes.Set(float64(m.alive))
	s.metrics.MemoryLimit.Set(float64(m.limit))
	fields := []zap.Field{zap.Duration("delay", m.delay), zap.Uint64("alive", m.alive), zap.Uint64("limit", m.limit)}
	if after := l.session(); after != pressed {
		s.metrics.Pressed.Set(float64(after))
		s.log.Debug("the load changed", append(fields, zap.Bool("pressed", after == session.Pressed))...)
	}
	if after := l.shed.Load(); after != before {
		if after == nil {
			s.metrics.Shedding.Set(0)
			s.log.Info("new connections are taken again", fields...)
			return
		}
		s.metrics.Shedding.Set(1)
		s.log.Warn("new connections are refused", append(fields, zap.String("reason", after.why))...)
	}
}

// probe reads the runtime's own figures.
type probe struct {
	samples []rt.Sample
	before  []uint64 // counts of the delays
}

func (p *probe) look() measured {
	if p.samples == nil {
		p.samples = []rt.Sample{{Name: "/sched/latencies:seconds"}, {Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	}
	rt.Read(p.samples)
	m := measured{alive: p.samples[1].Value.Uint64() + p.samples[2].Value.Uint64()}
	if limit := debug.SetMemoryLimit(-1); limit != math.MaxInt64 {
		m.limit = uint64(limit)
	}
	h := p.samples[0].Value.Float64Histogram()
	if p.before == nil {
		p.before = slices.Clone(h.Counts)
	}
	m.delay = ninth(h, p.before)
	copy(p.before, h.Counts)
	return m
}

// ninth is the lower bound of the bucket that nine of ten values since before
// do not exceed.
func ninth(h *rt.Float64Histogram, before []uint64) time.Duration {
	var all uint64
	for i, n := range h.Counts {
		all += n - before[i]
	}
	var above uint64
	for i := len(h.Counts) - 1; i > 0; i-- {
		if above += h.Counts[i] - before[i]; above*10 > all {
			return time.Duration(h.Buckets[i] * float64(time.Second))
		}
	}
	return 0
}
