package snapshots

import (
	"slices"
	"time"

	"ysync/persistence"
)

// Policy says how much of the past is kept. Ages count back from the time of a
// run. A stored snapshot with a label is kept for ever.
type Policy struct {
	// Full is the age up to which any moment can be given. 0 or less keeps every
	// moment for ever.
	Full time.Duration
	// Hourly is the age up to which the state at every full hour (UTC) is kept,
	// Daily that of the state at every midnight. One that is not greater than
	// the one before it keeps nothing more.
	Hourly, Daily time.Duration
}

// DefaultPolicy keeps any moment of the last week, then the hours up to a month
// and the days up to three.
func DefaultPolicy() Policy {
	const day = 24 * time.Hour
	return Policy{Full: 7 * day, Hourly: 30 * day, Daily: 90 * day}
}

// cut is the full hour at which the window begins in which any moment is kept.
func (p Policy) cut(now time.Time) time.Time { return now.Add(-p.Full).UTC().Truncate(time.Hour) }

// Moments are the moments before the full window whose state is kept, the one
// at which it begins included, oldest first. All are full hours.
func (p Policy) Moments(now time.Time) []time.Time { return p.slots(now, p.cut(now)) }

// slots are the kept moments up to a cut, which is one of them.
func (p Policy) slots(now, cut time.Time) []time.Time {
	slots := []time.Time{cut}
	for t := cut.Add(-time.Hour); !t.Before(now.Add(-p.Hourly)); t = t.Add(-time.Hour) {
		slots = append(slots, t)
	}
	const day = 24 * time.Hour
	for t := slots[len(slots)-1].Add(-1).Truncate(day); !t.Before(now.Add(-p.Daily)); t = t.Add(-day) {
		slots = append(slots, t)
	}
	slices.Reverse(slots)
	return slots
}

// Plan is what retention does to the files of one document.
type Plan struct {
	Document string `json:"document"`
	// Cut is when the window begins in which any moment is kept; the zero time
	// if all is.
	Cut time.Time `json:"cut,omitzero"`
	// Write are the points that get a snapshot, so that entries can go.
	Write []PlannedPoint `json:"write,omitempty"`
	// Remove are the files that go, in that order.
	Remove []Removal `json:"remove,omitempty"`
	// Damaged are files that cannot be read. They are left for whoever looks
	// into it.
	Damaged []string `json:"damaged,omitempty"`
	// Kept and KeptBytes count what stays, Removed and RemovedBytes what goes.
	Kept         int   `json:"kept"`
	KeptBytes    int64 `json:"keptBytes"`
	Removed      int   `json:"removed"`
	RemovedBytes int64 `json:"removedBytes"`
}

// PlannedPoint is a point that is to be stored as a snapshot.
type PlannedPoint struct {
	Generation persistence.Generation `json:"generation"`
	Position   persistence.Position   `json:"position"`
	// For is the newest moment for which it is kept.
	For time.Time `json:"for"`
}

// Removal is a file that goes.
type Removal struct {
	Key  string `json:"key"`
	Size int64  `json:"size"`
	// Kind is "segment", "snapshot" or "authors".
	Kind       string                 `json:"kind"`
	Generation persistence.Generation `json:"generation"`
	// From and To are the positions of a segment, (From, To]; of others To
	// is the position.
	From persistence.Position `json:"from,omitempty"`
	To   persistence.Position `json:"to"`
}

const (
	kindSegment  = "segment"
	kindSnapshot = "snapshot"
)

// Empty tells whether there is nothing to do.
func (p *Plan) Empty() bool { return len(p.Write) == 0 && len(p.Remove) == 0 }

func (p *Plan) remove(r Removal) {
	p.Remove = append(p.Remove, r)
	p.Removed++
	p.RemovedBytes += r.Size
}

func (p *Plan) keep(size int64) {
	p.Kept++
	p.KeptBytes += size
}
