package crdt_test

import (
	"fmt"
	"runtime"
	"time"

	"ysync/crdt"
	"ysync/internal/vectors"
	"ysync/internal/vectors/replica"
)

func (k *checker) runMalformed(c *vectors.Case) {
	for i, v := range c.Variants {
		k.at = fmt.Sprintf("variant %d (%s, V%d)", i, v.Kind, v.V)
		r := replica.New(replica.Options{ClientID: observerID, KeepDeleted: !c.GC, Roots: c.Roots})
		for n, u := range c.Pre {
			_, err := r.Apply(1, u.V1)
			k.must(fmt.Sprintf("update %d before it", n), err)
		}
		before := r.State(1)
		if i == 0 {
			k.checkOutcome(r, &c.PreState)
		}
		err := k.applyBounded(r, v.V, v.B)
		switch {
		case err != nil:
			k.pass("refused, document unchanged", differ(before, r.State(1)))
			k.checkOutcome(r, &c.PreState)
			if !v.Throws && v.Corrupt == "" && v.Hang == "" {
				k.tally.noted["refused, though Yjs accepts it"]++
			}
		case v.Corrupt != "" || v.Hang != "":
			k.tally.noted["accepted, where Yjs fails later"]++
		case v.Throws:
			k.t.Fatalf("%s: no error, but Yjs has one\n%x", k.at, clip(v.B))
		case v.Unchanged:
			k.pass("accepted, document unchanged", differ(before, r.State(1)))
			k.checkOutcome(r, &c.PreState)
		default:
			k.checkOutcome(r, v.After)
		}
	}
}

// applyBounded applies hostile bytes and checks what that cost.
func (k *checker) applyBounded(r *replica.Replica, version int, b []byte) error {
	var m0, m1 runtime.MemStats
	runtime.ReadMemStats(&m0)
	start := crdt.CPUTime()
	err := r.ApplyOnly(version, b)
	took := crdt.CPUTime() - start
	runtime.ReadMemStats(&m1)
	if most := uint64(8*len(b) + 64<<10); m1.TotalAlloc-m0.TotalAlloc > most {
		k.t.Errorf("%s: %d bytes allocated for an input of %d, at most %d allowed", k.at, m1.TotalAlloc-m0.TotalAlloc, len(b), most)
	}
	if most := 50 * time.Millisecond * time.Duration(1+len(b)/1024); took > most {
		k.t.Errorf("%s: %v for an input of %d bytes, at most %v allowed", k.at, took, len(b), most)
	}
	k.tally.passed["cost"]++
	return err
}

func (k *checker) checkOutcome(r *replica.Replica, want *vectors.Outcome) {
	for _, f := range want.JSON.Fields {
		got, err := r.Content("json", f.Key, "")
		k.must("content of "+f.Key, err)
		d := vectors.Diff(f.Value, got)
		if d != "" {
			d = f.Key + d
		}
		k.pass("json", d)
	}
	k.pass("state vector", differMap(want.SV, r.SVMap()))
	k.pass("state V1", differ(want.StateV1, r.State(1)))
	if p := want.Pending; p.Kind != vectors.Absent {
		var pending *vectors.Pending
		if p.Kind == vectors.Object {
			pending = &vectors.Pending{Missing: clocks(p.Get("missing")), DS: p.Get("ds").Bool}
		}
		k.pass("pending", differPending(pending, r.Pending()))
	}
}
