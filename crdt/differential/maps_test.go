package differential

import (
	"fmt"
	"testing"

	"ysync/crdt"
	"ysync/internal/vectors"
	"ysync/internal/vectors/replica"
)

// Three documents of one operation each, which set two keys of a map
// concurrently: whatever the clients and the order of delivery, the value that
// wins is the one that wins in Yjs.
func TestMapsInAllOrders(t *testing.T) {
	p, ok := needPeer(t)
	if !ok {
		return
	}
	roots := map[string]string{"map": "map"}
	orders := [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}
	for _, clients := range orders {
		for keys := range 8 {
			var updates [][]byte
			for i, c := range clients {
				doc := crdt.New(crdt.Options{ClientID: crdt.ClientID(10 + c)})
				commit, err := doc.Transact(nil, func(tx *crdt.Txn) {
					doc.Map("map").Set(tx, "ab"[keys>>i&1:][:1], crdt.Int(i))
				})
				if err != nil {
					t.Fatal(err)
				}
				updates = append(updates, commit.AppendUpdate(nil, crdt.V1))
			}
			for _, order := range orders {
				if err := mapInOrder(p, updates, order, roots); err != nil {
					t.Errorf("clients %v, keys %03b, order %v: %v", clients, keys, order, err)
				}
			}
		}
	}
}

func mapInOrder(p *peer, updates [][]byte, order []int, roots map[string]string) error {
	ours := replica.New(replica.Options{ClientID: 1, Roots: roots})
	if _, err := p.call("new", arg{"doc", "m"}, arg{"clientID", 1}, arg{"roots", roots}); err != nil {
		return err
	}
	for _, i := range order {
		if err := ours.ApplyOnly(1, updates[i]); err != nil {
			return err
		}
		if _, err := p.call("apply", arg{"doc", "m"}, arg{"v", 1}, arg{"u", b64(updates[i])}); err != nil {
			return err
		}
		theirs, err := p.call("all", arg{"doc", "m"})
		if err != nil {
			return err
		}
		if err := differAll(theirs, ours, roots, false); err != nil {
			return fmt.Errorf("after %d: %w", i, err)
		}
	}
	// All orders end in the same values.
	all := replica.New(replica.Options{ClientID: 1, Roots: roots})
	for _, u := range updates {
		if err := all.ApplyOnly(1, u); err != nil {
			return err
		}
	}
	want, err := all.Content("deep", "map", "map")
	if err != nil {
		return err
	}
	got, err := ours.Content("deep", "map", "map")
	if err != nil {
		return err
	}
	if d := vectors.Diff(want, got); d != "" {
		return fmt.Errorf("another order gives%s", d)
	}
	return nil
}
