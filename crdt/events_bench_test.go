package crdt

import "testing"

// watchKinds are ways to watch a document, from nobody to an observer that reads
// every delta.
var watchKinds = []struct {
	name  string
	watch func(*Doc)
}{
	{"nobody", func(*Doc) {}},
	{"stopped", func(d *Doc) {
		d.Text("t").Observe(func(*Event) {})()
		d.OnCommit(func(*Commit) {})()
		d.OnSubdocs(func(*SubdocsEvent) {})()
		d.Text("t").ObserveDeep(func([]*Event) {})()
	}},
	{"commits", func(d *Doc) { d.OnCommit(func(*Commit) {}) }},
	{"another-type", func(d *Doc) { d.Map("m").Observe(func(*Event) {}) }},
	{"observed", func(d *Doc) { d.Text("t").Observe(func(*Event) {}) }},
	{"delta", func(d *Doc) { d.Text("t").Observe(func(e *Event) { e.Delta() }) }},
}

// typeOn types n characters in transactions of their own, in a document of a few
// hundred blocks.
func typeOn(tb testing.TB, d *Doc, n int) {
	text := d.Text("t")
	for range n {
		if _, err := d.Transact(nil, func(tx *Txn) { text.Insert(tx, text.Len()/2, "x") }); err != nil {
			tb.Fatal(err)
		}
	}
}

// A document that nobody watches pays nothing for events: not an allocation, nor
// after the last observer is gone, nor for those who only want commits.
func TestWatchingIsFree(t *testing.T) {
	perEdit := func(watch func(*Doc)) float64 {
		d := New(Options{ClientID: 1})
		CheckAtEnd(t, d)
		text := d.Text("t")
		watch(d)
		typeOn(t, d, 2000)
		insert := func(tx *Txn) { text.Insert(tx, 1000, "x") }
		return testing.AllocsPerRun(1000, func() {
			if _, err := d.Transact(nil, insert); err != nil {
				t.Fatal(err)
			}
		})
	}
	nobody := perEdit(watchKinds[0].watch)
	for _, k := range watchKinds[1:3] {
		if n := perEdit(k.watch); n != nobody {
			t.Errorf("%s: %v allocations per edit, %v if nobody ever watched", k.name, n, nobody)
		}
	}
	d := New(Options{})
	CheckAtEnd(t, d)
	typeOn(t, d, 10)
	if d.watch != nil {
		t.Error("watchers of a document that nobody watches")
	}
	if watchKinds[1].watch(d); d.watch.tracks() {
		t.Error("changed types are tracked for nobody")
	}
}

func BenchmarkLocalEdit(b *testing.B) {
	for _, k := range watchKinds {
		b.Run(k.name, func(b *testing.B) {
			b.ReportAllocs()
			start := cpuTime()
			for b.Loop() {
				d := New(Options{ClientID: 1})
				k.watch(d)
				typeOn(b, d, 1000)
			}
			reportCPU(b, start, 1000*b.N)
		})
	}
}

func BenchmarkRemoteEdit(b *testing.B) {
	var updates [][]byte
	d := New(Options{ClientID: 1})
	stop := d.OnCommit(func(c *Commit) { updates = append(updates, c.AppendUpdate(nil, V1)) })
	typeOn(b, d, 1000)
	stop()
	for _, k := range watchKinds {
		b.Run(k.name, func(b *testing.B) {
			b.ReportAllocs()
			start := cpuTime()
			for b.Loop() {
				d := serverDoc()
				k.watch(d)
				for _, u := range updates {
					if _, err := d.Apply(nil, V1, u); err != nil {
						b.Fatal(err)
					}
				}
			}
			reportCPU(b, start, len(updates)*b.N)
		})
	}
}
