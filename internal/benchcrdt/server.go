package main

import "ysync/crdt"

// load applies a state to a new document, and reads its text if asked to.
func load(file string, v crdt.Version, read shown) func(*data) job {
	return func(d *data) job {
		update := d.file(file)
		var doc *crdt.Doc
		return job{
			run: func() {
				doc = server()
				apply(doc, v, update)
				if read != nil {
					read(doc)
				}
			},
			check: func(s *sample) {
				s.Shown = digest(shownText(doc)())
				state(s, doc)
			},
		}
	}
}

// arrive applies the updates of a session one by one, encoding that of each,
// and then, if asked to, the state.
func arrive(set string, states int) func(*data) job {
	return func(d *data) job {
		updates := d.session(set)
		var doc *crdt.Doc
		var size int
		return job{
			run: func() {
				doc, size = server(), 0
				var buf []byte
				for _, u := range updates {
					buf = apply(doc, crdt.V1, u).AppendUpdate(buf[:0], crdt.V1)
					size += len(buf)
				}
				for range states {
					buf = doc.AppendState(buf[:0], crdt.V1)
				}
			},
			check: func(s *sample) {
				s.Shown, s.Bytes = digest(shownText(doc)()), size
				state(s, doc)
			},
		}
	}
}

func merge(n int) func(*data) job {
	return func(d *data) job {
		updates := d.session("b4")[:n]
		return bytesOf(func() []byte {
			out, err := crdt.Merge(crdt.V1, updates...)
			must(err)
			return out
		})
	}
}

// bytesOf is a job whose result is bytes.
func bytesOf(make func() []byte) job {
	var out []byte
	return job{
		run:   func() { out = make() },
		check: func(s *sample) { s.Out = digest(out) },
	}
}

// opened is work on the open B4 document, whose opening is not timed.
func opened(work func(doc *crdt.Doc, behind crdt.StateVector) []byte) func(*data) job {
	return func(d *data) job {
		doc := server()
		apply(doc, crdt.V1, d.file("b4.state.v1.bin"))
		sv := d.behind()
		return bytesOf(func() []byte { return work(doc, sv) })
	}
}

// behind is the state vector of a peer that lacks the last 100 characters.
func (d *data) behind() crdt.StateVector {
	sv, err := crdt.DecodeStateVector(d.file("b4.behind100.sv.bin"))
	must(err)
	return sv
}

func encode(v crdt.Version) func(*data) job {
	return opened(func(doc *crdt.Doc, _ crdt.StateVector) []byte { return doc.AppendState(nil, v) })
}

func docDiff(doc *crdt.Doc, behind crdt.StateVector) []byte {
	return doc.AppendStateDiff(nil, crdt.V1, behind)
}

func vector(d *data) job {
	update := d.file("b4.state.v1.bin")
	return bytesOf(func() []byte {
		sv, err := crdt.StateVectorOf(crdt.V1, update)
		must(err)
		return crdt.AppendStateVector(nil, sv)
	})
}

func updateDiff(d *data) job {
	update, behind := d.file("b4.state.v1.bin"), d.behind()
	return bytesOf(func() []byte {
		out, err := crdt.Diff(crdt.V1, update, behind)
		must(err)
		return out
	})
}
