package cluster

import (
	"hash/fnv"
	"math"
)

// place names the node that should own a document: the one whose score for it
// is the highest (rendezvous hashing, weighted as by Schindelhauer and
// Schomaker: -weight / ln(hash in (0,1))). A node that comes takes its share
// from all others and one that goes leaves its share to all, so nothing else
// moves. The zero Node when there are no nodes.
func place(document string, nodes []Node) Node {
	var best Node
	most := math.Inf(-1)
	for _, n := range nodes {
		if s := score(document, n); s > most || s == most && n.Boot > best.Boot {
			best, most = n, s
		}
	}
	return best
}

func score(document string, n Node) float64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(n.Boot))
	_, _ = h.Write([]byte{0})
	_, _ = h.Write([]byte(document))
	// 53 bits, never 0 and never all of them: the logarithm is finite and not 0.
	unit := (float64(mix(h.Sum64())>>11) + 0.5) / (1 << 53)
	return -n.Weight / math.Log(unit)
}

// mix spreads the bits of a hash (the finaliser of SplitMix64): FNV leaves
// names that differ in their last byte close together.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// candidates are the nodes that may be given documents. A node that drains gets
// none, and one that can't write gets none as long as another can.
func candidates(nodes []Node) []Node {
	var able, any []Node
	for _, n := range nodes {
		switch {
		case n.Draining:
		case n.Mute:
			any = append(any, n)
		default:
			able = append(able, n)
			any = append(any, n)
		}
	}
	if len(able) > 0 {
		return able
	}
	return any
}
