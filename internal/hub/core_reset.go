package hub

import (
	"slices"

	"ysync/crdt"
	"ysync/internal/fault"
	"ysync/persistence"
)

// A reset goes in four steps. What comes from clients is set aside from the
// order on, as if the log did not commit. When everything taken in before is
// committed and no other job is under way, a job writes the next generation and
// moves the record to it. Then the document is dropped: whoever comes after
// loads the new one.

// resetOrder is an order to begin the next generation.
type resetOrder struct {
	request *request
	author  string
	// from is what the new generation is to hold; nil for what is there.
	from *crdt.Doc
	// begun: its job was handed out.
	begun bool
}

// reset takes in an order.
func (c *core) reset(r *request) {
	var err error
	switch {
	case c.draining:
		err = endRestart
	case c.version == 0 && !c.record.Exists():
		err = ErrNotFound
	case c.resetting != nil:
		err = ErrNotCommitting
	}
	if err != nil {
		c.fx.answers = append(c.fx.answers, answer{r, err})
		return
	}
	r.reset.request = r
	c.resetting, c.discarding = r.reset, true
}

// planReset starts the job of a reset as soon as it can be done. It tells
// whether a reset is ordered, beside which nothing else is stored.
func (c *core) planReset() bool {
	o := c.resetting
	if o == nil {
		return false
	}
	if c.draining && !o.begun {
		c.resetting = nil
		c.fx.answers = append(c.fx.answers, answer{o.request, endRestart})
		return false
	}
	st := &c.stored
	if o.begun || st.running != nil || c.committed < c.version || !c.own() {
		return true
	}
	o.begun = true
	// A snapshot that waits would be of what is stored now anyway.
	wanted := st.wanted
	if st.frozen != nil && st.frozen.request != nil {
		wanted = append(wanted, st.frozen.request)
	}
	for _, r := range wanted {
		c.fx.answers = append(c.fx.answers, answer{r, endReset})
	}
	st.wanted, st.frozen = nil, nil
	st.running = &job{
		kind: jobReset, position: c.version, at: c.lastTime, state: c.doc.AppendStored(nil, crdt.V2), tail: st.tail,
		reset: o, retired: c.retired,
		by: persistence.NewEntry{Time: c.now, Author: o.author},
	}
	c.start()
	return true
}

// resetDone takes in the outcome of the job of a reset.
func (c *core) resetDone(j *job) {
	c.resetting = nil
	if j.generation == 0 && !j.unclear {
		c.fx.answers = append(c.fx.answers, answer{j.reset.request, j.err})
		return
	}
	j.reset.request.record = persistence.Record{Generation: j.generation, Head: persistence.FirstOfReset}
	c.fx.answers = append(c.fx.answers, answer{j.reset.request, j.err})
	if j.unclear {
		// The next load finds out, and its claim is newer than that of the files
		// which lead nowhere.
		c.drop(endMoved)
		return
	}
	// Who was given nothing of the old generation may come back at once.
	for i := len(c.subs) - 1; i >= 0; i-- {
		if s := c.subs[i]; !s.at.ready && !s.at.judged {
			c.end(s, endRestart)
		}
	}
	c.drop(endReset)
}

// renewed tells whether the document is in a generation that a reset began, so
// that what comes in has to be judged by where it comes from.
func (c *core) renewed() bool { return c.record.Generation > 1 }

func (c *core) isRetired(client crdt.ClientID) bool {
	if fault.Active(fault.AdmitRetired) {
		return false
	}
	_, found := slices.BinarySearch(c.retired, client)
	return found
}

// knowsRetired ends a session whose client holds anything of a generation that
// is over: it would bring it back.
func (c *core) knowsRetired(s *Subscription, sv crdt.StateVector) bool {
	if c.renewed() && s.peer.Join&JoinKept != 0 && !s.at.judged && sv.Len() == 0 {
		// Another node says it for a client of which it does not know what it
		// has, and would say the same again. When it connects anew the client says
		// so itself.
		c.end(s, endUnjudged)
		return true
	}
	s.at.judged = true
	if len(c.retired) == 0 {
		return false
	}
	for client, clock := range sv.All() {
		if clock > 0 && c.isRetired(client) {
			c.end(s, endReset)
			return true
		}
	}
	return false
}

// admits judges an update before anything of it is applied. One of a session
// that has not said yet what it holds is set aside, as if the log did not
// commit: its client is asked again. One that speaks of a retired client in any
// way ends the session.
func (c *core) admits(s *Subscription, update []byte) bool {
	if !c.renewed() {
		return true
	}
	if !s.at.judged {
		c.opt.count.discarded.Inc()
		if s.at.writes {
			s.at.owes, s.at.tries = true, 0
			c.chaseLater(s)
		}
		return false
	}
	retired, err := c.mentionsRetired(update)
	switch {
	case err != nil:
		c.garble(s)
		return false
	case retired:
		c.opt.count.refused.Inc()
		c.end(s, endReset)
		return false
	}
	return true
}

func (c *core) mentionsRetired(update []byte) (bool, error) {
	if len(c.retired) == 0 {
		return false, nil
	}
	for client, err := range crdt.MentionsOf(crdt.V1, update) {
		if err != nil {
			return false, err
		}
		if c.isRetired(client) {
			return true, nil
		}
	}
	return false, nil
}

// otherGeneration tells whether a grant is for another generation than this.
func (c *core) otherGeneration(p *Peer) bool {
	return p.Generation != 0 && persistence.Generation(p.Generation) != max(c.record.Generation, 1)
}
