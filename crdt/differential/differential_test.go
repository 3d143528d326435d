// Package differential drives this engine and a real Yjs through the same
// random histories and compares, after every step, all that it made: the updates
// that edits emit, the clean-ups after remote formatting, merges, differences
// and conversions; and now and then, and at the end, whole states in both
// formats, state vectors, pending data and content.
package differential

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	runFor = flag.Duration("for", 10*time.Second, "how long to try random histories; from 1m on a large document too")
	seed   = flag.Uint64("seed", 0, "the one history to run, compared after every step; 0: many")
	only   = flag.String("only", "", "with -seed: the steps of the history to do, as a failure prints them; empty: all")
	peers  = flag.Int("peers", 2, "how many real Yjs run histories at the same time")
	from   = flag.Uint64("from", 1, "the seed of the first of many histories; 0: a random one")
)

// firstSeed is where a run of many begins. A test run is the same every time;
// new ground is for the longer hunt.
func firstSeed() uint64 {
	switch {
	case *seed != 0:
		return *seed
	case *from != 0:
		return *from
	default:
		return rand.Uint64() >> 1
	}
}

// eachHistory runs histories against a real Yjs for a while, one after the other,
// or the one that is asked for.
func eachHistory(t *testing.T, while time.Duration, run func(p *peer, seed uint64) error) {
	t.Helper()
	p, ok := needPeer(t)
	if !ok {
		return
	}
	first := firstSeed()
	t.Logf("seeds from %d", first)
	ran := 0
	for end := time.Now().Add(while); time.Now().Before(end); ran++ {
		s := first + uint64(ran)
		if err := run(p, s); err != nil {
			t.Fatalf("after %d histories, -seed %d: %v", ran, s, err)
		}
		if *seed != 0 {
			return
		}
	}
	t.Logf("%d histories agree", ran)
}

func TestDifferential(t *testing.T) {
	p, ok := needPeer(t)
	if !ok {
		return
	}
	if *seed != 0 {
		one := plan{seed: *seed, careful: true}
		var err error
		if one.only, err = parseAtoms(*only); err != nil {
			t.Fatal(err)
		}
		f := p.try(one)
		switch {
		case f != nil && one.only != nil:
			t.Fatal(p.explain(f))
		case f != nil:
			t.Fatal(minimise(t, f))
		}
		return
	}
	r := &runner{t: t, first: firstSeed(), began: time.Now(), end: time.Now().Add(*runFor)}
	r.next.Store(r.first)
	var lanes sync.WaitGroup
	for range *peers - 1 {
		another, err := startPeer(t)
		if err != nil {
			t.Fatal(err)
		}
		lanes.Go(func() { r.lane(another) })
	}
	lanes.Go(func() { r.lane(p) })
	lanes.Wait()
	t.Log(r)
	if r.found != nil {
		t.Fatal("minimising the first one …\n", minimise(t, r.found))
	}
}

// runner runs many histories.
type runner struct {
	t     *testing.T
	first uint64
	next  atomic.Uint64 // seed
	began time.Time
	end   time.Time

	mu         sync.Mutex
	work       work
	told       time.Time // when the totals were told last
	mismatches int
	found      *failure // the first one
}

func (r *runner) String() string {
	secs := time.Since(r.began).Seconds()
	return fmt.Sprintf("seeds from %d on: %d histories, %d operations, %d deliveries, %d steps, %d states, %d mismatches in %.0f s (%.0f operations/s)",
		r.first, r.work.histories, r.work.operations, r.work.deliveries, r.work.steps, r.work.states,
		r.mismatches, secs, float64(r.work.operations)/secs)
}

// inFlight is how many histories may be on their way to a peer.
const inFlight = 4

// lane runs histories in one peer. While Yjs runs one, the next are made here.
func (r *runner) lane(p *peer) {
	type sent struct {
		h   *history
		err error // of the history here, or of sending it
	}
	stop, flight := make(chan struct{}), make(chan sent, inFlight)
	go func() {
		defer close(flight)
		for time.Now().Before(r.end) {
			h := newHistory(plan{seed: r.next.Add(1) - 1})
			s := sent{h: h, err: h.run()}
			if s.err == nil {
				s.err = p.send("run", arg{"history", h.script()})
			}
			select {
			case flight <- s:
			case <-stop:
				return
			}
		}
	}()
	for s := range flight {
		if s.err != nil {
			r.note(s.h, &failure{s.h.plan, len(s.h.steps), s.err})
			continue
		}
		line, err := p.receive()
		if err != nil {
			r.note(s.h, &failure{s.h.plan, 0, err})
			close(stop)
			return
		}
		r.note(s.h, s.h.judge(line))
	}
}

// note counts a history; f is nil if both sides agree.
func (r *runner) note(h *history, f *failure) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.work.add(h.work)
	if f != nil {
		r.mismatches++
		r.t.Errorf("-seed %d: %v", f.plan.seed, f)
		if r.found == nil {
			r.found = f
		}
	}
	if now := time.Now(); now.Sub(r.told) > time.Minute {
		r.told = now
		r.t.Log(r)
	}
}

// failure is a step after which Yjs has something else than we have.
type failure struct {
	plan plan
	step int
	err  error
}

func (f *failure) Error() string { return fmt.Sprintf("step %d: %v", f.step, f.err) }

// answer is what the peer says about a history.
type answer struct {
	OK     bool
	Err    string
	Sums   []uint64
	Thrown string
	Detail json.RawMessage
}

// judge compares what every step made.
func (h *history) judge(line []byte) *failure {
	var a answer
	if err := json.Unmarshal(line, &a); err != nil {
		return &failure{h.plan, 0, err}
	}
	if !a.OK {
		return &failure{h.plan, 0, &yjsError{a.Err}}
	}
	for i, s := range a.Sums {
		if s != h.sums[i] {
			return &failure{h.plan, i, errDifferent}
		}
	}
	if a.Thrown != "" {
		return &failure{h.plan, len(a.Sums), &yjsError{a.Thrown}}
	}
	return nil
}

// parseAtoms reads steps as atoms are printed.
func parseAtoms(s string) (map[atom]bool, error) {
	if s == "" {
		return nil, nil
	}
	out := map[atom]bool{}
	for _, field := range strings.Split(s, ",") {
		step, edit, _ := strings.Cut(field, ".")
		var a atom
		var err error
		if a.step, err = strconv.Atoi(step); err != nil {
			return nil, err
		}
		if edit != "" {
			if a.edit, err = strconv.Atoi(edit); err != nil {
				return nil, err
			}
		}
		out[a] = true
	}
	return out, nil
}

func (a atom) String() string {
	if a.edit == 0 {
		return strconv.Itoa(a.step)
	}
	return strconv.Itoa(a.step) + "." + strconv.Itoa(a.edit)
}
