package snapshots

import (
	"context"
	"iter"
	"slices"
	"time"

	"ysync/crdt"
	"ysync/persistence"
)

const (
	defaultPause = 5 * time.Minute
	// timelineWindow is how many entries are held to read backwards.
	timelineWindow = 8192
	// maxOpenStints bounds the authors that are at work at a time; beyond it
	// the one that has rested longest is taken to have stopped.
	maxOpenStints = 4096
)

// Stint is a stretch of work of one author on one document.
type Stint struct {
	// Author is the subject of the grant; empty in open mode.
	Author string `json:"author"`
	// First and Last are the positions of the first and last entry; entries of
	// others may lie between them.
	First persistence.Position `json:"first"`
	Last  persistence.Position `json:"last"`
	// Start and End are the times of these entries.
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
	// Entries is how many log entries the stint has.
	Entries int `json:"entries"`
	// Inserted and Deleted count units (UTF-16 code units, values, formats) that
	// its updates hold and delete. What a client sent twice counts twice.
	Inserted uint64 `json:"inserted"`
	Deleted  uint64 `json:"deleted"`
}

// TimelineOptions choose a part of the history. The zero value is all of it,
// oldest first.
type TimelineOptions struct {
	// Generation is 0 for the newest.
	Generation persistence.Generation
	// Pause is how long an author rests before what follows is another stint;
	// 0 means five minutes.
	Pause time.Duration
	// After and To bound the positions: (After, To]. To 0 means the newest.
	After, To persistence.Position
	// Since and Until bound the times, both inclusive; zero for no bound.
	Since, Until time.Time
	// NewestFirst turns the order round.
	NewestFirst bool
}

// Timeline yields who edited when, in the order in which the stints ended, or
// with NewestFirst in the reverse of that in which they began. It reads while
// it yields and holds a bounded part of the history. Entries that retention has
// removed or damage hides are passed over; damage is logged and reported to
// Options.Damaged.
func (k *Keeper) Timeline(ctx context.Context, document string, opts TimelineOptions) iter.Seq2[Stint, error] {
	return func(yield func(Stint, error) bool) {
		t, err := k.follow(ctx, document, opts.Generation)
		if err != nil {
			yield(Stint{}, &DocumentError{"timeline", document, err})
			return
		}
		if opts.Pause <= 0 {
			opts.Pause = defaultPause
		}
		to := t.reach()
		if opts.To > 0 {
			to = min(to, opts.To)
		}
		g := grouper{pause: opts.Pause, yield: yield}
		entries := t.readOn(ctx, opts.After, to, new(persistence.Position))
		if opts.NewestFirst {
			entries = t.readBack(ctx, opts.After, to)
		}
		for e, err := range entries {
			if err == nil {
				if !opts.Since.IsZero() && e.Time.Before(opts.Since) {
					if opts.NewestFirst {
						break
					}
					continue
				}
				if !opts.Until.IsZero() && e.Time.After(opts.Until) {
					if !opts.NewestFirst {
						break
					}
					continue
				}
				err = g.take(e)
			}
			if err != nil {
				if !g.done {
					yield(Stint{}, &DocumentError{"timeline", document, err})
				}
				return
			}
			if g.done {
				return
			}
		}
		g.flush(func(*Stint) bool { return true })
	}
}

// grouper makes stints out of entries, which come in order, or in reverse.
type grouper struct {
	pause time.Duration
	yield func(Stint, error) bool
	open  []*Stint // the one that was added to last is last
	done  bool     // the consumer wants no more
}

func (g *grouper) take(e persistence.Entry) error {
	c, err := crdt.ContentsOf(crdt.V1, e.Update)
	if err != nil {
		return corrupt("entry %d: %v", e.Position, err)
	}
	g.flush(func(s *Stint) bool { return s.far(e.Time) > g.pause })
	if len(g.open) >= maxOpenStints {
		oldest := g.open[0]
		g.flush(func(s *Stint) bool { return s == oldest })
	}
	i := slices.IndexFunc(g.open, func(s *Stint) bool { return s.Author == e.Author })
	var s *Stint
	if i < 0 {
		s = &Stint{Author: e.Author, First: e.Position, Last: e.Position, Start: e.Time, End: e.Time}
	} else {
		s = g.open[i]
		g.open = slices.Delete(g.open, i, i+1)
	}
	g.open = append(g.open, s)
	s.First, s.Last = min(s.First, e.Position), max(s.Last, e.Position)
	if e.Time.Before(s.Start) {
		s.Start = e.Time
	}
	if e.Time.After(s.End) {
		s.End = e.Time
	}
	s.Entries++
	s.Inserted += units(&c.Blocks)
	s.Deleted += units(&c.Deletes)
	return nil
}

// far is the time between a stint and a moment outside it.
func (s *Stint) far(at time.Time) time.Duration {
	return max(at.Sub(s.End), s.Start.Sub(at))
}

// flush yields the stints that are over, those that rested longest first. They
// stand at the front: what was added to later rests shorter.
func (g *grouper) flush(over func(*Stint) bool) {
	for !g.done && len(g.open) > 0 && over(g.open[0]) {
		g.done = !g.yield(*g.open[0], nil)
		g.open = slices.Delete(g.open, 0, 1)
	}
}

func units(s *crdt.IDSet) (n uint64) {
	for _, r := range s.All() {
		n += uint64(r.Len())
	}
	return n
}

// readBack yields the entries (after, to] that can be read, newest first.
func (t *trail) readBack(ctx context.Context, after, to persistence.Position) iter.Seq2[persistence.Entry, error] {
	return func(yield func(persistence.Entry, error) bool) {
		window := make([]persistence.Entry, 0, min(timelineWindow, uint64(to)))
		for to > after {
			from := after
			if to-after > timelineWindow {
				from = to - timelineWindow
			}
			// A segment is read whole: a window that begins with it spares
			// reading it again for the next.
			if i := covering(t.segments, from); i >= 0 && !t.logHas(from) && t.segments[i].from >= after {
				if f := t.segments[i].from; to-f <= 2*timelineWindow {
					from = f
				}
			}
			window = window[:0]
			for e, err := range t.readOn(ctx, from, to, new(persistence.Position)) {
				if err != nil {
					yield(persistence.Entry{}, err)
					return
				}
				window = append(window, e)
			}
			for _, e := range slices.Backward(window) {
				if !yield(e, nil) {
					return
				}
			}
			to = from
		}
	}
}

// Reach is what is left of the history of a document.
type Reach struct {
	Generation persistence.Generation `json:"generation"`
	// Head is the newest position of which anything is known.
	Head persistence.Position `json:"head"`
	// Entries is the position after which all entries up to Head can be read,
	// as far as the listing tells: any moment after it can be given.
	Entries persistence.Position `json:"entries"`
	// NoLog is why only the store was asked; nil when the log was, too.
	NoLog error `json:"-"`
}

// Reach tells how far back every moment of a document can be given. It reads
// the record and one listing.
func (k *Keeper) Reach(ctx context.Context, document string, generation persistence.Generation) (Reach, error) {
	t, err := k.follow(ctx, document, generation)
	if err != nil {
		return Reach{}, &DocumentError{"reach", document, err}
	}
	r := Reach{Generation: t.generation, Head: t.reach(), NoLog: t.noLog}
	at := r.Head
	if t.noLog == nil && t.record.Exists() {
		at = t.record.Trimmed
	}
	for {
		i := slices.IndexFunc(t.segments, func(f segmentFile) bool { return f.from < at && f.to >= at })
		if i < 0 {
			break
		}
		at = t.segments[i].from
	}
	r.Entries = at
	return r, nil
}
