package crdt_test

import (
	"flag"
	"math/rand/v2"
	"testing"
	"time"

	"ysync/crdt"
	"ysync/internal/vectors"
	"ysync/internal/vectors/replica"
)

var (
	hostileSeed = flag.Uint64("hostile.seed", 0, "the seed of TestHostileUpdates; 0: a random one")
	hostileFor  = flag.Duration("hostile.for", time.Second, "how long TestHostileUpdates tries")
)

// A damaged update is applied whole, or refused with the document byte for
// byte as it was. Whatever is accepted leaves a document that is sound and
// that can be stored and loaded.
func TestHostileUpdates(t *testing.T) {
	cases, err := vectors.Short()
	if err != nil {
		t.Fatal(err)
	}
	seed := *hostileSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 2))
	refused, accepted := 0, 0
	for end := time.Now().Add(*hostileFor); time.Now().Before(end); {
		c := &cases[r.IntN(len(cases))]
		n := 1 + r.IntN(len(c.Updates))
		doc, before := prefix(t, c, n)
		for range 20 {
			version := 1 + r.IntN(2)
			var u []byte
			if r.IntN(3) == 0 {
				u = c.Expect.StateV1
				if version == 2 {
					u = c.Expect.StateV2
				}
			} else {
				u = c.Updates[r.IntN(len(c.Updates))].Bytes(version)
			}
			hostile := vectors.Mutate(r, u, c.Updates[r.IntN(len(c.Updates))].Bytes(version))
			err := doc.ApplyOnly(version, hostile)
			if bad := doc.Check(); bad != nil {
				t.Fatalf("%v\n%s, after %d updates (%v) and V%d %x", bad, c.Name, n, err, version, hostile)
			}
			if err != nil {
				refused++
				if d := differ(before, doc.State(1)); d != "" {
					t.Fatalf("refused (%v), but the document changed: %s\n%s, after %d updates and V%d %x", err, d, c.Name, n, version, hostile)
				}
				continue
			}
			accepted++
			checkStorable(t, c, n, version, hostile, doc)
			doc, before = prefix(t, c, n)
		}
	}
	t.Logf("%d updates refused, %d accepted", refused, accepted)
}

func prefix(t *testing.T, c *vectors.Case, n int) (*replica.Replica, []byte) {
	doc := replica.New(replica.Options{ClientID: observerID, KeepDeleted: !c.GC, Roots: c.Roots})
	for i, u := range c.Updates[:n] {
		if err := doc.ApplyOnly(1, u.V1); err != nil {
			t.Fatalf("%s: update %d: %v", c.Name, i, err)
		}
	}
	return doc, doc.State(1)
}

// checkStorable stores and loads the document. What was pending may be complete
// then: storing joins it with known blocks, which can stand in for damaged ones.
// The order of items is not compared: origins that contradict each other have
// no order that every way of integration ends in, in Yjs neither.
func checkStorable(t *testing.T, c *vectors.Case, n, version int, hostile []byte, doc *replica.Replica) {
	t.Helper()
	for v := 1; v <= 2; v++ {
		again := replica.New(replica.Options{ClientID: observerID, KeepDeleted: !c.GC, NoFormatCleanup: true, Roots: c.Roots})
		if err := again.ApplyOnly(v, doc.Doc.AppendStored(nil, crdt.Version(v))); err != nil {
			t.Fatalf("the state in V%d is refused: %v\n%s, after %d updates and V%d %x", v, err, c.Name, n, version, hostile)
		}
		if doc.Pending() != nil {
			for client, clock := range doc.SVMap() {
				if have := again.SVMap()[client]; have < clock {
					t.Fatalf("stored in V%d: client %s at %d, was %d\n%s, after %d updates and V%d %x", v, client, have, clock, c.Name, n, version, hostile)
				}
			}
			continue
		}
		if d := differMap(doc.SVMap(), again.SVMap()); d != "" {
			t.Fatalf("stored in V%d: %s\n%s, after %d updates and V%d %x", v, d, c.Name, n, version, hostile)
		}
		if bad := again.Check(); bad != nil {
			t.Fatalf("stored in V%d: %v\n%s, after %d updates and V%d %x", v, bad, c.Name, n, version, hostile)
		}
	}
}
