package crdt_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"ysync/internal/vectors"
	"ysync/internal/vectors/replica"
)

// The tests TestConformance… replay recorded behaviour of Yjs (package vectors)
// against this package. Each prints how many checks passed, by name; none is
// left out.

func TestConformanceEdit(t *testing.T)      { conform(t, "edit") }
func TestConformanceSingle(t *testing.T)    { conform(t, "single") }
func TestConformanceGC(t *testing.T)        { conform(t, "gc") }
func TestConformanceFuzz(t *testing.T)      { conform(t, "fuzz") }
func TestConformanceEditors(t *testing.T)   { conform(t, "editors") }
func TestConformanceUpdates(t *testing.T)   { conform(t, "updates") }
func TestConformanceSnapshot(t *testing.T)  { conform(t, "snapshot") }
func TestConformanceRelpos(t *testing.T)    { conform(t, "relpos") }
func TestConformanceUndo(t *testing.T)      { conform(t, "undo") }
func TestConformanceParity(t *testing.T)    { conform(t, "parity") }
func TestConformanceMalformed(t *testing.T) { conform(t, "malformed") }

func conform(t *testing.T, family string) {
	cases, err := vectors.Read(family)
	if err != nil {
		t.Fatal(err)
	}
	sum := newTally()
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			k := &checker{t: t, tally: sum}
			switch c.Kind {
			case "doc":
				k.runDoc(&c)
			case "trace":
				k.runTrace(&c)
			case "malformed":
				k.runMalformed(&c)
			default:
				t.Fatalf("unknown kind %q", c.Kind)
			}
			sum.cases++
		})
	}
	t.Logf("%s: %d of %d cases, %s", family, sum.cases, len(cases), sum)
}

// tally counts checks by name.
type tally struct {
	cases  int
	passed map[string]int
	noted  map[string]int // facts worth knowing that are neither
}

func newTally() *tally {
	return &tally{passed: map[string]int{}, noted: map[string]int{}}
}

func (s *tally) String() string {
	total := 0
	for _, n := range s.passed {
		total += n
	}
	out := fmt.Sprintf("%d checks passed (%s)", total, list(s.passed))
	if len(s.noted) > 0 {
		out += "; noted: " + list(s.noted)
	}
	return out
}

func list(counts map[string]int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, counts[name]))
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

// checker runs one case.
type checker struct {
	t     *testing.T
	tally *tally
	at    string // where in the case
}

// pass counts a check, or ends the case if it failed.
func (k *checker) pass(name string, problem string) {
	k.t.Helper()
	if problem != "" {
		k.t.Fatalf("%s: %s: %s", k.at, name, problem)
	}
	k.tally.passed[name]++
}

// must ends the case if something went wrong that should have worked.
func (k *checker) must(name string, err error) {
	k.t.Helper()
	if err != nil {
		k.t.Fatalf("%s: %s: %v", k.at, name, err)
	}
}

// differ tells how two byte strings differ, "" if they do not.
func differ(want, got []byte) string {
	if bytes.Equal(want, got) {
		return ""
	}
	at := 0
	for at < len(want) && at < len(got) && want[at] == got[at] {
		at++
	}
	return fmt.Sprintf("want %d bytes, got %d, first difference at %d\nwant %x\ngot  %x", len(want), len(got), at, clip(want), clip(got))
}

func clip(b []byte) []byte { return b[:min(len(b), 600)] }

func differMap(want, got map[string]uint64) string {
	if maps.Equal(want, got) {
		return ""
	}
	return fmt.Sprintf("want %v, got %v", want, got)
}

func differRanges(want, got map[string][][2]uint64) string {
	if maps.EqualFunc(want, got, slices.Equal) {
		return ""
	}
	return fmt.Sprintf("want %v, got %v", want, got)
}

func differPending(want, got *vectors.Pending) string {
	switch {
	case want == nil && got == nil:
		return ""
	case want == nil || got == nil:
		return fmt.Sprintf("want %+v, got %+v", want, got)
	case want.DS != got.DS || !maps.Equal(want.Missing, got.Missing):
		return fmt.Sprintf("want %+v, got %+v", *want, *got)
	}
	return ""
}

// differEmitted compares updates with the events of a recorded transaction.
func differEmitted(want vectors.Value, got []replica.Emitted) string {
	if len(want.List) != len(got) {
		return fmt.Sprintf("want %d updates, got %d", len(want.List), len(got))
	}
	for i, w := range want.List {
		v1, err1 := w.Get("v1").Bytes()
		v2, err2 := w.Get("v2").Bytes()
		if err1 != nil || err2 != nil {
			return fmt.Sprintf("the recorded update is broken: %v, %v", err1, err2)
		}
		if d := differ(v1, got[i].V1); d != "" {
			return fmt.Sprintf("update %d, V1: %s", i, d)
		}
		if d := differ(v2, got[i].V2); d != "" {
			return fmt.Sprintf("update %d, V2: %s", i, d)
		}
		if w.Get("local").Bool != got[i].Local {
			return fmt.Sprintf("update %d: want local %v", i, w.Get("local").Bool)
		}
	}
	return ""
}
