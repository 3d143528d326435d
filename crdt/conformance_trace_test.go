package crdt_test

import (
	"fmt"
	"maps"

	"ysync/internal/vectors"
	"ysync/internal/vectors/replica"
)

// runTrace obeys the commands of a trace and compares the answers.
func (k *checker) runTrace(c *vectors.Case) {
	w := world{checker: k, docs: map[string]*replica.Replica{}, undo: map[string]*replica.Undo{}, now: 1}
	for i, s := range c.Steps {
		k.at = fmt.Sprintf("step %d (%s %s)", i, s.Op, s.Note+s.Mut)
		do, ok := commands[s.Op]
		if !ok {
			k.t.Fatalf("%s: unknown command", k.at)
		}
		problem, err := do(&w, &s)
		switch {
		case s.Throws && err == nil:
			k.t.Fatalf("%s: no error, but Yjs has one", k.at)
		case s.Throws && err != nil:
			k.pass(s.Op+" error", "")
		case s.Lenient && err != nil:
			k.pass(s.Op, "")
			k.tally.noted[s.Op+" refused, though Yjs accepts it"]++
		case err != nil:
			k.t.Fatalf("%s: %v", k.at, err)
		case problem == silent:
		default:
			k.pass(s.Op, problem)
		}
	}
}

// silent is what a command says that has no answer to check.
const silent = "\x00silent"

type world struct {
	*checker
	docs map[string]*replica.Replica
	undo map[string]*replica.Undo
	now  int64 // milliseconds
}

type command func(w *world, s *vectors.Step) (problem string, err error)

var commands = map[string]command{
	"new": func(w *world, s *vectors.Step) (string, error) {
		w.docs[s.Doc] = replica.New(replica.Options{
			ClientID: s.ClientID, KeepDeleted: s.GC != nil && !*s.GC, Roots: s.Roots,
		})
		return silent, nil
	},
	"apply": func(w *world, s *vectors.Step) (string, error) {
		emitted, err := w.docs[s.Doc].Apply(s.Version(), s.U)
		if err != nil || !s.Expect.Has("emitted") {
			return silent, err
		}
		return differEmitted(s.Expect.Get("emitted"), emitted), nil
	},
	"edit": func(w *world, s *vectors.Step) (string, error) {
		emitted, err := w.docs[s.Doc].EditAs(origin(s.Origin), s.Ops)
		if err != nil {
			return "", err
		}
		return differEmitted(s.Expect.Get("emitted"), emitted), nil
	},
	"undoNew": undoNew,
	"undo":    undo,
	"advance": func(w *world, s *vectors.Step) (string, error) {
		w.now += s.MS
		return silent, nil
	},
	"observe": func(w *world, s *vectors.Step) (string, error) {
		return "", w.docs[s.Doc].Observe(s.Root, s.Type)
	},
	"events": func(w *world, s *vectors.Step) (string, error) {
		return differSets(s.Expect.Get("events"), w.docs[s.Doc].Events()), nil
	},
	"subdocs": func(w *world, s *vectors.Step) (string, error) {
		r := w.docs[s.Doc]
		var guids []vectors.Value
		for _, sub := range r.Doc.Subdocs() {
			guids = append(guids, vectors.MakeString(sub.GUID))
		}
		if d := differSets(s.Expect.Get("guids"), vectors.MakeList(guids...)); d != "" {
			return d, nil
		}
		want := s.Expect.Get("events")
		for _, e := range want.List {
			for i := range e.Fields {
				e.Fields[i].Value.List = vectors.SortBy(e.Fields[i].Value.List)
			}
		}
		return vectors.Diff(want, r.Subdocs()), nil
	},

	"json":   content,
	"deep":   content,
	"delta":  content,
	"string": content,

	"state": func(w *world, s *vectors.Step) (string, error) {
		r := w.docs[s.Doc]
		got := []byte(nil)
		if s.SV == nil {
			got = r.State(s.Version())
		} else {
			var err error
			if got, err = r.StateDiff(s.Version(), s.SV); err != nil {
				return "", err
			}
		}
		return differBytes(s, "u", got), nil
	},
	"sv": func(w *world, s *vectors.Step) (string, error) {
		r := w.docs[s.Doc]
		if d := differBytes(s, "sv", r.SV()); d != "" {
			return d, nil
		}
		return differMap(clocks(s.Expect.Get("map")), r.SVMap()), nil
	},
	"ds": func(w *world, s *vectors.Step) (string, error) {
		return differRanges(clockRanges(s.Expect.Get("ds")), w.docs[s.Doc].DS()), nil
	},
	"pending": func(w *world, s *vectors.Step) (string, error) {
		var want *vectors.Pending
		if p := s.Expect.Get("pending"); p.Kind == vectors.Object {
			want = &vectors.Pending{Missing: clocks(p.Get("missing")), DS: p.Get("ds").Bool}
		}
		return differPending(want, w.docs[s.Doc].Pending()), nil
	},

	"merge": func(w *world, s *vectors.Step) (string, error) {
		got, err := replica.Merge(s.Version(), s.Us)
		return differBytes(s, "u", got), err
	},
	"diff": func(w *world, s *vectors.Step) (string, error) {
		got, err := replica.Diff(s.Version(), s.U, s.SV)
		return differBytes(s, "u", got), err
	},
	"convert": func(w *world, s *vectors.Step) (string, error) {
		got, err := replica.Convert(s.To, s.U)
		return differBytes(s, "u", got), err
	},
	"svFromUpdate": func(w *world, s *vectors.Step) (string, error) {
		got, err := replica.SVFromUpdate(s.Version(), s.U)
		return differBytes(s, "sv", got), err
	},
	"meta": func(w *world, s *vectors.Step) (string, error) {
		from, to, err := replica.Meta(s.Version(), s.U)
		if err != nil {
			return "", err
		}
		if d := differMap(clocks(s.Expect.Get("from")), from); d != "" {
			return "from: " + d, nil
		}
		return differMap(clocks(s.Expect.Get("to")), to), nil
	},
	"decodeSV": func(w *world, s *vectors.Step) (string, error) {
		got, err := replica.DecodeSV(s.SV)
		want := clocks(s.Expect.Get("map"))
		// A clock of 0 says what absence says; Yjs keeps such an entry, a
		// StateVector does not.
		maps.DeleteFunc(want, func(_ string, clock uint64) bool { return clock == 0 })
		return differMap(want, got), err
	},
	"decodeUpdate": func(w *world, s *vectors.Step) (string, error) {
		structs, ds, err := replica.DecodeUpdate(s.Version(), s.U)
		if err != nil {
			return "", err
		}
		if d := vectors.Diff(s.Expect.Get("structs"), structs); d != "" {
			return "structs: " + d, nil
		}
		return differRanges(clockRanges(s.Expect.Get("ds")), ds), nil
	},

	"snapshot":      snapshotOf,
	"snapDecode":    snapDecode,
	"snapRecode":    snapRecode,
	"snapEqual":     snapEqual,
	"snapContains":  snapContains,
	"fromSnapshot":  fromSnapshot,
	"arraySnapshot": contentAt,
	"mapSnapshot":   contentAt,
	"deltaSnapshot": deltaSnapshot,

	"relpos":         relpos,
	"relposDecode":   relposDecode,
	"relposFromJSON": relposFromJSON,
	"abspos":         abspos,
}

// origin is a recorded origin of a transaction: a string or none.
func origin(v vectors.Value) any {
	if v.Kind == vectors.String {
		return v.Str
	}
	return nil
}

func content(w *world, s *vectors.Step) (string, error) {
	got, err := w.docs[s.Doc].Content(s.Op, s.Root, s.Type)
	return vectors.Diff(s.Expect.Get(s.Op), got), err
}

func differSets(want, got vectors.Value) string {
	return vectors.Diff(vectors.MakeList(vectors.SortBy(want.List)...), vectors.MakeList(vectors.SortBy(got.List)...))
}

func differBytes(s *vectors.Step, field string, got []byte) string {
	want, err := s.Expect.Get(field).Bytes()
	if err != nil {
		return fmt.Sprintf("the recorded answer is broken: %v", err)
	}
	return differ(want, got)
}

func clocks(v vectors.Value) map[string]uint64 {
	out := map[string]uint64{}
	for _, f := range v.Fields {
		out[f.Key] = uint64(f.Value.Num)
	}
	return out
}

func clockRanges(v vectors.Value) map[string][][2]uint64 {
	out := map[string][][2]uint64{}
	for _, f := range v.Fields {
		for _, r := range f.Value.List {
			out[f.Key] = append(out[f.Key], [2]uint64{uint64(r.List[0].Num), uint64(r.List[1].Num)})
		}
	}
	return out
}
