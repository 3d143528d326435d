package hub

import (
	"errors"

	"go.uber.org/zap"

	"ysync/persistence"
)

// claim makes this process the writer of a document, before its first write,
// and puts the key of its initial content on record.
func (c *committer) claim(d *document, seen persistence.Record, seed string) {
	h := c.hub
	claimed := false
	var rec persistence.Record
	var err error
	for try := 0; ; try++ {
		select {
		case c.claims <- struct{}{}:
		case <-h.ctx.Done():
			return
		}
		if !claimed {
			rec, err = h.opt.Log.Claim(h.ctx, d.name, h.opt.Boot, seen.Epoch)
		}
		if errors.Is(err, persistence.ErrUnknown) {
			// If our own claim happened, the record names this boot and the
			// next epoch; that is as good as an answer.
			if now, e := h.opt.Log.Open(h.ctx, d.name); e == nil && now.Owner == h.opt.Boot && now.Epoch == seen.Epoch+1 {
				rec, err = now, nil
			}
		}
		claimed = claimed || err == nil
		if claimed && seed != "" && rec.Head == 0 {
			if err = h.opt.Log.SetSeed(h.ctx, d.name, rec.Epoch, seed); err == nil {
				rec.SeedKey = seed
			}
		}
		<-c.claims
		switch {
		case err == nil && (rec.Head != seen.Head || seen.Exists() && rec.Generation != seen.Generation):
			// The last owner wrote after this copy was loaded. The claim keeps
			// it from writing more; the next load sees all.
			c.refuse(d, cmdFenced)
			return
		case err == nil:
			c.claimedAs(d, rec)
			return
		case errors.Is(err, persistence.ErrFenced):
			c.refuse(d, cmdFenced)
			return
		case errors.Is(err, persistence.ErrErased):
			c.refuse(d, cmdErased)
			return
		case h.ctx.Err() != nil:
			return
		}
		c.failing(err)
		h.opt.Logger.Error("the document could not be claimed", zap.String("document", d.name), zap.Error(err))
		if !c.pause(h.ctx, backOff(try)) {
			return
		}
	}
}

func (c *committer) claimedAs(d *document, rec persistence.Record) {
	c.working()
	d.post(command{kind: cmdCommitted, record: &rec})
	c.mu.Lock()
	defer c.mu.Unlock()
	l := &d.log
	if l.state == logDead {
		return
	}
	l.record, l.claimed = rec, true
	if len(l.entries) == 0 {
		l.state = logIdle
		return
	}
	c.urgent = true // whoever waits for them said so before they were ready
	c.enqueue(d)
}
