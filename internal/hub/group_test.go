package hub

import (
	"slices"
	"strings"
	"testing"

	"ysync/syncproto"
)

// far is the node at the other end of a group, by hand: it keeps the order of
// the group's queue and knows nothing of documents.
type far struct {
	rig   *rig
	group *Group
	peers map[uint64]*peer
	hears map[uint64]Audience
	casts int // frames for everybody
}

func (r *rig) far(vector []byte) *far {
	g := &Group{wake: func() {}}
	g.self.group, g.self.wake, g.self.at.index = g, func() {}, -1
	f := &far{rig: r, group: g, peers: map[uint64]*peer{}, hears: map[uint64]Audience{}}
	r.do(command{kind: cmdSubscribe, sub: &g.self, payload: vector})
	return f
}

func (f *far) join(p Peer, rep *replica) *peer {
	s := &Subscription{peer: p, group: f.group, wake: func() {}}
	s.at.index = -1
	c := &peer{replica: rep, rig: f.rig, sub: s}
	f.peers[p.Session] = c
	f.rig.do(command{kind: cmdSubscribe, sub: s})
	return c
}

// carry hands on what is queued. Its sessions take everything at once, so one
// that is told to hear nothing can go on.
func (f *far) carry() {
	f.rig.t.Helper()
	var silent []*peer
	for {
		it, drained, ok := f.group.take()
		if drained {
			f.rig.do(command{kind: cmdDrained, sub: &f.group.self})
		}
		if !ok && len(silent) > 0 {
			f.rig.do(command{kind: cmdDrained, sub: silent[0].sub})
			silent = silent[1:]
			continue
		}
		if !ok {
			return
		}
		c, ok := it.cast()
		if !ok {
			continue
		}
		switch c.Kind {
		case CastUpdate, CastPresence:
			f.casts++
			need := HearsUpdates
			if c.Kind == CastPresence {
				need = HearsPresence
			}
			for id, p := range f.peers {
				if f.hears[id]&need != 0 && !slices.Contains(c.Except, id) {
					p.receive(c.Frame)
				}
			}
		case CastAudience:
			if f.hears[c.Session] = c.Audience; c.Audience == 0 {
				silent = append(silent, f.peers[c.Session])
			}
		case CastSingle, CastControl, CastChunk:
			f.peers[c.Session].receive(c.Frame)
		default:
		}
	}
}

func relayedPeer(id uint64) Peer { return Peer{Session: id, CanWrite: true, CanPresence: true} }

func TestGroupIsSentAnEditOnceAndItsAuthorNone(t *testing.T) {
	r := newRig(t, Limits{})
	a := r.join(1)
	f := r.far(nil)
	b, c := f.join(relayedPeer(2), newReplica(t, 2)), f.join(relayedPeer(3), newReplica(t, 3))
	b.sync()
	c.sync()
	f.carry()
	before := f.casts
	a.update(a.write("x"))
	f.carry()
	if f.casts != before+1 || b.text() != "x" || c.text() != "x" {
		t.Errorf("%d frames for an edit; %q, %q", f.casts-before, b.text(), c.text())
	}
	updates := b.updates
	b.update(b.write("y"))
	f.carry()
	r.read(a)
	if b.updates != updates || c.text() != "xy" || a.text() != "xy" {
		t.Errorf("the author was sent %d updates; %q, %q", b.updates-updates, c.text(), a.text())
	}
}

func TestGroupThatCantKeepUpIsSentOneDiff(t *testing.T) {
	r := newRig(t, Limits{OutboxBytes: 1 << 10, PresenceBytes: 1 << 10})
	a := r.join(1)
	f := r.far(nil)
	b := f.join(relayedPeer(2), newReplica(t, 2))
	b.sync()
	f.carry()
	for range 100 {
		a.update(a.write(strings.Repeat("x", 100)))
	}
	if f.group.bytes > 2*groupOutboxes<<10 {
		t.Errorf("%d bytes are queued", f.group.bytes)
	}
	// A session that lags on top of it lags from where its group does.
	r.do(command{kind: cmdLag, sub: b.sub})
	if b.sub.at.lag == nil || b.sub.at.lag != f.group.self.at.lag {
		t.Fatal("the session is marked where its group was not sent anything")
	}
	f.carry()
	if b.text() != a.text() || f.casts > 60 {
		t.Errorf("%d bytes of %d came, by %d frames", len(b.text()), len(a.text()), f.casts)
	}
	a.update(a.write("!"))
	f.carry()
	if b.text() != a.text() {
		t.Error("it does not go on")
	}
}

func TestGroupThatComesFromAnotherOwnerIsAnsweredOnce(t *testing.T) {
	r := newRig(t, Limits{})
	a := r.join(1)
	a.update(a.write("one "))
	had := a.vector()
	b, c := newReplica(t, 2), newReplica(t, 3)
	for _, x := range []*replica{b, c} {
		x.receive(syncproto.AppendUpdate(nil, a.state()))
	}
	a.update(a.write("two"))
	f := r.far(had)
	kept := relayedPeer(2)
	kept.Join = JoinKept | JoinCurrent
	f.hears[2], f.hears[3] = HearsUpdates|HearsPresence, HearsUpdates|HearsPresence
	f.join(kept, b)
	kept.Session = 3
	f.join(kept, c)
	f.carry()
	if b.text() != "one two" || c.text() != "one two" || f.casts != 1 {
		t.Errorf("%q and %q by %d frames", b.text(), c.text(), f.casts)
	}
	if b.asked+c.asked+b.synced+c.synced != 0 {
		t.Error("they were asked, or answered one by one")
	}
}
