package differential

import (
	"flag"
	"math/rand/v2"
	"testing"
	"time"

	"ysync/crdt"
	"ysync/internal/lib0"
)

var crossing = flag.Int("crossing", 1000, "how many characters TestCrossingOrigins inserts")

// crossed are updates of n clients, one character each, with origins that no replica would
// have found side by side.
func crossed(n int, left, right func(rng *rand.Rand) bool) [][]byte {
	rng := rand.New(rand.NewPCG(7, 7))
	const text, hasLeft, hasRight = 4, 0x80, 0x40
	updates := [][]byte{{1, 1, 1, 0, text, 1, 1, 't', 2, 'a', 'b', 0}}
	ids := []crdt.ID{{Client: 1, Clock: 0}, {Client: 1, Clock: 1}}
	for _, i := range rng.Perm(n) {
		c := crdt.ClientID(10 + i)
		info, places := byte(text), []byte(nil)
		place := func(flag byte) {
			id := ids[rng.IntN(len(ids))]
			info |= flag
			places = lib0.AppendUvarint(lib0.AppendUvarint(places, uint64(id.Client)), uint64(id.Clock))
		}
		if left(rng) {
			place(hasLeft)
		}
		if right(rng) {
			place(hasRight)
		}
		if info == text {
			places = []byte{1, 1, 't'}
		}
		u := append(lib0.AppendUvarint([]byte{1, 1}, uint64(c)), 0, info)
		updates = append(updates, append(append(u, places...), 1, 'x', 0))
		ids = append(ids, crdt.ID{Client: c})
	}
	return updates
}

// Items whose origins cross at random end where Yjs puts them. Both take longer the
// more there are; `-crossing 16000 -v` tells how long.
func TestCrossingOrigins(t *testing.T) {
	p, ok := needPeer(t)
	if !ok {
		return
	}
	always := func(*rand.Rand) bool { return true }
	never := func(*rand.Rand) bool { return false }
	often := func(rng *rand.Rand) bool { return rng.IntN(4) > 0 }
	for _, c := range []struct {
		name        string
		left, right func(*rand.Rand) bool
	}{
		{"origins", always, never},
		{"origins and right origins", always, always},
		{"right origins", never, always},
		{"some of both", often, often},
	} {
		updates := crossed(*crossing, c.left, c.right)
		d := crdt.New(crdt.Options{NoFormatCleanup: true})
		start := time.Now()
		for _, u := range updates {
			if _, err := d.Apply(nil, crdt.V1, u); err != nil {
				t.Fatal(err)
			}
		}
		ours := time.Since(start)
		if err := d.Check(); err != nil {
			t.Fatal(err)
		}
		roots := map[string]string{"t": "text"}
		if _, err := p.call("new", arg{"doc", "m"}, arg{"clientID", 2}, arg{"roots", roots}); err != nil {
			t.Fatal(err)
		}
		start = time.Now()
		for _, u := range updates {
			if _, err := p.call("apply", arg{"doc", "m"}, arg{"v", 1}, arg{"u", b64(u)}); err != nil {
				t.Fatal(err)
			}
		}
		t.Logf("%s: %v, in Yjs %v", c.name, ours, time.Since(start))
		theirs, err := p.call("state", arg{"doc", "m"}, arg{"v", 1})
		if err != nil {
			t.Fatal(err)
		}
		if err := differs("state", theirs.Get("u").Str, d.AppendState(nil, crdt.V1)); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
