package main

import (
	"fmt"
	"math"
)

// rule is what a row must show.
type rule struct {
	text string
	ok   func(ours sample, rivals map[string]sample) bool
}

// best is the least median of the named rivals.
func best(rivals map[string]sample, names []string) float64 {
	least := math.Inf(1)
	for _, n := range names {
		if s, ok := rivals[n]; ok {
			least = min(least, s.Median)
		}
	}
	return least
}

// part: ours takes at most one part in n of the best of the named rivals.
func part(n float64, names ...string) rule {
	return rule{fmt.Sprintf("≤ 1/%g", n), func(ours sample, rivals map[string]sample) bool {
		return ours.Median <= best(rivals, names)/n
	}}
}

// row3: a third of the best rival, if that takes over a millisecond; else not
// slower than half as much again.
func row3(names ...string) rule {
	return rule{"≤ 1/3", func(ours sample, rivals map[string]sample) bool {
		if b := best(rivals, names); b <= 1 {
			return ours.Median <= 1.5*b
		}
		return ours.Median <= best(rivals, names)/3
	}}
}

func atMost(v float64, unit string) rule {
	return rule{fmt.Sprintf("≤ %s", amount(v, unit)), func(ours sample, _ map[string]sample) bool { return ours.Median <= v }}
}

func both(a, b rule) rule {
	return rule{a.text + ", " + b.text, func(ours sample, rivals map[string]sample) bool {
		return a.ok(ours, rivals) && b.ok(ours, rivals)
	}}
}

// amount writes a figure with its unit.
func amount(v float64, unit string) string {
	switch {
	case unit == "B" && v >= 1e6:
		return fmt.Sprintf("%.2f MB", v/1e6)
	case unit == "B":
		return fmt.Sprintf("%.0f B", v)
	case unit == "objects" || unit == "×":
		return fmt.Sprintf("%.3g %s", v, unit)
	case v >= 100:
		return fmt.Sprintf("%.0f ms", v)
	}
	return fmt.Sprintf("%.3g ms", v)
}
