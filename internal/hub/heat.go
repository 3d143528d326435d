package hub

import (
	"slices"
	"sync/atomic"
	"time"
)

// heat is what a document costs, for those who look from outside its runner.
type heat struct {
	// Since the load.
	commands, deliveries, nanos atomic.Int64

	// Owned by the measuring goroutine: the figures at its last look.
	seenCommands, seenDeliveries, seenNanos int64
	seenAt                                  time.Time

	last atomic.Pointer[HotDocument]
}

// HotDocument is what a document cost of late: in the ten seconds or so before
// the figures over all documents were taken last.
type HotDocument struct {
	Document string
	// Busy is the part of the time in which it was being worked on.
	Busy float64
	// Commands and Deliveries are a second: messages and the like that were
	// taken in, and frames that were put out.
	Commands, Deliveries float64
	Sessions             int
}

// note counts a turn.
func (h *heat) note(commands, deliveries int, took time.Duration) {
	h.commands.Add(int64(commands))
	h.deliveries.Add(int64(deliveries))
	h.nanos.Add(int64(took))
}

// look takes the figures since the last look.
func (d *document) look(now time.Time) {
	h := &d.heat
	commands, deliveries, nanos := h.commands.Load(), h.deliveries.Load(), h.nanos.Load()
	if took := now.Sub(h.seenAt).Seconds(); !h.seenAt.IsZero() && took > 0 {
		h.last.Store(&HotDocument{
			Document:   d.name,
			Busy:       float64(nanos-h.seenNanos) / float64(time.Second) / took,
			Commands:   float64(commands-h.seenCommands) / took,
			Deliveries: float64(deliveries-h.seenDeliveries) / took,
			Sessions:   int(d.sessions.Load()),
		})
	}
	h.seenAt, h.seenCommands, h.seenDeliveries, h.seenNanos = now, commands, deliveries, nanos
}

// Hottest returns up to n documents that took most time of late, the busiest
// first.
func (h *Hub) Hottest(n int) []HotDocument {
	var all []HotDocument
	h.each(func(d *document) {
		if last := d.heat.last.Load(); last != nil && last.Commands > 0 {
			all = append(all, *last)
		}
	})
	slices.SortFunc(all, func(a, b HotDocument) int {
		switch {
		case a.Busy > b.Busy:
			return -1
		case a.Busy < b.Busy:
			return 1
		default:
			return 0
		}
	})
	return all[:min(n, len(all))]
}
