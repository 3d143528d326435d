package crdt_test

import (
	"bytes"
	"fmt"
	"slices"

	"ysync/internal/vectors"
	"ysync/internal/vectors/replica"
)

// observerID is the client that the recorded observer had.
const observerID = 4294967290

func (k *checker) runDoc(c *vectors.Case) {
	k.at = "updates in order, V1"
	observer := k.observer(c)
	var cleanups []vectors.Cleanup
	for i, u := range c.Updates {
		emitted, err := observer.Apply(1, u.V1)
		k.must(fmt.Sprintf("update %d", i), err)
		for _, e := range emitted {
			if e.Local {
				cleanups = append(cleanups, vectors.Cleanup{After: i, V1: e.V1})
			}
		}
	}
	k.checkState(observer, c, nil)
	if c.Script != nil {
		k.pass("cleanup updates", differCleanups(c.Cleanup, cleanups))
	}
	for _, d := range c.Deliveries {
		k.deliver(c, &d)
	}
	if c.Script != nil {
		k.replay(c)
	}
}

func (k *checker) observer(c *vectors.Case) *replica.Replica {
	return replica.New(replica.Options{ClientID: observerID, KeepDeleted: !c.GC, Roots: c.Roots})
}

// deliver applies the updates in another order and checks what comes out. In
// V2 nothing but V2 bytes goes in.
func (k *checker) deliver(c *vectors.Case, d *vectors.Delivery) {
	k.at = fmt.Sprintf("delivery %s, V%d", d.Name, d.V)
	groups := d.Groups
	if groups == nil {
		for i := range c.Updates {
			groups = append(groups, []int{i})
		}
	}
	r := k.observer(c)
	for n, g := range groups {
		var us [][]byte
		for _, i := range g {
			us = append(us, c.Updates[i].Bytes(d.V))
		}
		u := us[0]
		if len(us) > 1 {
			var err error
			u, err = replica.Merge(d.V, us)
			k.must(fmt.Sprintf("merge of group %d", n), err)
		}
		_, err := r.Apply(d.V, u)
		k.must(fmt.Sprintf("group %d of %d", n, len(groups)), err)
	}
	k.checkState(r, c, d.Expect)
	k.tally.passed[fmt.Sprintf("delivery V%d", d.V)]++
}

// checkState compares a document with what the case expects, or with what
// override sets instead.
func (k *checker) checkState(r *replica.Replica, c *vectors.Case, override *vectors.State) {
	want := c.Expect
	if o := override; o != nil {
		if o.Roots != nil {
			want.Roots = o.Roots
		}
		if o.DS != nil {
			want.DS = o.DS
		}
		if o.StateV1 != nil {
			want.StateV1, want.StateV2 = o.StateV1, o.StateV2
		}
		if o.SnapshotV1 != nil {
			want.SnapshotV1, want.SnapshotV2 = o.SnapshotV1, o.SnapshotV2
		}
	}
	k.pass("pending", differPending(want.Pending, r.Pending()))
	k.pass("state vector", differMap(want.SV, r.SVMap()))
	k.pass("state vector bytes", differ(want.SVBytes, r.SV()))
	for name, root := range want.Roots {
		k.checkRoot(r, name, root)
	}
	k.pass("delete set", differRanges(want.DS, r.DS()))
	k.pass("state V1", differ(want.StateV1, r.State(1)))
	k.pass("state V2", differ(want.StateV2, r.State(2)))
	if bytes.Equal(want.StateV1, want.StateV2) {
		k.t.Fatalf("%s: the recorded states do not tell V1 from V2", k.at)
	}
	k.pass("snapshot V1", differ(want.SnapshotV1, r.Snapshot(1)))
	k.pass("snapshot V2", differ(want.SnapshotV2, r.Snapshot(2)))
}

func (k *checker) checkRoot(r *replica.Replica, name string, want vectors.Root) {
	for what, w := range map[string]*vectors.Value{
		"json": want.JSON, "deep": want.Deep, "delta": want.Delta, "string": want.String,
	} {
		if w == nil {
			continue
		}
		got, err := r.Content(what, name, want.Type)
		k.must("content of "+name, err)
		d := vectors.Diff(*w, got)
		if d != "" {
			d = name + d
		}
		k.pass(what, d)
	}
}

// replay runs the clients of a case themselves.
func (k *checker) replay(c *vectors.Case) {
	clients := make([]*replica.Replica, len(c.Clients))
	for i, id := range c.Clients {
		clients[i] = replica.New(replica.Options{ClientID: id, KeepDeleted: !c.ClientGC[i], Roots: c.Roots})
	}
	managers := k.undoManagers(c, clients)
	for n, s := range c.Script {
		k.at = fmt.Sprintf("script step %d of %d (client %d)", n, len(c.Script), s.C)
		r := clients[s.C]
		switch {
		case s.Recv != nil:
			emitted, err := r.Apply(s.V, c.Updates[*s.Recv].Bytes(s.V))
			k.must("receive", err)
			k.pass("script: receive", k.differLocal(c, s.U, emitted))
		case s.SyncFrom != nil:
			su, err := clients[*s.SyncFrom].StateDiff(1, r.SV())
			k.must("diff", err)
			k.pass("script: diff", differ(s.SU, su))
			emitted, err := r.Apply(1, s.SU)
			k.must("apply diff", err)
			k.pass("script: sync", k.differLocal(c, s.U, emitted))
		case s.Undo != "":
			popped, emitted, err := managers[s.C].Do(s.Undo)
			k.must(s.Undo, err)
			if popped != s.Popped {
				k.t.Fatalf("%s: %s: popped is %v", k.at, s.Undo, popped)
			}
			k.pass("script: "+s.Undo, k.differLocal(c, s.U, emitted))
		default:
			emitted, err := r.Edit(s.Ops)
			k.must("edit", err)
			k.pass("script: edit", k.differLocal(c, s.U, emitted))
		}
	}
	for i, w := range c.ClientState {
		k.must("check", clients[i].Check())
		k.at = fmt.Sprintf("client %d after the script", i)
		k.pass("script: state", differ(w.StateV1, clients[i].State(1)))
	}
}

// differLocal compares the updates that a client made, not those that it only
// passed on, with the recorded ones.
func (k *checker) differLocal(c *vectors.Case, want []int, got []replica.Emitted) string {
	got = slices.DeleteFunc(slices.Clone(got), func(e replica.Emitted) bool { return !e.Local })
	if len(want) != len(got) {
		return fmt.Sprintf("want %d updates, got %d", len(want), len(got))
	}
	for i, u := range want {
		if d := differ(c.Updates[u].V1, got[i].V1); d != "" {
			return fmt.Sprintf("update %d, V1: %s", u, d)
		}
		if d := differ(c.Updates[u].V2, got[i].V2); d != "" {
			return fmt.Sprintf("update %d, V2: %s", u, d)
		}
	}
	return ""
}

func differCleanups(want, got []vectors.Cleanup) string {
	if len(want) != len(got) {
		return fmt.Sprintf("want %d, got %d", len(want), len(got))
	}
	for i := range want {
		if want[i].After != got[i].After {
			return fmt.Sprintf("want one after update %d, got it after %d", want[i].After, got[i].After)
		}
		if d := differ(want[i].V1, got[i].V1); d != "" {
			return d
		}
	}
	return ""
}
