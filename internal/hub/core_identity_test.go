package hub

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"ysync/awareness"
	"ysync/crdt"
	"ysync/internal/lib0"
	"ysync/syncproto"
)

// madeByYjs are the updates that testdata/identity.mjs makes.
func madeByYjs(t *testing.T) func(name string) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/identity.json")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]string
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	return func(name string) []byte {
		t.Helper()
		update, err := hex.DecodeString(all[name])
		if err != nil || len(update) == 0 {
			t.Fatalf("%s: %v", name, err)
		}
		return update
	}
}

// as joins a session of a subject whose client has an ID, and announces it.
func (r *rig) as(session uint64, subject string, client uint64) *peer {
	r.t.Helper()
	p := r.joinAs(Peer{Session: session, Subject: subject, CanWrite: true, CanPresence: true})
	r.do(p.message(syncproto.KindAwareness, presence(client, 0, "{}")))
	return p
}

func (r *rig) holds(want string) {
	r.t.Helper()
	if got := r.core.doc.Text("t").String(); got != want {
		r.t.Errorf("the document holds %q, want %q", got, want)
	}
}

func (r *rig) endedWith(p *peer, want *EndError) {
	r.t.Helper()
	if got := r.ended[p.sub]; got != want {
		r.t.Errorf("ended with %v, want %v", got, want)
	}
}

func TestForksAreRefused(t *testing.T) {
	yjs := madeByYjs(t)
	for name, c := range map[string]struct {
		before, then string
		refused      bool
	}{
		"other text":                {"hello world", "fork", true},
		"other text, as an answer":  {"hello world", "fork", true},
		"another kind of content":   {"map", "hello", true},
		"the same again":            {"hello world", "world", false},
		"all of it again":           {"hello world", "hello", false},
		"a cut surrogate pair":      {"pair", "cut", false},
		"the whole of a cut pair":   {"cut", "pair", false},
		"formats, types and embeds": {"rich", "rich", false},
		"what was deleted since":    {"rich", "again", false},
		"what was deleted before":   {"again", "rich", false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, Limits{})
			a := r.as(1, "ann", 11)
			for part := range strings.FieldsSeq(c.before) {
				a.update(yjs(part))
			}
			before := string(r.core.doc.AppendDiff(nil, crdt.V1, crdt.StateVector{}))
			twin := r.as(2, "ann", 11)
			kind := syncproto.KindUpdate
			if strings.Contains(name, "answer") {
				kind = syncproto.KindSyncStep2
			}
			r.do(twin.message(kind, yjs(c.then)))
			if !c.refused {
				r.endedWith(twin, nil)
				return
			}
			r.endedWith(twin, endForked)
			if string(r.core.doc.AppendDiff(nil, crdt.V1, crdt.StateVector{})) != before || len(r.refused) != 1 {
				t.Errorf("something of it is there; %d are kept", len(r.refused))
			}
		})
	}
}

// Who was offline with somebody passes on what that one made, and both go on.
func TestCarriedEditsAreTaken(t *testing.T) {
	yjs := madeByYjs(t)
	for name, ann := range map[string]string{"another subject": "ann", "the same subject": "bob", "nobody": ""} {
		for _, kind := range []syncproto.Kind{syncproto.KindUpdate, syncproto.KindSyncStep2} {
			t.Run(name+" "+kind.String(), func(t *testing.T) {
				r := newRig(t, Limits{})
				b := r.as(1, "bob", 12)
				r.do(b.message(kind, yjs("mesh")))
				a := r.as(2, ann, 11)
				a.update(yjs("hello")) // it comes itself, with what is known
				b.update(yjs("own"))
				r.holds("> Bob: hello world 😀")
				r.endedWith(a, nil)
				r.endedWith(b, nil)
			})
		}
	}
}

// While the one who made it is here, what others bring of it waits until it came
// from there.
func TestCarriedEditsOfSomebodyPresent(t *testing.T) {
	yjs := madeByYjs(t)
	r := newRig(t, Limits{})
	a, b := r.as(1, "ann", 11), r.as(2, "bob", 12)
	a.update(yjs("hello"))
	r.pass(2 * time.Second)
	r.read(a, b)
	asked := a.asked
	a.gaps, b.gaps = true, true // their replicas are not told of what they send
	b.update(yjs("mesh"))       // faster than ann's own
	r.holds("Bob: hello")
	r.read(a, b)
	if a.asked != asked+1 {
		t.Errorf("ann was asked %d times", a.asked-asked)
	}
	a.update(yjs("world"))
	r.pass(2 * time.Second)
	r.read(a, b)
	if b.asked == 0 {
		t.Error("bob was not asked again")
	}
	r.do(b.message(syncproto.KindSyncStep2, yjs("mesh")))
	r.holds("Bob: hello world 😀")
	r.endedWith(b, nil)
}

// Two of whom the document has nothing of late bring it both, and each other's:
// neither is waited for by the other.
func TestBothBringWhatWasLost(t *testing.T) {
	r := newRig(t, Limits{})
	a, b := r.as(1, "ann", 11), r.as(2, "bob", 12)
	one, two := newReplica(t, 11), newReplica(t, 12)
	for _, from := range []*replica{one, two, one, two} {
		u := from.write("x")
		for _, to := range []*replica{one, two} {
			if _, err := to.doc.Apply(nil, crdt.V1, u); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, p := range []*peer{a, b} {
		r.do(p.message(syncproto.KindSyncStep2, one.state()), p.message(syncproto.KindAck, ackRequest(1)))
	}
	r.holds("xxxx")
	a.gaps, b.gaps = true, true
	r.commit(0)
	for range 5 {
		for _, p := range []*peer{a, b} {
			before := p.asked
			r.pass(2 * time.Second)
			if r.read(p); p.asked > before {
				r.do(p.message(syncproto.KindSyncStep2, nothing))
			}
		}
	}
	r.commit(0)
	for _, p := range []*peer{a, b} {
		r.endedWith(p, nil)
		if r.read(p); len(p.acks) != 1 {
			t.Errorf("acknowledged: %v", p.acks)
		}
	}
}

// Who writes as somebody who is here, and has answered not to have written it, is
// sent away; and nobody before that one has answered.
func TestForeignClientIDsAreRefused(t *testing.T) {
	yjs := madeByYjs(t)
	r := newRig(t, Limits{})
	a, m := r.as(1, "ann", 11), r.as(2, "mallory", 99)
	answer := func() { r.do(a.message(syncproto.KindSyncStep2, nothing)) }
	a.update(yjs("hello"))
	r.commit(0)
	for range 2 * foreignTries {
		m.update(yjs("fork"))
		r.pass(10 * time.Second)
	}
	r.endedWith(m, nil)
	tries := 0
	for r.ended[m.sub] == nil && tries < 100 {
		answer()
		m.update(yjs("fork"))
		r.pass(10 * time.Second)
		tries++
	}
	r.endedWith(m, endForeign)
	if tries <= foreignTries {
		t.Errorf("sent away after %d", tries)
	}
	a.update(yjs("world"))
	r.commit(0)
	r.holds("hello world 😀")
	// To announce the ID of somebody who is here gives no right to it.
	m = r.as(3, "mallory", 11)
	for range 100 {
		if r.ended[m.sub] != nil {
			break
		}
		m.update(squat(11, 14, 1))
		r.pass(10 * time.Second)
		answer()
	}
	r.endedWith(m, endForeign)
	r.endedWith(a, nil)
	r.holds("hello world 😀")
}

// What somebody passed on before its author had announced itself gives no right
// to the author's client ID.
func TestAnnouncingCountsForMoreThanEdits(t *testing.T) {
	yjs := madeByYjs(t)
	r := newRig(t, Limits{})
	b := r.joinAs(Peer{Session: 1, Subject: "bob", CanWrite: true, CanPresence: true})
	b.update(yjs("hello"))
	a := r.as(2, "ann", 11)
	for range 100 {
		a.update(yjs("world"))
		r.commit(0)
		r.pass(10 * time.Second)
		r.do(b.message(syncproto.KindSyncStep2, nothing))
	}
	r.endedWith(a, nil)
	r.holds("hello world 😀")
}

// squat is an update of deleted units and nothing else.
func squat(client, clock, units uint64) []byte {
	u := []byte{1, 1}
	for _, n := range []uint64{client, clock} {
		u = lib0.AppendUvarint(u, n)
	}
	u = append(u, byte(crdt.ContentGC))
	return append(lib0.AppendUvarint(u, units), 0)
}

func TestClocksOutOfProportion(t *testing.T) {
	yjs := madeByYjs(t)
	r := newRig(t, Limits{})
	c := r.as(1, "carol", 13)
	c.update(yjs("typed")) // ten million units, honestly
	r.endedWith(c, nil)
	m := r.as(2, "mallory", 99)
	m.update(squat(99, 0, ghostUnits-100))
	r.endedWith(m, nil)
	m.update(squat(99, ghostUnits-100, 200))
	r.endedWith(m, endClock)
	if got := r.core.doc.StateVector().Get(99); got != ghostUnits-100 {
		t.Errorf("the clock is at %d", got)
	}
}

// Typing is judged by its first bytes.
func BenchmarkIdentify(b *testing.B) {
	r := newRig(b, Limits{})
	p := r.joinAs(Peer{Session: 1, Subject: "ann", CanWrite: true, CanPresence: true})
	p.update(p.write("x"))
	next := p.write("y")
	b.ReportAllocs()
	for b.Loop() {
		if r.core.identify(p.sub, syncproto.KindUpdate, next).partly {
			b.Fatal("not taken")
		}
	}
}

// What a token says of its subject is what others see, whatever a client says.
func TestPresencesShowTheUserOfTheToken(t *testing.T) {
	r := newRig(t, Limits{})
	watcher := r.join(1)
	m := r.joinAs(Peer{Session: 2, Subject: "mallory", User: `{"name":"Mallory"}`, CanWrite: true, CanPresence: true})
	r.do(m.message(syncproto.KindAwareness, presence(7, 1, `{"user":{"name":"Ann"},"cursor":3}`)))
	r.do(m.message(syncproto.KindAwareness, presence(7, 2, `null`)))
	r.do(m.message(syncproto.KindAwareness, presence(7, 3, `{"cursor":4}`)))
	r.do(m.message(syncproto.KindAwareness, presence(8, 1, `"text"`)))
	r.read(watcher)
	var seen []string
	for _, p := range watcher.presence {
		d := awareness.NewDecoder(p)
		for e, ok := d.Next(); ok; e, ok = d.Next() {
			seen = append(seen, string(e.State))
		}
	}
	got := strings.Join(seen, " ")
	if strings.Contains(got, "Ann") || strings.Count(got, `"user":{"name":"Mallory"}`) != 2 || !strings.Contains(got, `"cursor":4`) {
		t.Errorf("seen: %s", got)
	}
}

// Or what a client says of it has to be what the token says, in any order of keys.
func TestPresencesAreVerified(t *testing.T) {
	r := newRig(t, Limits{VerifyUser: true})
	watcher := r.join(1)
	m := r.joinAs(Peer{Session: 2, Subject: "mallory", User: `{"name":"Mallory","team":{"a":1,"b":2}}`, CanWrite: true, CanPresence: true})
	for i, state := range []string{
		`{"user":{"team":{"b":2,"a":1},"name":"Mallory"},"cursor":1}`,
		`{"user":{"name":"Ann"},"cursor":2}`,
		`{"cursor":3}`,
		`{"user":{"name":"Ann"},"User":{"name":"Mallory","team":{"a":1,"b":2}},"cursor":4}`,
		`{"user":{"name":"Mallory","team":{"a":1,"b":2,"c":3}},"cursor":5}`,
		`{"user":null,"cursor":6}`,
	} {
		r.do(m.message(syncproto.KindAwareness, presence(7, uint64(i+1), state)))
	}
	r.read(watcher)
	var seen []string
	for _, p := range watcher.presence {
		d := awareness.NewDecoder(p)
		for e, ok := d.Next(); ok; e, ok = d.Next() {
			seen = append(seen, string(e.State))
		}
	}
	got := strings.Join(seen, " ")
	for cursor, want := range map[string]bool{"1": true, "2": false, "3": true, "4": false, "5": false, "6": false} {
		if strings.Contains(got, `"cursor":`+cursor) != want {
			t.Errorf("cursor %s, want %v; seen: %s", cursor, want, got)
		}
	}
	r.endedWith(m, nil)
}

// A client may write an object that it has read with its keys in another order.
func TestKeysInAnotherOrderAreNoFork(t *testing.T) {
	set := func(value crdt.Value) []byte {
		doc := crdt.New(crdt.Options{ClientID: 11})
		commit, err := doc.Transact(nil, func(tx *crdt.Txn) {
			doc.Map("cells").Set(tx, "a", value)
			doc.Text("text").InsertWith(tx, 0, "x", crdt.Attrs{{Key: "comment", Value: value}})
			doc.Array("list").Insert(tx, 0, crdt.List(value))
		})
		if err != nil {
			t.Fatal(err)
		}
		return commit.AppendUpdate(nil, crdt.V1)
	}
	object := func(fields ...crdt.Field) crdt.Value { return crdt.Object(fields...) }
	x, y, z := crdt.Field{Key: "x", Value: crdt.Number(1)}, crdt.Field{Key: "y", Value: crdt.Bool(true)}, crdt.Field{Key: "y", Value: crdt.Bool(false)}
	inner := func(fields ...crdt.Field) crdt.Field { return crdt.Field{Key: "z", Value: object(fields...)} }
	for name, c := range map[string]struct {
		before, then crdt.Value
		want         *EndError
	}{
		"another order": {object(x, y, inner(x, y)), object(inner(y, x), y, x), nil},
		"another value": {object(x, y, inner(x, y)), object(x, y, inner(x, z)), endForked},
		"a key less":    {object(x, y), object(y), endForked},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, Limits{})
			r.as(1, "ann", 11).update(set(c.before))
			twin := r.as(2, "ann", 11)
			twin.update(set(c.then))
			r.endedWith(twin, c.want)
		})
	}
}
