package cluster

import (
	"fmt"
	"math"
	"testing"
)

func nodesOf(weights ...float64) []Node {
	var nodes []Node
	for i, w := range weights {
		nodes = append(nodes, Node{Boot: fmt.Sprintf("%032x", i*7919+1), Weight: w})
	}
	return nodes
}

const documents = 20_000

func placeAll(nodes []Node) []string {
	placed := make([]string, documents)
	for i := range placed {
		placed[i] = place(fmt.Sprint("team/plan-", i), nodes).Boot
	}
	return placed
}

// A node's share is its part of the weights, within four standard deviations.
func TestPlacementIsBalancedByWeight(t *testing.T) {
	for _, weights := range [][]float64{{1}, {1, 1, 1}, {1, 1, 1, 1, 1, 1, 1, 1}, {1, 2, 5}, {0.5, 0.5, 4, 1}} {
		nodes := nodesOf(weights...)
		count := map[string]int{}
		for _, boot := range placeAll(nodes) {
			count[boot]++
		}
		sum := 0.0
		for _, w := range weights {
			sum += w
		}
		for i, n := range nodes {
			p := weights[i] / sum
			want, slack := p*documents, 4*math.Sqrt(documents*p*(1-p))
			if got := float64(count[n.Boot]); math.Abs(got-want) > slack {
				t.Errorf("weights %v: node %d has %.0f documents, want %.0f ± %.0f", weights, i, got, want, slack)
			}
		}
	}
}

// A node that comes takes 1/n of all documents and nothing moves between the
// others; one that goes is the mirror image.
func TestPlacementMovesLittle(t *testing.T) {
	for n := 2; n <= 9; n++ {
		nodes := nodesOf(make([]float64, n)...)
		for i := range nodes {
			nodes[i].Weight = 1
		}
		newcomer := nodes[n-1].Boot
		before, after := placeAll(nodes[:n-1]), placeAll(nodes)
		moved := 0
		for i := range before {
			if before[i] == after[i] {
				continue
			}
			moved++
			if after[i] != newcomer {
				t.Fatalf("%d nodes: document %d moved between two that were there before", n, i)
			}
		}
		p := 1 / float64(n)
		if most := p*documents + 4*math.Sqrt(documents*p*(1-p)); float64(moved) > most {
			t.Errorf("%d nodes: %d documents moved, want at most %.0f", n, moved, most)
		}
	}
}

func TestPlacementDoesNotDependOnOrder(t *testing.T) {
	nodes := nodesOf(1, 2, 3)
	turned := []Node{nodes[2], nodes[0], nodes[1]}
	for i, boot := range placeAll(nodes)[:1000] {
		if got := place(fmt.Sprint("team/plan-", i), turned).Boot; got != boot {
			t.Fatalf("document %d: %s, or %s in another order", i, boot, got)
		}
	}
	if got := place("d", nil); got != (Node{}) {
		t.Fatalf("no nodes: %v", got)
	}
}

func TestCandidates(t *testing.T) {
	draining, mute, able := Node{Boot: "d", Draining: true}, Node{Boot: "m", Mute: true}, Node{Boot: "a"}
	for _, c := range []struct {
		nodes []Node
		want  string
	}{
		{[]Node{draining, mute, able}, "a"},
		{[]Node{draining, mute}, "m"},
		{[]Node{draining, {Boot: "x", Mute: true, Draining: true}}, ""},
	} {
		got := ""
		for _, n := range candidates(c.nodes) {
			got += n.Boot
		}
		if got != c.want {
			t.Errorf("%v: %q, want %q", c.nodes, got, c.want)
		}
	}
}
