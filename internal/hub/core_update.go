package hub

import (
	"crypto/sha256"
	"errors"
	"slices"

	"ysync/crdt"
	"ysync/internal/fault"
	"ysync/persistence"
	"ysync/syncproto"
)

// maxGarbled is how many malformed messages a session may send.
const maxGarbled = 3

// windowClosed tells whether too much is applied and not committed.
func (c *core) windowClosed() bool {
	return c.draining || len(c.releases) > 0 || len(c.open) > 0 && (c.openBytes >= c.limits.DocumentUncommittedBytes ||
		c.now.Sub(c.open[0].at) >= c.limits.UncommittedTime)
}

// update takes in an update. Its fate is one of six:
//
//   - it changes the document and leaves nothing pending: logged and relayed;
//   - it leaves something pending: logged, not acknowledged, and what it lacks
//     is asked of its sender. What it changed meanwhile is relayed as that;
//   - it holds nothing new: neither logged nor relayed, or every joiner's delete
//     set would grow the log;
//   - it is refused;
//   - part of it is set aside, as it may not be its sender's to bring
//     (core_identity.go); the rest has one of the fates above;
//   - it is discarded unread because the log does not commit.
func (c *core) update(s *Subscription, kind syncproto.Kind, update []byte) {
	c.opt.count.updateBytes.Add(float64(len(update)))
	if kind == syncproto.KindSyncStep2 && !c.discarding {
		s.at.inquiry.answers++
	}
	switch {
	case emptyUpdate(update):
		c.heard(s, kind)
		c.opt.count.known.Inc()
		return
	case !c.admits(s, update):
		return
	case !s.at.writes:
		c.readerUpdate(s, update)
		return
	case c.discarding || c.openBytes >= c.limits.DocumentUncommittedBytes:
		c.discarding = true
		c.opt.count.discarded.Inc()
		s.at.owes, s.at.tries = true, 0
		c.chaseLater(s)
		return
	case c.tooLarge(update):
		c.refuse(s, update, endLarge)
		return
	}
	mine := c.identify(s, kind, update)
	if mine.update == nil {
		return
	}
	if mine.partly {
		c.opt.count.discarded.Inc()
		if !s.at.owes {
			s.at.owes, s.at.tries = true, 0
			c.chaseLater(s)
		}
		if update = mine.update; emptyUpdate(update) {
			return
		}
	}
	waited := c.doc.PendingBytes() > 0
	commit, err := c.doc.Apply(s, crdt.V1, update)
	switch {
	case errors.Is(err, crdt.ErrLimit):
		c.refuse(s, update, endRefused)
		return
	case err != nil:
		c.garble(s)
		return
	}
	changed, left := !commit.Empty(), commit.LeftPending()
	from := s
	if waited {
		// What was waiting may have come in with it, and its sender lacks that.
		from = nil
	}
	switch {
	case left:
		c.opt.count.pending.Inc()
		if changed || !c.loggedPending(update) {
			s.at.ghosts += mine.ghosts
			c.publish(from, s.peer.Subject, update, commit)
		}
	case changed:
		s.at.ghosts += mine.ghosts
		c.opt.count.applied.Inc()
		c.publish(from, s.peer.Subject, update, commit)
	default:
		c.opt.count.known.Inc()
	}
	switch {
	case left:
		c.leftPending(s, update)
	case !mine.partly:
		c.heard(s, kind)
	}
	if changed && c.pendings > 0 {
		c.settlePending()
	}
}

// emptyUpdate tells whether an update V1 has neither blocks nor deletes.
func emptyUpdate(update []byte) bool {
	return len(update) == 2 && update[0] == 0 && update[1] == 0
}

// publish gives an update that commit has taken in to the log, and what it
// changed to the sessions but s, who has all of that; nil for nobody.
func (c *core) publish(s *Subscription, author string, update []byte, commit *crdt.Commit) {
	c.append(author, update)
	if commit.Empty() {
		return
	}
	if !commit.Local() && !commit.Relayable() && !fault.Active(fault.RelayRaw) {
		update = nil
	}
	c.batch.add(c, s, commit, update)
}

// append gives an update to the log under the next version.
func (c *core) append(author string, update []byte) {
	at := c.now
	if at.Before(c.lastTime) {
		at = c.lastTime
	}
	c.lastTime = at
	c.version++
	c.logged += len(update)
	c.open = append(c.open, openEntry{len(update), c.now})
	c.openBytes += len(update)
	c.stored.grow(len(update))
	c.fx.log = append(c.fx.log, persistence.NewEntry{Time: at, Author: author, Update: update})
}

// heard notes that an update of s was judged and nothing of it is missing. A
// SyncStep2 holds all that the client has and the document lacks, so it makes
// up for what of this session was discarded; what waits for an acknowledgement
// is now as durable as what was just applied. It does not make up for what is
// pending: a session may have passed on what it does not have itself.
func (c *core) heard(s *Subscription, kind syncproto.Kind) {
	if kind != syncproto.KindSyncStep2 || c.discarding || !s.at.owes {
		return
	}
	s.at.owes, s.at.tries = false, 0
	c.raiseAcks(s)
}

// leftPending notes that something that s sent waits for what is missing. s
// holds it: its client made the update on top of it.
func (c *core) leftPending(s *Subscription, update []byte) {
	s.at.gaps = c.addGaps(s.at.gaps, update)
	if !s.at.pending {
		s.at.pending = true
		s.at.tries = 0
		c.pendings++
		if !fault.Active(fault.NoAskOnPending) {
			c.chaseLater(s)
		}
	}
	if c.doc.PendingBytes() > c.limits.PendingBytes {
		c.end(s, endPending)
	}
}

// maxSeenPending bounds the digests kept of pending updates.
const maxSeenPending = 1024

// loggedPending tells whether the log was given these very bytes before, as an
// update that left something pending. Sizes of what is pending can't tell: two
// different things may have the same, and what is not in the log must never
// count as known. It remembers the update otherwise.
func (c *core) loggedPending(update []byte) bool {
	sum := sha256.Sum256(update)
	if _, seen := c.seenPending[sum]; seen {
		return true
	}
	if c.seenPending == nil || len(c.seenPending) == maxSeenPending {
		c.seenPending = make(map[[sha256.Size]byte]struct{})
	}
	c.seenPending[sum] = struct{}{}
	return false
}

// gap says that something waits until the document has a client's units before
// clock to.
type gap struct {
	client crdt.ClientID
	to     crdt.Clock
}

// maxGaps bounds the gaps kept for one session. What does not fit waits until
// nothing at all is pending.
const maxGaps = 256

// everything is a gap that closes when nothing is pending any more.
var everything = gap{to: 1<<53 - 1}

// addGaps notes what the document must have before all of an update is
// integrated: the units it brings, and those it deletes.
func (c *core) addGaps(gaps []gap, update []byte) []gap {
	contents, err := crdt.ContentsOf(crdt.V1, update)
	if err != nil {
		return append(gaps, everything)
	}
	for _, set := range []*crdt.IDSet{&contents.Blocks, &contents.Deletes} {
		for client, r := range set.All() {
			if r.To <= c.doc.State(client) {
				continue
			}
			if i := slices.IndexFunc(gaps, func(g gap) bool { return g.client == client }); i >= 0 {
				gaps[i].to = max(gaps[i].to, r.To)
				continue
			}
			if len(gaps) >= maxGaps {
				return append(gaps, everything)
			}
			gaps = append(gaps, gap{client, r.To})
		}
	}
	return gaps
}

// settlePending finds the sessions whose gaps the last update closed.
func (c *core) settlePending() {
	none := c.doc.PendingBytes() == 0
	if none {
		c.seenPending = nil
	}
	for _, s := range c.subs {
		if !s.at.pending || !none && slices.ContainsFunc(s.at.gaps, func(g gap) bool { return c.doc.State(g.client) < g.to }) {
			continue
		}
		s.at.pending, s.at.gaps = false, nil
		c.pendings--
		c.raiseAcks(s)
	}
}

// readerUpdate judges what a session without the right to write sent. Joiners
// send all that they have, so nothing is wrong as long as nothing is new.
func (c *core) readerUpdate(s *Subscription, update []byte) {
	c.opt.count.refused.Inc()
	if s.at.refused {
		return
	}
	rest, err := crdt.Diff(crdt.V1, update, c.doc.StateVector())
	if err != nil {
		c.garble(s)
		return
	}
	if rest[0] == 0 {
		if deletes, err := crdt.DecodeIDSet(crdt.V1, rest[1:]); err == nil {
			have := c.doc.Deletes()
			deletes.Subtract(&have)
			s.at.refused = !deletes.Empty()
			return
		}
	}
	s.at.refused = true
}

// tooLarge tells whether an update would grow a document that is at its size
// limit. Deletions are taken, and so is what the document has already.
func (c *core) tooLarge(update []byte) bool {
	if c.doc.Bytes()+len(update) <= c.limits.DocumentBytes {
		return false
	}
	// The first number of an update is for how many clients it has blocks.
	rest, err := crdt.Diff(crdt.V1, update, c.doc.StateVector())
	return err == nil && rest[0] != 0
}

// refuse ends a session over a valid update that breaks a limit, and keeps the
// update: what the client makes after it would be pending for ever.
func (c *core) refuse(s *Subscription, update []byte, why *EndError) {
	c.opt.count.refused.Inc()
	c.fx.quarantine = append(c.fx.quarantine, refusal{s, why.Reason, update})
	c.end(s, why)
}

// garble counts a message that could not be decoded. The client may have been
// hit by one bad frame, so it is asked for its state; a client that keeps
// sending garbage is sent away.
func (c *core) garble(s *Subscription) {
	c.opt.count.refused.Inc()
	s.at.garbled++
	if s.at.garbled > maxGarbled {
		c.end(s, endGarbled)
		return
	}
	if s.at.writes && !s.at.owes {
		s.at.owes = true
		c.chaseLater(s)
	}
}

// commit takes in that this process is the writer and that the log has
// committed up to rec.Head.
func (c *core) commit(rec *persistence.Record) {
	c.owned = true
	c.record.Epoch, c.record.Owner, c.record.Generation = rec.Epoch, rec.Owner, rec.Generation
	c.record.Document = rec.Document
	if rec.Head <= c.committed {
		return
	}
	n := int(rec.Head - c.committed)
	for _, e := range c.open[:n] {
		c.openBytes -= e.bytes
	}
	c.stored.committed(c, c.open[0].at)
	if c.open = slices.Delete(c.open, 0, n); len(c.open) == 0 && cap(c.open) > keptBatch {
		c.open = nil
	}
	c.committed, c.record.Head = rec.Head, rec.Head
	c.release()
	c.answerAcks()
	c.answerChanges()
}

// release puts out the frames that waited for the commit.
func (c *core) release() {
	n := 0
	for n < len(c.held) && c.held[n].version <= c.committed {
		h := &c.held[n]
		n++
		if h.sub != nil {
			if !h.sub.gone() {
				c.fx.out = append(c.fx.out, delivery{sub: h.sub, item: h.item})
			}
			continue
		}
		for _, s := range c.subs {
			if s.peer.Echo && s.at.ready && h.version > s.at.from && (s.at.lag == nil || h.version <= s.at.lag.version) {
				c.fx.out = append(c.fx.out, delivery{sub: s, item: h.item})
			}
		}
	}
	c.held = slices.Delete(c.held, 0, n)
}
