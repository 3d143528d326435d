package main

import (
	"strconv"
	"strings"

	"ysync/crdt"
)

// Client IDs of the two authors, of the length that random ones have.
const (
	clientA crdt.ClientID = 1815943022
	clientB crdt.ClientID = 3021377542
)

// author is a document of a browser: formats are cleaned up, as in yjs.
func author(id crdt.ClientID) *crdt.Doc { return crdt.New(crdt.Options{ClientID: id}) }

// server is a document of a server.
func server() *crdt.Doc { return crdt.New(crdt.Options{ClientID: 1, NoFormatCleanup: true}) }

func apply(d *crdt.Doc, v crdt.Version, update []byte) *crdt.Commit {
	c, err := d.Apply(nil, v, update)
	must(err)
	return c
}

func transact(d *crdt.Doc, fn func(*crdt.Txn)) *crdt.Commit {
	c, err := d.Transact(nil, fn)
	must(err)
	return c
}

func (o op) apply(tx *crdt.Txn, text crdt.Text) {
	if o.del > 0 {
		text.Delete(tx, o.at, o.del)
	}
	if o.ins != "" {
		text.Insert(tx, o.at, o.ins)
	}
}

func state(s *sample, d *crdt.Doc) { s.State = digest(d.AppendState(nil, crdt.V1)) }

// shown is what a row reads of a document. To read it is part of the row, to
// write it down for comparison is not.
type shown func(*crdt.Doc) (written func() []byte)

func shownText(d *crdt.Doc) func() []byte {
	s := d.Text("text").String()
	return func() []byte { return []byte(s) }
}

func shownArray(d *crdt.Doc) func() []byte {
	a := d.Array("array")
	values := a.Slice(0, a.Len())
	return func() []byte { return crdt.List(values...).AppendJSON(nil) }
}

func shownMap(d *crdt.Doc) func() []byte {
	v := d.Map("map").JSON()
	return func() []byte { return v.AppendJSON(nil) }
}

// edits makes n transactions on a document.
type edits struct {
	n  int
	do func(d *crdt.Doc) func(tx *crdt.Txn, i int)
}

// b1: one document makes all edits, then another gets the updates.
func b1(read shown, make func(*data) edits) func(*data) job {
	return func(d *data) job {
		e := make(d)
		var one, two *crdt.Doc
		var first, second func() []byte
		return job{
			run: func() {
				one, two = author(clientA), author(clientB)
				updates := [][]byte{}
				do := e.do(one)
				for i := range e.n {
					c := transact(one, func(tx *crdt.Txn) { do(tx, i) })
					updates = append(updates, c.AppendUpdate(nil, crdt.V1))
				}
				for _, u := range updates {
					apply(two, crdt.V1, u)
				}
				first, second = read(one), read(two)
			},
			check: func(s *sample) {
				s.Shown, s.Again = digest(first()), digest(second())
				state(s, two)
			},
		}
	}
}

// texts are edits of the text; ops are made of the row's input.
func texts(row string, ops func(string) []op) func(*data) edits {
	return func(d *data) edits { return textEdits(ops(input[string](d, row))) }
}

func textOps(row string) func(*data) edits {
	return func(d *data) edits { return textEdits(input[[]op](d, row)) }
}

func textEdits(ops []op) edits {
	return edits{len(ops), func(doc *crdt.Doc) func(*crdt.Txn, int) {
		text := doc.Text("text")
		return func(tx *crdt.Txn, i int) { ops[i].apply(tx, text) }
	}}
}

func eachChar(at func(i int) int) func(string) []op {
	return func(s string) []op {
		var ops []op
		for i := range len(s) {
			ops = append(ops, op{at(i), 0, s[i : i+1]})
		}
		return ops
	}
}

func atEnd(i int) int { return i }
func atStart(int) int { return 0 }

// numbers are insertions into the array, one a transaction.
func numbers(row string, at func(i int) int) func(*data) edits {
	return func(d *data) edits {
		var ns []number
		for i, n := range input[[]float64](d, row) {
			ns = append(ns, number{at(i), n})
		}
		return numberEdits(ns)
	}
}

func numberOps(row string) func(*data) edits {
	return func(d *data) edits { return numberEdits(input[[]number](d, row)) }
}

func numberEdits(ns []number) edits {
	return edits{len(ns), func(doc *crdt.Doc) func(*crdt.Txn, int) {
		array := doc.Array("array")
		return func(tx *crdt.Txn, i int) { array.Insert(tx, ns[i].at, crdt.Number(ns[i].n)) }
	}}
}

// allNumbers inserts all of them at once.
func allNumbers(row string) func(*data) edits {
	return func(d *data) edits {
		var values []crdt.Value
		for _, n := range input[[]float64](d, row) {
			values = append(values, crdt.Number(n))
		}
		return edits{1, func(doc *crdt.Doc) func(*crdt.Txn, int) {
			array := doc.Array("array")
			return func(tx *crdt.Txn, _ int) { array.Insert(tx, 0, values...) }
		}}
	}
}

// b2Input is what each of the two authors of a row of B2 does.
func b2Input(d *data, row string) (out [2][]op) {
	if row == "B2.1" {
		for i, s := range input[[2]string](d, row) {
			out[i] = []op{{0, 0, s}}
		}
		return out
	}
	return input[[2][]op](d, row)
}

// b2: two documents with a common start, one transaction each: the second after
// it has the first's, or apart and exchanged afterwards.
func b2(row string, apart bool) func(*data) job {
	return func(d *data) job {
		ops := b2Input(d, row)
		var docs [2]*crdt.Doc
		var read [2]func() []byte
		edit := func(i int) []byte {
			text := docs[i].Text("text")
			c := transact(docs[i], func(tx *crdt.Txn) {
				for _, o := range ops[i] {
					o.apply(tx, text)
				}
			})
			return c.AppendUpdate(nil, crdt.V1)
		}
		return job{
			setup: func() {
				docs = [2]*crdt.Doc{author(clientA), author(clientB)}
				text := docs[0].Text("text")
				c := transact(docs[0], func(tx *crdt.Txn) { text.Insert(tx, 0, input[string](d, "initText")) })
				apply(docs[1], crdt.V1, c.AppendUpdate(nil, crdt.V1))
			},
			run: func() {
				first := edit(0)
				if !apart {
					apply(docs[1], crdt.V1, first)
				}
				second := edit(1)
				if apart {
					apply(docs[1], crdt.V1, first)
				}
				apply(docs[0], crdt.V1, second)
				for i := range docs {
					read[i] = shownText(docs[i])
				}
			},
			check: func(s *sample) {
				s.Shown, s.Again = digest(read[0]()), digest(read[1]())
				state(s, docs[1])
			},
		}
	}
}

// clients of B3: 20 times the whole root of 6,000.
const clients = 1540

// b3: many clients make one change each; one of them gets all, update by update.
func b3(read shown, change func(d *crdt.Doc, i int) func(*crdt.Txn)) func(*data) job {
	return func(*data) job {
		id := func(i int) crdt.ClientID { return crdt.ClientID(uint32(i+1) * 2654435761) }
		var updates [][]byte
		made := func(i int) (*crdt.Doc, []byte) {
			d := author(id(i))
			return d, transact(d, change(d, i)).AppendUpdate(nil, crdt.V1)
		}
		var doc *crdt.Doc
		var seen func() []byte
		return job{
			setup: func() {
				for i := len(updates); i < clients; i++ {
					_, u := made(i)
					updates = append(updates, u)
				}
				doc, _ = made(1)
			},
			run: func() {
				for _, u := range updates {
					apply(doc, crdt.V1, u)
				}
				seen = read(doc)
			},
			check: func(s *sample) {
				s.Shown = digest(seen())
				state(s, doc)
			},
		}
	}
}

func setMap(value func(i int) crdt.Value) func(*crdt.Doc, int) func(*crdt.Txn) {
	return func(d *crdt.Doc, i int) func(*crdt.Txn) {
		m := d.Map("map")
		return func(tx *crdt.Txn) { m.Set(tx, "v", value(i)) }
	}
}

func mapNumber(i int) crdt.Value { return crdt.Number(float64(i)) }

func mapString(i int) crdt.Value { return crdt.String(strings.Repeat(strconv.Itoa(i), clients)) }

func mapObject(i int) crdt.Value {
	return crdt.Object(
		crdt.Field{Key: "name", Value: crdt.String(strconv.Itoa(i))},
		crdt.Field{Key: "address", Value: crdt.String("here")},
	)
}

func insertElement(d *crdt.Doc, i int) func(*crdt.Txn) {
	a := d.Array("array")
	return func(tx *crdt.Txn) { a.Insert(tx, 0, crdt.String(strconv.Itoa(i))) }
}

func insertText(d *crdt.Doc, i int) func(*crdt.Txn) {
	t := d.Text("text")
	return func(tx *crdt.Txn) { t.Insert(tx, 0, strconv.Itoa(i)) }
}

// replay makes the edits of a trace, with an update in V1 of each transaction.
func replay(set string) func(*data) job {
	return func(d *data) job {
		trace := d.trace(set)
		var doc *crdt.Doc
		var size int
		return job{
			run: func() {
				doc, size = author(clientA), 0
				text := doc.Text("text")
				var buf []byte
				for _, ops := range trace {
					c := transact(doc, func(tx *crdt.Txn) {
						for i := range ops {
							ops[i].apply(tx, text)
						}
					})
					buf = c.AppendUpdate(buf[:0], crdt.V1)
					size += len(buf)
				}
			},
			check: func(s *sample) {
				s.Shown, s.Bytes = digest(shownText(doc)()), size
				state(s, doc)
			},
		}
	}
}
