// Package differential drives this engine and a real Yjs through the same
// random histories and compares them after every step: the updates that edits
// emit, the events of observers, the clean-ups after remote formatting, whole states in both formats,
// state vectors, delete sets, pending data and content.
package differential

import (
	"encoding/base64"
	"encoding/binary"
	"flag"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"ysync/internal/lib0"
	"ysync/internal/vectors"
	"ysync/internal/vectors/replica"
)

var (
	runFor = flag.Duration("for", 10*time.Second, "how long to try random histories; from 1m on a large document too")
	seed   = flag.Uint64("seed", 0, "the one history to run, compared after every step; 0: many")
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
		if err := runHistory(p, *seed, true); err != nil {
			t.Fatalf("seed %d: %v", *seed, err)
		}
		return
	}
	first := firstSeed()
	t.Logf("seeds from %d", first)
	ran := 0
	for end := time.Now().Add(*runFor); time.Now().Before(end); ran++ {
		if err := runHistory(p, first+uint64(ran), false); err != nil {
			t.Fatalf("after %d histories, -seed %d: %v", ran, first+uint64(ran), err)
		}
	}
	t.Logf("%d histories agree", ran)
}

// history is one random history of several replicas, each of which exists here
// and in Yjs.
type history struct {
	random
	peer     *peer
	careful  bool // compare after every step
	damaged  bool // updates may be damaged
	roots    map[string]string
	names    []string
	observed bool // the events of all types are compared
	replicas []*member
	ops      []vectors.Op // of the last edit
	log      []string
}

type member struct {
	name    string
	ours    *replica.Replica
	inbox   []update // made by others and not delivered yet
	history []update // delivered before, for repeats
}

type update struct{ v1, v2 []byte }

func (u update) bytes(version int) []byte {
	if version == 2 {
		return u.v2
	}
	return u.v1
}

// newHistory draws the roots of a history.
func newHistory(p *peer, seed uint64) *history {
	h := &history{random: random{rand.New(rand.NewPCG(seed, 1)), false}, peer: p}
	h.plainText = h.IntN(2) == 0
	h.names = []string{"text", "array", "map", "xml"}
	h.Shuffle(len(h.names), func(i, j int) { h.names[i], h.names[j] = h.names[j], h.names[i] })
	h.names = h.names[:1+h.IntN(len(h.names))]
	h.roots = map[string]string{}
	for _, n := range h.names {
		h.roots[n] = n
	}
	return h
}

func runHistory(p *peer, seed uint64, careful bool) error {
	h := newHistory(p, seed)
	h.careful = careful
	h.observed = h.IntN(2) == 0
	if err := h.open(); err != nil {
		return err
	}
	for step := range 40 + h.IntN(160) {
		if err := h.step(); err != nil {
			return fmt.Errorf("step %d: %w\n%s", step, err, h.tail())
		}
	}
	return h.settle()
}

func (h *history) tail() string {
	out := ""
	for _, line := range h.log[max(0, len(h.log)-12):] {
		out += "  " + line + "\n"
	}
	return out
}

func (h *history) note(format string, args ...any) {
	h.log = append(h.log, fmt.Sprintf(format, args...))
}

func (h *history) open() error {
	if _, err := h.peer.call("reset"); err != nil {
		return err
	}
	for i := range 3 + h.IntN(4) {
		id := uint64(h.Uint32()) + 1
		if h.IntN(4) == 0 {
			id = h.Uint64N(1<<53-1) + 1
		}
		keep := h.IntN(3) == 0
		m := &member{
			name: fmt.Sprintf("r%d", i),
			ours: replica.New(replica.Options{ClientID: id, KeepDeleted: keep, Roots: h.roots}),
		}
		if _, err := h.peer.call("new", arg{"doc", m.name}, arg{"clientID", id}, arg{"gc", !keep}, arg{"roots", h.roots}, arg{"observe", h.observed}); err != nil {
			return err
		}
		if err := h.observe(m); err != nil {
			return err
		}
		h.replicas = append(h.replicas, m)
		h.note("%s: client %d, keeps deleted content: %v", m.name, id, keep)
	}
	return nil
}

// observe compares the events of a member from here on.
func (h *history) observe(m *member) error {
	if !h.observed {
		return nil
	}
	for _, n := range slices.Sorted(maps.Keys(h.roots)) {
		if err := m.ours.Observe(n, h.roots[n]); err != nil {
			return err
		}
	}
	return nil
}

func (h *history) step() error {
	m := h.replicas[h.IntN(len(h.replicas))]
	switch n := h.IntN(20); {
	case n < 9:
		return h.edit(m)
	case n < 16:
		return h.deliver(m)
	case n < 18:
		return h.sync(m, h.replicas[h.IntN(len(h.replicas))])
	case n < 19:
		return h.mergeOverlapping()
	}
	return h.compare(m)
}

func (h *history) edit(m *member) error {
	ours, err := h.editOurs(m)
	if err != nil {
		return err
	}
	encoded := encodeOps(h.ops)
	if err := h.emitted(m, ours, "edit", arg{"ops", encoded}); err != nil || !h.careful {
		return err
	}
	return h.compare(m)
}

// editOurs makes random edits here; h.ops says which.
func (h *history) editOurs(m *member) ([]replica.Emitted, error) {
	dumps := map[string]vectors.Value{}
	for _, n := range h.names {
		v, err := m.ours.Content("deep", n, h.roots[n])
		if err != nil {
			return nil, err
		}
		dumps[n] = v
	}
	h.ops = h.random.edit(h.names, func(root string) vectors.Value { return dumps[root] })
	h.note("%s edits %s", m.name, encodeOps(h.ops))
	ours, err := m.ours.Edit(h.ops)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.name, err)
	}
	return ours, nil
}

// emitted runs a command in Yjs, compares the updates with ours, and hands
// those that were made here to the other replicas.
func (h *history) emitted(m *member, ours []replica.Emitted, op string, args ...arg) error {
	answer, err := h.peer.call(op, append(args, arg{"doc", m.name})...)
	if err != nil {
		return fmt.Errorf("%s: %w", m.name, err)
	}
	// The order of the events depends on the order in which blocks that had to
	// wait are integrated, which is not the same.
	if d := vectors.Diff(sorted(answer.Get("events")), sorted(m.ours.Events())); d != "" && h.observed {
		return fmt.Errorf("%s: events%s", m.name, d)
	}
	theirs := answer.Get("emitted").List
	if len(theirs) != len(ours) {
		return fmt.Errorf("%s: Yjs emitted %d updates, we %d", m.name, len(theirs), len(ours))
	}
	for i, e := range ours {
		v1, v2 := theirs[i].Get("v1").Str, theirs[i].Get("v2").Str
		if g1, g2 := b64(e.V1), b64(e.V2); v1 != g1 || v2 != g2 {
			return fmt.Errorf("%s: update %d\nYjs %s\nwe  %s\nYjs %s\nwe  %s", m.name, i, v1, g1, v2, g2)
		}
		if e.Local != theirs[i].Get("local").Bool {
			return fmt.Errorf("%s: update %d: local is %v", m.name, i, e.Local)
		}
		if !e.Local {
			continue
		}
		for _, other := range h.replicas {
			if other != m {
				other.inbox = append(other.inbox, update{e.V1, e.V2})
			}
		}
	}
	return nil
}

// deliver applies some waiting updates: one, a repeated one, or several merged,
// in any order.
func (h *history) deliver(m *member) error {
	if len(m.inbox) == 0 {
		return nil
	}
	version := 1 + h.IntN(2)
	if len(m.history) > 0 && h.IntN(10) == 0 {
		u := m.history[h.IntN(len(m.history))]
		h.note("%s gets again, V%d, %s", m.name, version, b64(u.bytes(version)))
		return h.apply(m, version, u.bytes(version))
	}
	take := 1
	if h.IntN(4) == 0 {
		take = 1 + h.IntN(min(5, len(m.inbox)))
	}
	var us [][]byte
	for range take {
		i := 0
		if h.IntN(2) == 0 {
			i = h.IntN(len(m.inbox))
		}
		m.history = append(m.history, m.inbox[i])
		us = append(us, m.inbox[i].bytes(version))
		m.inbox = slices.Delete(m.inbox, i, i+1)
	}
	u := us[0]
	if len(us) > 1 {
		var err error
		if u, err = h.merge(version, us); err != nil {
			return err
		}
	}
	h.note("%s gets, V%d, %s", m.name, version, b64(u))
	return h.apply(m, version, u)
}

func (h *history) merge(version int, us [][]byte) ([]byte, error) {
	var encoded []string
	for _, u := range us {
		encoded = append(encoded, b64(u))
	}
	h.note("merge, V%d, %s", version, encoded)
	ours, err := replica.Merge(version, us)
	if err != nil {
		return nil, err
	}
	answer, err := h.peer.call("merge", arg{"v", version}, arg{"us", encoded})
	if err != nil {
		return nil, err
	}
	return ours, differs("merge", answer.Get("u").Str, ours)
}

func (h *history) apply(m *member, version int, u []byte) error {
	ours, err := m.ours.Apply(version, u)
	if err != nil {
		return fmt.Errorf("%s: %w", m.name, err)
	}
	if err := h.emitted(m, ours, "apply", arg{"v", version}, arg{"u", b64(u)}); err != nil || !h.careful {
		return err
	}
	return h.compare(m)
}

// sync gives to one replica what it lacks of another one.
func (h *history) sync(m, from *member) error {
	if m == from {
		return nil
	}
	version := 1 + h.IntN(2)
	sv := m.ours.SV()
	h.note("%s syncs from %s, V%d", m.name, from.name, version)
	ours, err := from.ours.StateDiff(version, sv)
	if err != nil {
		return err
	}
	answer, err := h.peer.call("state", arg{"doc", from.name}, arg{"v", version}, arg{"sv", b64(sv)})
	if err != nil {
		return err
	}
	if err := differs("difference", answer.Get("u").Str, ours); err != nil {
		return err
	}
	whole := from.ours.State(version)
	cut, err := replica.Diff(version, whole, sv)
	if err != nil {
		return err
	}
	if answer, err = h.peer.call("diff", arg{"v", version}, arg{"u", b64(whole)}, arg{"sv", b64(sv)}); err != nil {
		return err
	}
	if err := differs("difference of bytes", answer.Get("u").Str, cut); err != nil {
		return err
	}
	return h.apply(m, version, ours)
}

// mergeOverlapping merges states and updates that hold the same units in blocks
// cut differently, and converts the result.
func (h *history) mergeOverlapping() error {
	version := 1 + h.IntN(2)
	var us [][]byte
	for range 2 + h.IntN(4) {
		m := h.replicas[h.IntN(len(h.replicas))]
		switch {
		case len(m.history) > 0 && h.IntN(3) == 0:
			us = append(us, m.history[h.IntN(len(m.history))].bytes(version))
		case h.IntN(2) == 0:
			other := h.replicas[h.IntN(len(h.replicas))]
			u, err := m.ours.StateDiff(version, other.ours.SV())
			if err != nil {
				return err
			}
			us = append(us, u)
		default:
			us = append(us, m.ours.State(version))
		}
	}
	u, err := h.merge(version, us)
	if err != nil {
		return err
	}
	ours, err := replica.Convert(3-version, u)
	if err != nil {
		return err
	}
	answer, err := h.peer.call("convert", arg{"to", 3 - version}, arg{"u", b64(u)})
	if err != nil {
		return err
	}
	return differs("converted", answer.Get("u").Str, ours)
}

// compare checks everything about one replica.
func (h *history) compare(m *member) error {
	if err := m.ours.Check(); err != nil {
		return fmt.Errorf("%s: %w", m.name, err)
	}
	theirs, err := h.peer.call("all", arg{"doc", m.name})
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name, want string
		got        []byte
	}{
		{"state V1", theirs.Get("v1").Str, m.ours.State(1)},
		{"state V2", theirs.Get("v2").Str, m.ours.State(2)},
		{"state vector", theirs.Get("sv").Str, m.ours.SV()},
	} {
		if h.damaged && f.name != "state vector" && theirs.Get("pending").Kind == vectors.Object {
			// Yjs stores pending deletes as V2, in which ranges out of order
			// or of a client named twice turn into others; and gc blocks in a
			// row, which no replica makes, may be joined or not.
			continue
		}
		if err := differs(m.name+": "+f.name, f.want, f.got); err != nil {
			return err
		}
	}
	ds := map[string]vectors.Value{}
	for client, ranges := range m.ours.DS() {
		var list []vectors.Value
		for _, r := range ranges {
			list = append(list, vectors.MakeList(num(int(r[0])), num(int(r[1]))))
		}
		ds[client] = vectors.MakeList(list...)
	}
	if d := vectors.Diff(theirs.Get("ds"), fromMap(ds)); d != "" {
		return fmt.Errorf("%s: delete set%s", m.name, d)
	}
	if d := vectors.Diff(theirs.Get("pending"), pendingValue(m.ours.Pending())); d != "" {
		return fmt.Errorf("%s: pending%s", m.name, d)
	}
	for _, n := range h.names {
		got, err := m.ours.Content("deep", n, h.roots[n])
		if err != nil {
			return err
		}
		if d := vectors.Diff(theirs.Get("deep").Get(n), got); d != "" {
			return fmt.Errorf("%s: %s%s", m.name, n, d)
		}
	}
	return nil
}

// settle delivers everything to everybody and compares.
func (h *history) settle() error {
	for more := true; more; {
		more = false
		for _, m := range h.replicas {
			for len(m.inbox) > 0 {
				more = true
				if err := h.deliver(m); err != nil {
					return fmt.Errorf("settling: %w\n%s", err, h.tail())
				}
			}
		}
	}
	for _, m := range h.replicas {
		if err := h.compare(m); err != nil {
			return fmt.Errorf("settled: %w\n%s", err, h.tail())
		}
		if m.ours.Pending() != nil {
			return fmt.Errorf("settled: %s waits for something", m.name)
		}
	}
	return nil
}

// sorted orders a list that is compared as a set.
func sorted(v vectors.Value) vectors.Value {
	var list []vectors.Value
	for _, e := range v.List {
		list = append(list, inOrder(e))
	}
	return vectors.MakeList(vectors.SortBy(list)...)
}

// inOrder orders the keys of all objects in a value.
func inOrder(v vectors.Value) vectors.Value {
	v.List, v.Fields = slices.Clone(v.List), slices.Clone(v.Fields)
	for i := range v.List {
		v.List[i] = inOrder(v.List[i])
	}
	for i := range v.Fields {
		v.Fields[i].Value = inOrder(v.Fields[i].Value)
	}
	slices.SortFunc(v.Fields, func(a, b vectors.Field) int { return strings.Compare(a.Key, b.Key) })
	return v
}

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// differs tells where two encodings part.
func differs(what, want string, got []byte) error {
	if b64(got) == want {
		return nil
	}
	w, err := base64.StdEncoding.DecodeString(want)
	if err != nil {
		return err
	}
	at := 0
	for at < len(w) && at < len(got) && w[at] == got[at] {
		at++
	}
	if nan := nanAt(w, at); nan >= 0 && nan == nanAt(got, at) && len(w) == len(got) {
		// JavaScript has one NaN, but V8 keeps the bits of those it reads.
		return differs(what, b64(append(append(w[:nan:nan], got[nan:nan+8]...), w[nan+8:]...)), got)
	}
	around := func(b []byte) []byte { return b[min(len(b), max(0, at-24)):min(len(b), at+24)] }
	return fmt.Errorf("%s: Yjs has %d bytes, we %d, different from %d on\nYjs …%x…\nwe  …%x…", what, len(w), len(got), at, around(w), around(got))
}

// nanAt returns where the eight bytes of a NaN start that byte at belongs to;
// -1 if to none.
func nanAt(b []byte, at int) int {
	for i := at; i > at-8 && i > 0; i-- {
		if b[i-1] == byte(lib0.TagFloat64) && i+8 <= len(b) && math.IsNaN(math.Float64frombits(binary.BigEndian.Uint64(b[i:]))) {
			return i
		}
	}
	return -1
}

func fromMap(m map[string]vectors.Value) vectors.Value {
	v := vectors.MakeObject()
	for k, e := range m {
		v.Fields = append(v.Fields, vectors.Field{Key: k, Value: e})
	}
	return v
}

func pendingValue(p *vectors.Pending) vectors.Value {
	if p == nil {
		return vectors.MakeNull()
	}
	v := vectors.MakeObject()
	if p.Missing != nil {
		missing := map[string]vectors.Value{}
		for c, clock := range p.Missing {
			missing[c] = num(int(clock))
		}
		v.Fields = append(v.Fields, vectors.Field{Key: "missing", Value: fromMap(missing)})
	}
	if p.DS {
		v.Fields = append(v.Fields, vectors.Field{Key: "ds", Value: vectors.Value{Kind: vectors.Bool, Bool: true}})
	}
	return v
}
