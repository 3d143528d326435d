package crdt

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// rowInputs are the inputs of the rows B1 and B2 of crdt-benchmarks.
type rowInputs struct {
	InitText                           string
	Append, Prepend, Insert1, Insert6  string
	Random4, Random5, Random7          []traceEdit
	Push, InsertNumbers, UnshiftValues []int
	Random11                           [][2]int
	Paste2                             []string
	Edit2, Words2, Mixed2              [][]traceEdit
}

func readRowInputs(tb testing.TB) *rowInputs {
	tb.Helper()
	z, err := gzip.NewReader(bytes.NewReader(readTestdata(tb, "b1b2.inputs.json.gz")))
	if err != nil {
		tb.Fatal(err)
	}
	var raw map[string]json.RawMessage
	if err := json.NewDecoder(z).Decode(&raw); err != nil {
		tb.Fatal(err)
	}
	in := &rowInputs{}
	for name, to := range map[string]any{
		"initText": &in.InitText, "B1.1": &in.Append, "B1.2": &in.Insert1, "B1.3": &in.Prepend,
		"B1.4": &in.Random4, "B1.5": &in.Random5, "B1.6": &in.Insert6, "B1.7": &in.Random7,
		"B1.8": &in.Push, "B1.9": &in.InsertNumbers, "B1.10": &in.UnshiftValues, "B1.11": &in.Random11,
		"B2.1": &in.Paste2, "B2.2": &in.Edit2, "B2.3": &in.Words2, "B2.4": &in.Mixed2,
	} {
		if err := json.Unmarshal(raw[name], to); err != nil {
			tb.Fatalf("%s: %v", name, err)
		}
	}
	return in
}

// pair is two replicas in lock-step.
type pair struct {
	tb   testing.TB
	docs [2]*Doc
	buf  []byte
}

func newPair(tb testing.TB) *pair {
	return &pair{tb: tb, docs: [2]*Doc{New(Options{ClientID: 1815943022}), New(Options{ClientID: 3021377542})}}
}

// do edits one replica and hands the update to the other.
func (p *pair) do(i int, fn func(*Txn)) {
	p.edit(i, fn)
	if _, err := p.docs[1-i].Apply(nil, V1, p.buf); err != nil {
		p.tb.Fatal(err)
	}
}

// edit edits one replica and leaves the update in buf.
func (p *pair) edit(i int, fn func(*Txn)) {
	c, err := p.docs[i].Transact(nil, fn)
	if err != nil {
		p.tb.Fatal(err)
	}
	p.buf = c.AppendUpdate(p.buf[:0], V1)
}

func (p *pair) check() {
	if a, b := p.docs[0].AppendState(nil, V1), p.docs[1].AppendState(nil, V1); len(a) == 0 || len(a) != len(b) {
		p.tb.Fatalf("states of %d and %d bytes", len(a), len(b))
	}
}

func (e *traceEdit) do(tx *Txn, text Text) {
	if e.del > 0 {
		text.Delete(tx, e.at, e.del)
	}
	if e.ins != "" {
		text.Insert(tx, e.at, e.ins)
	}
}

// lockStep makes each edit in the first replica and applies its update to the second.
func lockStep(n int, edit func(d *Doc) func(i int) func(*Txn)) func(*testing.B) {
	return func(b *testing.B) {
		b.ReportAllocs()
		start := cpuTime()
		for b.Loop() {
			p := newPair(b)
			fn := edit(p.docs[0])
			for i := range n {
				p.do(0, fn(i))
			}
			p.check()
		}
		reportCPU(b, start, b.N)
	}
}

func lockStepText(edits []traceEdit) func(*testing.B) {
	return lockStep(len(edits), func(d *Doc) func(int) func(*Txn) {
		text := d.Text("text")
		return func(i int) func(*Txn) {
			return func(tx *Txn) { edits[i].do(tx, text) }
		}
	})
}

func lockStepArray(n int, edit func(tx *Txn, a Array, i int)) func(*testing.B) {
	return lockStep(n, func(d *Doc) func(int) func(*Txn) {
		a := d.Array("array")
		return func(i int) func(*Txn) {
			return func(tx *Txn) { edit(tx, a, i) }
		}
	})
}

// twoAuthors lets two replicas edit a common text, in turn or, if concurrent, each all its edits
// before it hears of the other's.
func twoAuthors(init string, edits [][]traceEdit, concurrent func() bool) func(*testing.B) {
	return func(b *testing.B) {
		b.ReportAllocs()
		start := cpuTime()
		for b.Loop() {
			p := newPair(b)
			texts := [2]Text{p.docs[0].Text("text"), p.docs[1].Text("text")}
			p.do(0, func(tx *Txn) { texts[0].Insert(tx, 0, init) })
			var waiting [2][][]byte
			for i := range edits[0] {
				for who := range 2 {
					if i >= len(edits[who]) {
						continue
					}
					p.edit(who, func(tx *Txn) { edits[who][i].do(tx, texts[who]) })
					waiting[who] = append(waiting[who], bytes.Clone(p.buf))
				}
				if concurrent() && i+1 < len(edits[0]) {
					continue
				}
				for who := range 2 {
					for _, u := range waiting[who] {
						if _, err := p.docs[1-who].Apply(nil, V1, u); err != nil {
							b.Fatal(err)
						}
					}
					waiting[who] = waiting[who][:0]
				}
			}
			p.check()
		}
		reportCPU(b, start, b.N)
	}
}

func numbers(in []int) []Value {
	out := make([]Value, len(in))
	for i, n := range in {
		out[i] = Int(n)
	}
	return out
}

func single(s string, at func(i int) int) []traceEdit {
	out := make([]traceEdit, len(s))
	for i := range s {
		out[i] = traceEdit{at: at(i), ins: s[i : i+1]}
	}
	return out
}

func BenchmarkRows(b *testing.B) {
	in := readRowInputs(b)
	run := func(name string, f func(*testing.B)) { b.Run(name, f) }
	run("B1.1", lockStepText(single(in.Append, func(i int) int { return i })))
	run("B1.2", lockStepText([]traceEdit{{ins: in.Insert1}}))
	run("B1.3", lockStepText(single(in.Prepend, func(int) int { return 0 })))
	run("B1.4", lockStepText(in.Random4))
	run("B1.5", lockStepText(in.Random5))
	run("B1.6", lockStepText([]traceEdit{{ins: in.Insert6}, {del: len(in.Insert6)}}))
	run("B1.7", lockStepText(in.Random7))
	run("B1.8", lockStepArray(len(in.Push), func(tx *Txn, a Array, i int) { a.Push(tx, Int(in.Push[i])) }))
	vals := numbers(in.InsertNumbers)
	run("B1.9", lockStepArray(1, func(tx *Txn, a Array, _ int) { a.Insert(tx, 0, vals...) }))
	run("B1.10", lockStepArray(len(in.UnshiftValues), func(tx *Txn, a Array, i int) { a.Insert(tx, 0, Int(in.UnshiftValues[i])) }))
	run("B1.11", lockStepArray(len(in.Random11), func(tx *Txn, a Array, i int) { a.Insert(tx, in.Random11[i][0], Int(in.Random11[i][1])) }))
	paste := [][]traceEdit{{{at: 8, ins: in.Paste2[0]}}, {{at: 8, ins: in.Paste2[1]}}}
	inTurn, atOnce := func() bool { return false }, func() bool { return true }
	run("B2.1", twoAuthors(in.InitText, paste, atOnce))
	run("B2.2", twoAuthors(in.InitText, in.Edit2, inTurn))
	run("B2.3", twoAuthors(in.InitText, in.Words2, inTurn))
	run("B2.4", twoAuthors(in.InitText, in.Mixed2, inTurn))
	run("B2c.2", twoAuthors(in.InitText, in.Edit2, atOnce))
	run("B2c.3", twoAuthors(in.InitText, in.Words2, atOnce))
	run("B2c.4", twoAuthors(in.InitText, in.Mixed2, atOnce))
	const clients = 1540
	many := func(edit func(tx *Txn, d *Doc, i int)) func(*testing.B) {
		var updates [][]byte
		for i := range clients {
			d := New(Options{ClientID: ClientID(1 + i*7919%100_003)})
			c, err := d.Transact(nil, func(tx *Txn) { edit(tx, d, i) })
			if err != nil {
				b.Fatal(err)
			}
			updates = append(updates, c.AppendUpdate(nil, V1))
		}
		return func(b *testing.B) {
			b.ReportAllocs()
			start := cpuTime()
			for b.Loop() {
				d := New(Options{ClientID: 1 << 31})
				for _, u := range updates {
					if _, err := d.Apply(nil, V1, u); err != nil {
						b.Fatal(err)
					}
				}
			}
			reportCPU(b, start, b.N)
		}
	}
	run("B3.1", many(func(tx *Txn, d *Doc, i int) { d.Map("map").Set(tx, "v", Int(i)) }))
	run("B3.2", many(func(tx *Txn, d *Doc, i int) {
		d.Map("map").Set(tx, "v", Object(Field{"name", String(fmt.Sprint(i))}, Field{"address", String("here")}))
	}))
	run("B3.3", many(func(tx *Txn, d *Doc, i int) {
		d.Map("map").Set(tx, "v", String(string(bytes.Repeat([]byte("x"), i))))
	}))
	run("B3.4", many(func(tx *Txn, d *Doc, i int) { d.Text("text").Insert(tx, 0, fmt.Sprint(i)) }))
	run("B3.5", many(func(tx *Txn, d *Doc, i int) { d.Array("array").Insert(tx, 0, Int(i)) }))
}

// scattered makes n edits at random places of a text, all in one transaction.
func scattered(tb testing.TB, n, length int, edit func(tx *Txn, text Text, at int)) (took time.Duration) {
	tb.Helper()
	d := New(Options{ClientID: 1})
	text := d.Text("text")
	rng := rand.New(rand.NewPCG(1, 2))
	for _, fn := range []func(*Txn){
		func(tx *Txn) { text.Insert(tx, 0, strings.Repeat("0123456789", length/10)) },
		func(tx *Txn) {
			took = cpuTime()
			for range n {
				edit(tx, text, rng.IntN(text.Len()))
			}
			took = cpuTime() - took
		},
	} {
		if _, err := d.Transact(nil, fn); err != nil {
			tb.Fatal(err)
		}
	}
	if err := d.Check(); err != nil {
		tb.Fatal(err)
	}
	return took
}

func deleteOne(tx *Txn, text Text, at int) { text.Delete(tx, at, 1) }
func insertOne(tx *Txn, text Text, at int) { text.Insert(tx, at, "x") }
func formatOne(tx *Txn, text Text, at int) { text.Format(tx, at, 1, Attrs{{"b", Bool(at%2 == 0)}}) }

// BenchmarkScattered makes many edits in one transaction.
func BenchmarkScattered(b *testing.B) {
	for name, edit := range map[string]func(*Txn, Text, int){"deletes": deleteOne, "inserts": insertOne, "formats": formatOne} {
		for _, n := range []int{4096, 16384} {
			b.Run(fmt.Sprint(name, n), func(b *testing.B) {
				b.ReportAllocs()
				start := cpuTime()
				for b.Loop() {
					scattered(b, n, 10*n, edit)
				}
				reportCPU(b, start, b.N)
			})
		}
	}
}
