package awareness

import (
	"bytes"
	"slices"
	"time"
)

// Apply takes in an awareness update (applyAwarenessUpdate). As in y-protocols,
// the entries before a malformed one have been taken in when the error is
// returned, and nothing is reported of them.
//
// A removal of the own state is not obeyed: the clock goes past that of the
// removal and Removed has the own ID, upon which a provider sends the state
// again.
func (a *Awareness) Apply(update []byte, now time.Time) (Change, error) {
	var c Change
	d := NewDecoder(update)
	for e, ok := d.Next(); ok; e, ok = d.Next() {
		if err := e.CheckState(); err != nil {
			return Change{}, err
		}
		a.applyEntry(e, now, &c)
	}
	if err := d.Err(); err != nil {
		return Change{}, err
	}
	for _, ids := range [][]uint64{c.Added, c.Updated, c.Changed, c.Removed} {
		slices.Sort(ids)
	}
	return c, nil
}

func (a *Awareness) applyEntry(e Entry, now time.Time, c *Change) {
	id := e.ClientID
	known, heard := a.meta[id]
	prev, had := a.states[id]
	removes := e.Removes()
	if e.Clock < known.clock || e.Clock == known.clock && !(removes && had) {
		return
	}
	clock := e.Clock
	switch {
	case !removes:
		a.states[id] = bytes.Clone(e.State)
	case id == a.clientID && a.LocalState() != nil:
		clock++
	default:
		delete(a.states, id)
	}
	a.meta[id] = meta{clock: clock, updated: now}
	switch {
	case removes && heard:
		c.Removed = append(c.Removed, id)
	case removes:
	case !heard:
		c.Added = append(c.Added, id)
	default:
		c.Updated = append(c.Updated, id)
		if !had || !equalJSON(e.State, prev) {
			c.Changed = append(c.Changed, id)
		}
	}
}
