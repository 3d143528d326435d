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
	"testing"
	"time"
)

var (
	runFor = flag.Duration("for", 10*time.Second, "how long to try random histories; from 1m on a large document too")
	seed   = flag.Uint64("seed", 0, "the one history to run, compared after every step; 0: many")
	only   = flag.String("only", "", "with -seed: the steps of the history to do, as a failure prints them; empty: all")
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
	r := &runner{peer: p, first: firstSeed(), end: time.Now().Add(*runFor)}
	f := r.run()
	t.Log(r)
	if f != nil {
		t.Errorf("-seed %d: %v\nminimising …", f.plan.seed, f)
		t.Fatal(minimise(t, f))
	}
}

// runner runs many histories. While Yjs runs one, the next are made here.
type runner struct {
	peer       *peer
	first      uint64
	end        time.Time
	began      time.Time
	work       work
	mismatches int
}

func (r *runner) String() string {
	secs := time.Since(r.began).Seconds()
	return fmt.Sprintf("seeds %d to %d: %d histories, %d operations, %d deliveries, %d steps, %d states, %d mismatches in %.0f s (%.0f operations/s)",
		r.first, r.first+uint64(max(r.work.histories, 1))-1, r.work.histories, r.work.operations, r.work.deliveries, r.work.steps, r.work.states,
		r.mismatches, secs, float64(r.work.operations)/secs)
}

// inFlight is how many histories may be on their way.
const inFlight = 4

func (r *runner) run() *failure {
	type sent struct {
		h   *history
		err error // of the history here, or of sending it
	}
	r.began = time.Now()
	stop, flight := make(chan struct{}), make(chan sent, inFlight)
	go func() {
		defer close(flight)
		for s := r.first; time.Now().Before(r.end); s++ {
			h := newHistory(plan{seed: s})
			err := h.run()
			if err == nil {
				err = r.peer.send("run", arg{"history", h.script()})
			}
			select {
			case flight <- sent{h, err}:
			case <-stop:
				return
			}
			if err != nil {
				return
			}
		}
	}()
	var found *failure
	for s := range flight {
		if s.err != nil {
			found = &failure{s.h.plan, len(s.h.steps), s.err}
		} else {
			line, err := r.peer.receive()
			if err != nil {
				found = &failure{s.h.plan, 0, err}
			} else {
				found = s.h.judge(line)
			}
		}
		if found != nil {
			r.mismatches++
			close(stop)
			return found
		}
		r.work.add(s.h.work)
	}
	return nil
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
