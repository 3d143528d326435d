package differential

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"ysync/crdt"
	"ysync/internal/vectors"
	"ysync/internal/vectors/replica"
)

// Damaged updates: what is accepted here leaves the document that Yjs makes of
// it. Refusing what Yjs accepts is allowed; the reverse is not.
func TestHostileLikeYjs(t *testing.T) {
	p, ok := needPeer(t)
	if !ok {
		return
	}
	cases, err := vectors.Short()
	if err != nil {
		t.Fatal(err)
	}
	s := firstSeed()
	t.Logf("seed %d", s)
	r := rand.New(rand.NewPCG(s, 3))
	h := &hostile{rand: r, peer: p, cases: cases}
	for end := time.Now().Add(*runFor / 4); time.Now().Before(end); {
		err := h.try()
		if errors.Is(err, errHung) {
			// Only safety is asked for where Yjs itself does not return.
			t.Log(err)
			if h.peer, err = startPeer(t); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("after %d updates refused and %d accepted: %v", h.refused, h.accepted, err)
		}
	}
	t.Logf("%d updates refused, %d accepted as Yjs does, %d of which Yjs makes an unsound document, %d that contradict known blocks",
		h.refused, h.accepted-h.unsound-h.contradict, h.unsound, h.contradict)
}

type hostile struct {
	rand              *rand.Rand
	peer              *peer
	cases             []vectors.Case
	refused, accepted int
	// unsound counts updates of which Yjs makes a document that it cannot
	// encode, or that is another one after storing and loading: its links
	// contradict what it stores.
	unsound int
	// contradict counts updates that go on from known units, are damaged, and
	// end in another document here: a block whose front is known stays here in
	// the place of its front, while Yjs puts the rest where the update says.
	contradict int
}

// try builds a document, damages updates until one is accepted, and compares.
func (h *hostile) try() error {
	c := &h.cases[h.rand.IntN(len(h.cases))]
	n := 1 + h.rand.IntN(len(c.Updates))
	m := &member{ours: replica.New(replica.Options{ClientID: 1, KeepDeleted: !c.GC, Roots: c.Roots})}
	for _, u := range c.Updates[:n] {
		if err := m.ours.ApplyOnly(1, u.V1); err != nil {
			return err
		}
	}
	known := m.ours.Doc.StateVector()
	for range 200 {
		version := 1 + h.rand.IntN(2)
		u := c.Updates[h.rand.IntN(len(c.Updates))].Bytes(version)
		u = vectors.Mutate(h.rand, u, c.Updates[h.rand.IntN(len(c.Updates))].Bytes(version))
		if _, err := m.ours.Apply(version, u); err != nil {
			h.refused++
			continue
		}
		h.accepted++
		if err := h.compare(c, n, m, version, u); err != nil && goesOn(known, version, u) {
			h.contradict++
		} else if err != nil {
			return fmt.Errorf("%s, %d updates, then V%d %s: %w", c.Name, n, version, b64(u), err)
		}
		return nil
	}
	return nil
}

// goesOn tells whether an update holds known units and goes on behind them.
func goesOn(known crdt.StateVector, version int, u []byte) bool {
	contents, err := crdt.ContentsOf(crdt.Version(version), u)
	if err != nil {
		return false
	}
	for client, r := range contents.Blocks.All() {
		if state := known.Get(client); r.From < state && state < r.To {
			return true
		}
	}
	return false
}

func (h *hostile) compare(c *vectors.Case, n int, m *member, version int, u []byte) error {
	if _, err := h.peer.call("new", arg{"doc", "h"}, arg{"clientID", 1}, arg{"gc", c.GC}, arg{"roots", c.Roots}, arg{"quiet", true}); err != nil {
		return err
	}
	for _, u := range c.Updates[:n] {
		if _, err := h.peer.call("apply", arg{"doc", "h"}, arg{"v", 1}, arg{"u", b64(u.V1)}); err != nil {
			return err
		}
	}
	if _, err := h.peer.call("apply", arg{"doc", "h"}, arg{"v", version}, arg{"u", b64(u)}); err != nil {
		return err
	}
	was, err := h.peer.call("all", arg{"doc", "h"})
	if thrown := (*yjsError)(nil); errors.As(err, &thrown) {
		h.unsound++
		return nil
	}
	if err != nil {
		return err
	}
	different := differAll(was, m.ours, c.Roots, true)
	if different == nil {
		return nil
	}
	if _, err := h.peer.call("copy", arg{"doc", "copy"}, arg{"from", "h"}, arg{"gc", c.GC}, arg{"roots", c.Roots}); err != nil {
		return err
	}
	is, err := h.peer.call("all", arg{"doc", "copy"})
	if err != nil {
		return err
	}
	if was.Get("pending").Kind == vectors.Null && (vectors.Diff(was.Get("deep"), is.Get("deep")) != "" || vectors.Diff(was.Get("v1"), is.Get("v1")) != "") {
		h.unsound++
		return nil
	}
	return different
}
