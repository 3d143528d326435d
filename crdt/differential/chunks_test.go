package differential

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"ysync/crdt"
	"ysync/internal/vectors"
	"ysync/internal/vectors/replica"
)

// A document sent in chunks leaves nothing pending in a Yjs client after any
// prefix of them, and the whole document after the last.
func TestChunksInYjs(t *testing.T) {
	chunks := 0
	eachHistory(t, *runFor/4, func(p *peer, seed uint64) error {
		n, err := chunkHistory(p, seed)
		chunks += n
		return err
	})
	t.Logf("%d chunks", chunks)
}

// chunkHistory makes a random history without Yjs and gives its documents to
// Yjs clients, to new ones and to such as know another replica's document.
func chunkHistory(p *peer, seed uint64) (int, error) {
	h := newHistory(plan{seed: seed})
	for i := range 100 + h.IntN(200) {
		h.draw(uint64(i+1) << 8)
		m := h.replicas[h.IntN(len(h.replicas))]
		if h.IntN(3) == 0 {
			from := h.replicas[h.IntN(len(h.replicas))]
			u, err := from.ours.StateDiff(1, m.ours.SV())
			if err != nil {
				return 0, err
			}
			if err := m.ours.ApplyOnly(1, u); err != nil {
				return 0, err
			}
			continue
		}
		if err := h.edit(i, m); err != nil {
			return 0, err
		}
	}
	total := 0
	for range 4 {
		from, to := h.replicas[h.IntN(len(h.replicas))], h.replicas[h.IntN(len(h.replicas))]
		size := []int{1, 40, 400, 4000}[h.IntN(4)]
		client := replica.New(replica.Options{ClientID: 1, Roots: h.roots})
		if h.IntN(2) == 0 {
			if err := client.ApplyOnly(1, to.ours.State(1)); err != nil {
				return 0, err
			}
		}
		n, err := sendChunks(p, from.ours, client, h.roots, size)
		if err != nil {
			return 0, fmt.Errorf("chunks of %d bytes: %w", size, err)
		}
		total += n
	}
	return total, nil
}

// sendChunks brings a Yjs client that has the document of known up to the
// document of from, and compares.
func sendChunks(p *peer, from, known *replica.Replica, roots map[string]string, size int) (int, error) {
	if _, err := p.call("new", arg{"doc", "c"}, arg{"clientID", 1}, arg{"roots", roots}); err != nil {
		return 0, err
	}
	if _, err := p.call("apply", arg{"doc", "c"}, arg{"v", 1}, arg{"u", b64(known.State(1))}); err != nil {
		return 0, err
	}
	n := 0
	for chunk := range from.Doc.Chunks(known.Doc.StateVector(), size) {
		n++
		if _, err := p.call("apply", arg{"doc", "c"}, arg{"v", 1}, arg{"u", b64(chunk)}); err != nil {
			return n, err
		}
		answer, err := p.call("pending", arg{"doc", "c"})
		if err != nil {
			return n, err
		}
		if w := answer.Get("pending"); w.Kind != vectors.Null {
			return n, fmt.Errorf("after chunk %d (%d bytes) Yjs waits for %s: %x", n, len(chunk), w, chunk[:min(len(chunk), 500)])
		}
		if err := known.ApplyOnly(1, chunk); err != nil {
			return n, fmt.Errorf("chunk %d: %w", n, err)
		}
	}
	theirs, err := p.call("all", arg{"doc", "c"})
	if err != nil {
		return n, err
	}
	if err := differs("state vector after the last chunk", theirs.Get("sv").Str, known.SV()); err != nil {
		return n, err
	}
	for root := range roots {
		got, err := known.Content("deep", root, roots[root])
		if err != nil {
			return n, err
		}
		if d := vectors.Diff(theirs.Get("deep").Get(root), got); d != "" {
			return n, fmt.Errorf("%s%s", root, d)
		}
	}
	for client, clock := range from.SVMap() {
		if known.SVMap()[client] < clock {
			return n, fmt.Errorf("client %s is at %d after the last chunk, should be at %d", client, known.SVMap()[client], clock)
		}
	}
	return n, nil
}

// The same with a large document of fifty clients that build on one another.
func TestChunksOfLargeDocument(t *testing.T) {
	p, ok := needPeer(t)
	if !ok {
		return
	}
	const (
		clients = 50
		bytes   = 5 << 10 // of text per insertion, two of which make an edit
		chunk   = 256 << 10
	)
	edits := 300
	if *runFor >= time.Minute {
		edits = 2850 // 20 MB
	}
	roots := map[string]string{"text": "text", "list": "array"}
	r := rand.New(rand.NewPCG(7, 7))
	server := replica.New(replica.Options{ClientID: 1, NoFormatCleanup: true, Roots: roots})
	piece := strings.Repeat("lorem ipsum ", bytes/12)
	var members []*replica.Replica
	for i := range clients {
		members = append(members, replica.New(replica.Options{ClientID: uint64(1000 + r.IntN(1<<30) + i), Roots: roots}))
	}
	for i := range edits {
		m := members[r.IntN(clients)]
		u, err := server.StateDiff(1, m.SV())
		if err != nil {
			t.Fatal(err)
		}
		if err := m.ApplyOnly(1, u); err != nil {
			t.Fatal(err)
		}
		c, err := m.Doc.Transact(nil, func(tx *crdt.Txn) {
			text, list := m.Doc.Text("text"), m.Doc.Array("list")
			text.Insert(tx, r.IntN(text.Len()+1), piece)
			list.Insert(tx, r.IntN(list.Len()+1), crdt.String(piece), crdt.NewMap(crdt.Field{Key: "n", Value: crdt.Int(i)}))
			if n := text.Len(); i%5 == 0 {
				text.Delete(tx, r.IntN(n/2), n/200)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := server.ApplyOnly(1, c.AppendUpdate(nil, crdt.V1)); err != nil {
			t.Fatalf("edit %d: %v", i, err)
		}
	}
	n, err := sendChunks(p, server, replica.New(replica.Options{ClientID: 2, NoFormatCleanup: true, Roots: roots}), roots, chunk)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes of state in %d chunks", len(server.State(1)), n)
}
