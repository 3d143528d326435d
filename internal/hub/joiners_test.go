package hub

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"ysync/crdt"
	"ysync/syncproto"
)

// 150 joiners of a 20 MB document of 50 authors, each reading at its own pace
// while the document goes on changing, take less than 300 MB together: the
// encoding is shared, and nobody's updates pile up behind it.
func TestManyJoinersOfALargeDocument(t *testing.T) {
	r := newRig(t, Limits{DocumentUncommittedBytes: 1 << 30, DocumentBytes: 1 << 30})
	rng := rand.New(rand.NewPCG(1, 2))
	var author *peer
	for i := range 50 {
		a := r.attach(newReplica(t, crdt.ClientID(i+1)), Peer{Session: uint64(i + 1), CanWrite: true})
		for range 4 {
			words := make([]byte, 0, 100<<10)
			for len(words) < cap(words)-16 {
				words = append(words, fmt.Sprint(rng.Uint64())...)
			}
			a.update(a.write(string(words)))
		}
		r.commit(0)
		if author != nil {
			r.do(command{kind: cmdDetach, sub: author.sub})
		}
		author = a
	}
	r.commit(0)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var subs []*Subscription
	for i := range 150 {
		s := &Subscription{peer: Peer{Session: uint64(1000 + i)}, wake: func() {}}
		s.at.index = -1
		subs = append(subs, s)
		r.do(command{kind: cmdSubscribe, sub: s},
			command{kind: cmdMessage, message: syncproto.KindSyncStep1, sub: s, payload: []byte{0}})
		author.update(author.write(fmt.Sprint("edit ", i)))
		r.commit(0)
	}
	chunks := 0
	for _, s := range subs {
		for range rng.IntN(40) {
			frame, _, _, ok := s.out.next()
			if !ok {
				t.Fatal("the stream is short")
			}
			if len(frame) > 2*r.opt.limits.ChunkBytes {
				t.Errorf("a frame of %d bytes", len(frame))
			}
			chunks++
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	took := int64(after.HeapAlloc) - int64(before.HeapAlloc)
	t.Logf("a document of %d MB in memory; %d chunks read; 150 joiners take %d MB", r.core.doc.Bytes()>>20, chunks, took>>20)
	if took > 300<<20 {
		t.Errorf("150 joiners take %d MB", took>>20)
	}
	// One of them reads to the end and has everything.
	last := &peer{replica: newReplica(t, crdt.ClientID(5000)), rig: r, sub: subs[149]}
	again := r.attach(last.replica, Peer{Session: 5000})
	again.sync()
	for again.readOne() {
	}
	if again.synced != 1 || again.doc.Text("t").Len() != r.core.doc.Text("t").Len() {
		t.Errorf("%d SyncStep2, %d of %d characters", again.synced, again.doc.Text("t").Len(), r.core.doc.Text("t").Len())
	}
}
