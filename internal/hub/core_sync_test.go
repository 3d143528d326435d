package hub

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"ysync/crdt"
	"ysync/internal/lib0"
	"ysync/syncproto"
)

// fill makes a document of n entries of about size bytes each by one session.
func (r *rig) fill(a *peer, n, size int) {
	r.t.Helper()
	for i := range n {
		a.update(a.write(strings.Repeat(string(rune('a'+i%26)), size)))
	}
	r.commit(0)
	r.read()
}

// A large document is streamed from one shared encoding, also while others
// edit, and every joiner ends in step, with one SyncStep2 at the end.
func TestJoinersShareTheEncodingOfALargeDocument(t *testing.T) {
	r := newRig(t, Limits{ChunkBytes: 16 << 10})
	a := r.join(1)
	r.fill(a, 100, 4<<10)
	var joiners []*peer
	for i := range 50 {
		j := r.attach(newReplica(t, crdt.ClientID(100+i)), Peer{Session: uint64(100 + i)})
		j.sync()
		joiners = append(joiners, j)
		a.update(a.write("."))
		if i%5 == 0 {
			a.update(a.erase(i, 1))
		}
	}
	first := joiners[0].sub.out.items[0].rest
	for _, j := range joiners {
		if rest := j.sub.out.items[0].rest; &rest[0] != &first[0] {
			t.Fatal("the encoding is not shared")
		}
		if j.sub.out.bytes != 0 {
			t.Fatal("updates pile up behind the stream")
		}
	}
	for n := 0; n < 40; n++ {
		for _, j := range joiners {
			j.readOne()
		}
		a.update(a.write("!"))
	}
	r.read()
	r.commit(0)
	r.converged()
	for _, j := range joiners {
		if j.synced != 1 {
			t.Fatalf("%d SyncStep2", j.synced)
		}
	}
	r.pass(time.Minute)
	if r.core.full != nil || len(r.core.lag.marks) != 0 {
		t.Error("the encoding is kept although nobody needs it")
	}
}

// Someone who was away for long gets a large diff in chunks, from where it was.
func TestALargeDiffComesInChunks(t *testing.T) {
	r := newRig(t, Limits{ChunkBytes: 8 << 10})
	a := r.join(1)
	r.fill(a, 20, 4<<10)
	b := r.join(2)
	r.do(command{kind: cmdDetach, sub: b.sub})
	r.fill(a, 10, 4<<10)
	b.bytes = 0
	again := r.attach(b.replica, Peer{Session: 3})
	again.sync()
	if r.core.diffs == 0 {
		t.Error("the diff is not accounted for")
	}
	again.readOne()
	a.update(a.erase(5, 10))
	r.read(again)
	if again.bytes > 50<<10 || again.synced != 2 {
		t.Errorf("%d bytes, %d SyncStep2", again.bytes, again.synced)
	}
	r.converged()
	if r.core.diffs != 0 {
		t.Errorf("%d bytes of diffs are still accounted for", r.core.diffs)
	}
}

// Over the budget for single readers, the shared full state serves.
func TestLargeDiffsAreBounded(t *testing.T) {
	r := newRig(t, Limits{ChunkBytes: 8 << 10, SyncDiffBytes: 100 << 10})
	a := r.join(1)
	r.fill(a, 5, 4<<10)
	var away []*peer
	for i := range 10 {
		b := r.join(uint64(10 + i))
		a.update(a.write("x"))
		r.read()
		r.do(command{kind: cmdDetach, sub: b.sub})
		away = append(away, b)
	}
	r.fill(a, 10, 4<<10)
	for i, b := range away {
		again := r.attach(b.replica, Peer{Session: uint64(50 + i)})
		again.sync()
	}
	if r.core.diffs > 100<<10 {
		t.Errorf("%d bytes of diffs", r.core.diffs)
	}
	r.read()
	r.converged()
}

// A client that asks again and again gets no more than its allowance, and the
// answer to its newest question in the end.
func TestRepeatedSyncStep1(t *testing.T) {
	r := newRig(t, Limits{SyncBytesPerSecond: 64 << 10})
	a := r.join(1)
	r.fill(a, 10, 4<<10)
	b := r.joinAs(Peer{Session: 2})
	b.bytes = 0
	ask := []byte{0}
	for range 10_000 {
		r.do(b.message(syncproto.KindSyncStep1, ask))
		r.read(b)
	}
	if doc := r.core.doc.Bytes(); b.bytes > 3*doc {
		t.Errorf("%d bytes at once for a document of %d", b.bytes, doc)
	}
	n := b.synced
	r.pass(3 * time.Second)
	if r.read(b); b.synced == n {
		t.Error("the last question was never answered")
	}
}

func TestMalformedStateVectors(t *testing.T) {
	r := newRig(t, Limits{})
	for i, v := range [][]byte{
		{}, {1}, {0xff, 0xff, 0xff, 0xff, 0x0f}, make([]byte, maxVectorBytes+1), foreignVector(extraClients + 1),
	} {
		a := r.joinAs(Peer{Session: uint64(i + 1)})
		n := a.synced
		r.do(a.message(syncproto.KindSyncStep1, v))
		r.read()
		if a.synced != n {
			t.Errorf("vector %d was answered", i)
		}
		if r.ended[a.sub] != nil {
			t.Errorf("vector %d ended the session at once", i)
		}
		for range maxGarbled {
			r.do(a.message(syncproto.KindSyncStep1, v))
		}
		if end := r.ended[a.sub]; end == nil || end.Code != CodeMalformed {
			t.Errorf("vector %d again and again: %v", i, end)
		}
	}
}

// foreignVector names n clients that nobody knows.
func foreignVector(n int) []byte {
	v := lib0.AppendUvarint(nil, uint64(n))
	for i := range n {
		v = lib0.AppendUvarint(lib0.AppendUvarint(v, uint64(1000+i)), 1)
	}
	return v
}

// Past the un-durable window updates are set aside, nothing is acknowledged,
// presence goes on, and on recovery everything is asked for again and arrives.
func TestTheUndurableWindow(t *testing.T) {
	r := newRig(t, Limits{DocumentUncommittedBytes: 4 << 10})
	a, b, c := r.join(1), r.join(2), r.join(3)
	for range 100 {
		a.update(a.write("0123456789"))
		b.update(b.write("0123456789"))
	}
	a.ack(1)
	if r.core.openBytes > 5<<10 {
		t.Errorf("%d bytes are uncommitted", r.core.openBytes)
	}
	r.do(a.message(syncproto.KindAwareness, presence(1, 1, `{}`)))
	r.read(c)
	if len(c.presence) != 1 {
		t.Error("presence does not go on")
	}
	asked := a.asked
	r.pass(20 * time.Second)
	r.read()
	if len(a.acks) != 0 || a.asked != asked {
		t.Errorf("%d acknowledgements, asked %d times during the stall", len(a.acks), a.asked-asked)
	}
	for range 3 {
		r.commit(0)
		r.pass(time.Second)
		r.read()
	}
	r.commit(0)
	r.read()
	r.converged()
	if len(a.acks) != 1 {
		t.Errorf("%d acknowledgements after recovery", len(a.acks))
	}
	if got, want := len(r.durable()), len(a.text()); got != want || want != 2000 {
		t.Errorf("the log has %d characters, a has %d", got, want)
	}
}

func TestTheUndurableWindowInTime(t *testing.T) {
	r := newRig(t, Limits{UncommittedTime: 10 * time.Second})
	a := r.join(1)
	a.update(a.write("x"))
	r.pass(11 * time.Second)
	a.update(a.write("y"))
	if len(r.entries) != 1 || !a.sub.at.owes {
		t.Error("an update was taken in after the window")
	}
}

// A read-only log: nothing is taken in, and everything comes back after it.
func TestReadOnlyLog(t *testing.T) {
	r := newRig(t, Limits{})
	a, b := r.join(1), r.join(2)
	r.in.readOnly = true
	a.update(a.write("x"))
	a.ack(1)
	r.pass(5 * time.Second)
	r.read()
	if len(r.entries) != 0 || b.text() != "" || len(a.acks) != 0 {
		t.Error("an update was taken in")
	}
	r.in.readOnly = false
	r.pass(5 * time.Second)
	r.read()
	r.commit(0)
	r.read()
	if b.text() != "x" || len(a.acks) != 1 {
		t.Errorf("after it b has %q, a has %d acknowledgements", b.text(), len(a.acks))
	}
}

// Recovery asks many sessions a few at a time.
func TestRecoveryIsPaced(t *testing.T) {
	r := newRig(t, Limits{})
	var all []*peer
	for i := range 3 * chaseBatch {
		all = append(all, r.join(uint64(i+1)))
	}
	r.pass(2 * time.Second)
	r.in.readOnly = true
	for _, p := range all {
		p.update(p.write("x"))
	}
	r.in.readOnly = false
	r.do(command{kind: cmdTick})
	if r.frames > chaseBatch {
		t.Errorf("%d requests at once", r.frames)
	}
	r.pass(5 * time.Second)
	r.read()
	r.commit(0)
	r.read()
	r.converged()
	if n := len(r.core.doc.Text("t").String()); n != 3*chaseBatch {
		t.Errorf("%d of %d edits arrived", n, 3*chaseBatch)
	}
}

func TestMalformedUpdates(t *testing.T) {
	r := newRig(t, Limits{})
	a, b := r.join(1), r.join(2)
	before := r.core.doc.StateVector()
	a.update([]byte{1, 2, 3})
	if r.ended[a.sub] != nil {
		t.Error("one malformed update ended the session")
	}
	a.ack(1)
	r.commitNothing()
	if n := drainAcks(a); n != 0 {
		t.Error("a malformed update was acknowledged")
	}
	for range maxGarbled {
		a.update([]byte{1, 1, 1, 0xff})
	}
	if end := r.ended[a.sub]; end == nil || end.Code != CodeMalformed {
		t.Errorf("the session ended with %v", end)
	}
	if !r.core.doc.StateVector().Equal(before) || len(r.entries) != 0 || r.ended[b.sub] != nil {
		t.Error("the document or another session was touched")
	}
}

// A document at its size limit can be read and takes deletions; growth ends
// the session for good and is kept aside.
func TestTheSizeLimit(t *testing.T) {
	r := newRig(t, Limits{DocumentBytes: 64 << 10})
	a := r.join(1)
	for i := 0; r.core.doc.Bytes() < 62<<10; i++ {
		a.update(a.write(strings.Repeat("x", 1000)))
	}
	r.commit(0)
	b := r.join(2)
	b.update(b.write(strings.Repeat("y", 4000)))
	if end := r.ended[b.sub]; end == nil || end.Code != CodeTooLarge {
		t.Fatalf("growth ended with %v", end)
	}
	if len(r.refused) != 1 || len(r.refused[0].update) < 4000 {
		t.Error("the update was not kept aside")
	}
	n := r.core.version
	a.update(a.erase(0, 10))
	if r.core.version != n+1 || r.ended[a.sub] != nil {
		t.Error("a deletion was refused")
	}
	c := r.join(3)
	c.rig.do(c.message(syncproto.KindSyncStep2, c.state()))
	if r.ended[c.sub] != nil {
		t.Error("what is known already was refused")
	}
}

func TestTooDeepIsRefused(t *testing.T) {
	r := newRig(t, Limits{})
	a := r.join(1)
	a.doc.SetLimits(crdt.Limits{TypeDepth: 1 << 14})
	u := a.edit(func(tx *crdt.Txn) {
		v := crdt.NewMap()
		for range 600 {
			v = crdt.NewMap(crdt.Field{Key: "x", Value: v})
		}
		a.doc.Map("m").Set(tx, "deep", v)
	})
	a.update(u)
	if end := r.ended[a.sub]; end == nil || end.Code != CodeRefused {
		t.Errorf("a type 600 deep ended with %v", end)
	}
	if len(r.refused) != 1 || len(r.entries) != 0 {
		t.Error("it was not kept aside, or taken in")
	}
}

func TestPendingIsBounded(t *testing.T) {
	r := newRig(t, Limits{PendingBytes: 64 << 10})
	a := r.join(1)
	a.write("lost")
	for i := range 1000 {
		if r.ended[a.sub] != nil {
			break
		}
		a.write("gap")
		a.update(a.write(fmt.Sprint(strings.Repeat("y", 100), i)))
	}
	if end := r.ended[a.sub]; end == nil || end.Code != CodeRefused {
		t.Errorf("endless pending updates ended with %v", end)
	}
	if n := r.core.doc.Pending().Bytes; n > 80<<10 {
		t.Errorf("%d bytes are pending", n)
	}
}

func TestFencingEndsEverything(t *testing.T) {
	r := newRig(t, Limits{})
	a, b := r.join(1), r.join(2)
	a.update(a.write("x"))
	req := &request{done: make(chan struct{})}
	late := &Subscription{wake: func() {}}
	late.at.index = -1
	r.do(command{kind: cmdSnapshot, request: req})
	r.do(command{kind: cmdFenced}, a.message(syncproto.KindUpdate, a.write("y")), command{kind: cmdSubscribe, sub: late})
	for _, s := range []*Subscription{a.sub, b.sub, late} {
		if end := r.ended[s]; end == nil || end.Code != CodeRestart {
			t.Errorf("a session ended with %v", end)
		}
	}
	if r.dropped == nil || len(r.entries) != 1 || !errors.Is(r.answers[req], endMoved) {
		t.Errorf("dropped %v, %d entries, the request got %v", r.dropped, len(r.entries), r.answers[req])
	}
}

// Before a client has said what it has, it is sent no updates: it could not
// place them. Its first answer brings it into step.
func TestNoUpdatesBeforeTheFirstAnswer(t *testing.T) {
	r := newRig(t, Limits{SyncBytesPerSecond: 1})
	a := r.join(1)
	r.fill(a, 3, 1000)
	b := r.attach(newReplica(t, 2), Peer{Session: 2})
	a.update(a.write("x"))
	r.read(b)
	if b.updates != 0 {
		t.Error("an update before the first SyncStep1")
	}
	// Nor while the answer waits for its allowance.
	b.sub.at.credit, b.sub.at.creditAt = -1, r.now
	b.sync()
	a.update(a.write("y"))
	r.read(b)
	if b.updates != 0 || b.synced != 0 {
		t.Errorf("%d updates and %d answers before the allowance has grown back", b.updates, b.synced)
	}
	r.pass(2 * time.Second)
	r.read(b)
	a.update(a.write("z"))
	r.read(b)
	r.commit(0)
	r.converged()
	if b.synced != 1 || b.updates != 1 {
		t.Errorf("%d answers, %d updates", b.synced, b.updates)
	}
}
