package crdt

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"syscall"
	"testing"
	"time"

	"ysync/internal/lib0"
)

func readTestdata(tb testing.TB, name string) []byte {
	tb.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// readUpdates returns the updates of a recorded editing session.
func readUpdates(tb testing.TB, name string) [][]byte {
	tb.Helper()
	z, err := gzip.NewReader(bytes.NewReader(readTestdata(tb, name)))
	if err != nil {
		tb.Fatal(err)
	}
	all, err := io.ReadAll(z)
	if err != nil {
		tb.Fatal(err)
	}
	var out [][]byte
	for r := lib0.NewReader(all); r.Len() > 0; {
		out = append(out, r.Bytes())
	}
	return out
}

// cpuTime is what the process used: on a busy machine it says more than the
// time that passed.
func cpuTime() time.Duration {
	var ru syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &ru); err != nil {
		return 0
	}
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}

// CPUTime is cpuTime for the tests outside of the package.
func CPUTime() time.Duration { return cpuTime() }

// reportCPU reports the CPU time of n operations begun at start.
func reportCPU(b *testing.B, start time.Duration, n int) {
	b.ReportMetric(float64(cpuTime()-start)/float64(n), "cpu-ns/op")
}

func serverDoc() *Doc { return New(Options{ClientID: 1, NoFormatCleanup: true}) }

// The end state of a trace has the bytes that Yjs gives.
func TestTraceStates(t *testing.T) {
	for _, name := range []string{"b4", "friendsforever"} {
		d := serverDoc()
		for i, u := range readUpdates(t, name+".updates.v1.bin.gz") {
			c, err := d.Apply(nil, V1, u)
			if err != nil {
				t.Fatalf("%s, update %d: %v", name, i, err)
			}
			if !c.Relayable() || c.Empty() || c.LeftPending() {
				t.Fatalf("%s, update %d: relayable %v, empty %v, pending %v", name, i, c.Relayable(), c.Empty(), c.LeftPending())
			}
		}
		if err := d.Check(); err != nil {
			t.Fatal(err)
		}
		if got := d.AppendState(nil, V1); !bytes.Equal(got, readTestdata(t, name+".state.v1.bin")) {
			t.Errorf("%s: state V1 differs", name)
		}
	}
	d := serverDoc()
	if _, err := d.Apply(nil, V2, readTestdata(t, "b4.state.v2.bin")); err != nil {
		t.Fatal(err)
	}
	if got := d.AppendState(nil, V2); !bytes.Equal(got, readTestdata(t, "b4.state.v2.bin")) {
		t.Error("b4: state V2 differs")
	}
}

func benchApply(b *testing.B, v Version, state []byte) {
	b.ReportAllocs()
	b.SetBytes(int64(len(state)))
	start := cpuTime()
	for b.Loop() {
		if _, err := serverDoc().Apply(nil, v, state); err != nil {
			b.Fatal(err)
		}
	}
	reportCPU(b, start, b.N)
}

func BenchmarkApplyStateV1(b *testing.B) { benchApply(b, V1, readTestdata(b, "b4.state.v1.bin")) }
func BenchmarkApplyStateV2(b *testing.B) { benchApply(b, V2, readTestdata(b, "b4.state.v2.bin")) }
func BenchmarkApplyTiny(b *testing.B)    { benchApply(b, V1, readTestdata(b, "tiny.state.v1.bin")) }

func benchEncode(b *testing.B, v Version) {
	d := serverDoc()
	if _, err := d.Apply(nil, V1, readTestdata(b, "b4.state.v1.bin")); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	var buf []byte
	start := cpuTime()
	for b.Loop() {
		buf = d.AppendState(buf[:0], v)
	}
	reportCPU(b, start, b.N)
	b.ReportMetric(float64(d.Bytes()), "doc-B")
}

func BenchmarkEncodeStateV1(b *testing.B) { benchEncode(b, V1) }
func BenchmarkEncodeStateV2(b *testing.B) { benchEncode(b, V2) }

func benchTrace(b *testing.B, name string, each func(*Doc, *Commit)) {
	updates := readUpdates(b, name)
	b.ReportAllocs()
	b.ResetTimer()
	start := cpuTime()
	n := 0
	for b.Loop() {
		d := serverDoc()
		for _, u := range updates {
			c, err := d.Apply(nil, V1, u)
			if err != nil {
				b.Fatal(err)
			}
			if each != nil {
				each(d, c)
			}
		}
		n += len(updates)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/update")
	reportCPU(b, start, n)
}

func BenchmarkApplyTrace(b *testing.B) { benchTrace(b, "b4.updates.v1.bin.gz", nil) }

func BenchmarkApplyTraceAndEncode(b *testing.B) {
	var buf []byte
	benchTrace(b, "b4.updates.v1.bin.gz", func(d *Doc, c *Commit) { buf = c.AppendUpdate(buf[:0], V1) })
}

func BenchmarkApplyTraceTwoAuthors(b *testing.B) {
	benchTrace(b, "friendsforever.updates.v1.bin.gz", nil)
}

func BenchmarkMergeAll(b *testing.B) { benchMerge(b, readUpdates(b, "b4.updates.v1.bin.gz")) }
func BenchmarkMerge16000(b *testing.B) {
	benchMerge(b, readUpdates(b, "b4.updates.v1.bin.gz")[:16000])
}

func benchMerge(b *testing.B, updates [][]byte) {
	b.ReportAllocs()
	start := cpuTime()
	for b.Loop() {
		if _, err := Merge(V1, updates...); err != nil {
			b.Fatal(err)
		}
	}
	reportCPU(b, start, b.N)
}

func BenchmarkChunks(b *testing.B) {
	d := serverDoc()
	if _, err := d.Apply(nil, V1, readTestdata(b, "b4.state.v1.bin")); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		for range d.Chunks(StateVector{}, 64<<10) {
		}
	}
}
