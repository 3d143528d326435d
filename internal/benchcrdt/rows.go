package main

import (
	"slices"
	"time"

	"ysync/crdt"
)

// row is one line of the table.
type row struct {
	id, what string
	unit     string // "ms", "B", "objects", "×"
	rivals   []string
	must     rule
	// ours makes our side of it; one of them is set.
	job  func(*data) job
	plan func(*data, time.Duration) sample
	// hold asks the rivals for the memory of documents of this file, count of
	// them, each in a process of its own.
	hold  string
	count int
	// same says that what yjs ends with must be ours, byte for byte.
	same bool
	// heavy rows run once a round and are not warmed up.
	heavy bool
}

var (
	all       = []string{"yjs", "ywasm", "loro"}
	wireAlike = []string{"yjs", "ywasm"} // those that speak this format
	onlyYjs   = []string{"yjs"}
)

// published is a row of crdt-benchmarks against all rivals.
func published(id, what string, j func(*data) job) row {
	return row{id: id, what: what, unit: "ms", rivals: all, must: row3(all...), job: j, same: true}
}

func timed(id, what string, rivals []string, must rule, j func(*data) job) row {
	return row{id: id, what: what, unit: "ms", rivals: rivals, must: must, job: j, same: slices.Contains(rivals, "yjs")}
}

func heavy(r row) row {
	r.heavy = true
	return r
}

// traces other than B4.
var traces = []string{"sveltecomponent", "rustcode", "seph-blog1", "friendsforever"}

func rows() []row {
	rs := []row{
		published("B1.1", "append 6,000 characters", b1(shownText, texts("B1.1", eachChar(atEnd)))),
		published("B1.2", "insert a string of 6,000", b1(shownText, texts("B1.2", func(s string) []op { return []op{{0, 0, s}} }))),
		published("B1.3", "prepend 6,000 characters", b1(shownText, texts("B1.3", eachChar(atStart)))),
		published("B1.4", "characters at random places", b1(shownText, textOps("B1.4"))),
		published("B1.5", "words at random places", b1(shownText, textOps("B1.5"))),
		published("B1.6", "insert a string, delete it", b1(shownText, texts("B1.6", func(s string) []op { return []op{{0, 0, s}, {0, len(s), ""}} }))),
		published("B1.7", "insert and delete at random places", b1(shownText, textOps("B1.7"))),
		published("B1.8", "append 6,000 numbers", b1(shownArray, numbers("B1.8", atEnd))),
		published("B1.9", "insert 6,000 numbers at once", b1(shownArray, allNumbers("B1.9"))),
		published("B1.10", "prepend 6,000 numbers", b1(shownArray, numbers("B1.10", atStart))),
		published("B1.11", "numbers at random places", b1(shownArray, numberOps("B1.11"))),
	}
	for _, b := range []struct{ n, what string }{
		{"1", "two strings at one place"},
		{"2", "characters at random places"},
		{"3", "words at random places"},
		{"4", "inserts and deletes"},
	} {
		rs = append(rs,
			published("B2."+b.n, b.what+", in turn", b2("B2."+b.n, false)),
			published("B2c."+b.n, b.what+", apart", b2("B2."+b.n, true)))
	}
	rs = append(rs,
		published("B3.1", "1,540 clients set a number", b3(shownMap, setMap(mapNumber))),
		published("B3.2", "1,540 clients set an object", b3(shownMap, setMap(mapObject))),
		published("B3.3", "1,540 clients set a string", b3(shownMap, setMap(mapString))),
		published("B3.4", "1,540 clients insert in an array", b3(shownArray, insertElement)),
		published("B3.5", "1,540 clients insert in a text", b3(shownText, insertText)),
		heavy(timed("B4", "the trace, an update of each edit", []string{"yjs", "loro"}, part(25, "yjs"), replay("b4"))),

		timed("S.apply1", "apply the state, V1", wireAlike, part(6, wireAlike...), load("b4.state.v1.bin", crdt.V1, nil)),
		timed("S.apply1t", "apply the state, V1, read the text", wireAlike, part(6, wireAlike...), load("b4.state.v1.bin", crdt.V1, shownText)),
		timed("S.apply2", "apply the state, V2", wireAlike, part(4, wireAlike...), load("b4.state.v2.bin", crdt.V2, nil)),
		timed("S.apply2t", "apply the state, V2, read the text", wireAlike, part(4, wireAlike...), load("b4.state.v2.bin", crdt.V2, shownText)),
		heavy(timed("S.updates", "259,778 updates, an update of each", wireAlike, both(part(12, "yjs"), atMost(259778/2000., "ms")), arrive("b4", 0))),
		timed("S.merge16k", "merge 16,000 updates", onlyYjs, part(10, "yjs"), merge(16000)),
		heavy(timed("S.mergeall", "merge 259,778 updates", onlyYjs, part(10, "yjs"), merge(259778))),
		timed("S.encode1", "encode the state, V1", wireAlike, part(2, wireAlike...), encode(crdt.V1)),
		timed("S.encode2", "encode the state, V2", wireAlike, part(2, wireAlike...), encode(crdt.V2)),
		timed("S.vector", "state vector of an update", onlyYjs, part(2, "yjs"), vector),
		timed("S.diff", "diff of an update", onlyYjs, part(4, "yjs"), updateDiff),
		timed("S.behind", "diff of a document, 100 behind", wireAlike, part(4, wireAlike...), opened(docDiff)),
	)
	for _, set := range traces {
		rs = append(rs, heavy(timed("T."+set, "updates one by one, and the state", onlyYjs, part(10, "yjs"), arrive(set, 1))))
	}
	for _, set := range traces[:3] {
		rs = append(rs, heavy(timed("E."+set, "the trace, an update of each edit", onlyYjs, part(10, "yjs"), replay(set))))
	}
	return append(append(rs, memoryRows()...), hostileRows()...)
}

func memoryRows() []row {
	bytesOf := func(file string, n int) func(*data, time.Duration) sample {
		return func(d *data, _ time.Duration) sample { s, _ := held(d, file, n); return s }
	}
	objectsOf := func(file string, n int) func(*data, time.Duration) sample {
		return func(d *data, _ time.Duration) sample { _, s := held(d, file, n); return s }
	}
	b4, tiny := "b4.state.v1.bin", "tiny.state.v1.bin"
	return []row{
		{id: "M.b4", what: "memory of an open B4 document", unit: "B", rivals: wireAlike, must: atMost(0.8e6, "B"), plan: bytesOf(b4, 200), hold: b4, count: 60},
		{id: "M.tiny", what: "memory of an open tiny document", unit: "B", rivals: wireAlike, must: atMost(2000, "B"), plan: bytesOf(tiny, 20000), hold: tiny, count: 5000},
		{id: "G.b4", what: "heap objects of a B4 document", unit: "objects", must: atMost(60, "objects"), plan: objectsOf(b4, 200)},
		{id: "G.tiny", what: "heap objects of a tiny document", unit: "objects", must: atMost(60, "objects"), plan: objectsOf(tiny, 20000)},
	}
}

func hostileRows() []row {
	var rs []row
	add := func(id, what string, limit float64, n int, make func(n int) job) {
		rs = append(rs,
			row{id: id, what: what, unit: "ms", must: atMost(limit, "ms"), job: func(*data) job { return make(n) }},
			row{id: id + ".2x", what: "time for twice the work", unit: "×", must: atMost(2.5, "×"), plan: func(_ *data, budget time.Duration) sample {
				once, twice := make(n).measure(budget, 100), make(2*n).measure(budget, 100)
				return sample{Median: twice.Min / once.Min, Min: twice.Min / once.Min, Samples: 1}
			}})
	}
	add("H.origin", "16,000 clients at one origin", 1500, 16000, func(n int) job { return taken(oneOrigin(n)) })
	add("H.missing", "8,000 updates behind a missing one", 100, 8000, func(n int) job { return taken(oneMissing(n)) })
	add("H.deletes", "4,000 delete sets of unknown clients", 50, 4000, func(n int) job { return taken(unknownDeletes(n)) })
	add("H.nested", "100,000 nested types, refused", 5, 100000, func(n int) job { return refused(crdt.V1, tower(n)...) })
	// Twice the work is a bomb that claims twice as much.
	add("H.bombs", "run-length bombs in V2, refused", 1, 1<<51, func(n int) job {
		return refused(crdt.V2, bomb(1<<20), bomb(1<<40), bomb(uint64(n)))
	})
	return rs
}
