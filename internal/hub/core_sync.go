package hub

import (
	"time"

	"ysync/crdt"
	"ysync/internal/fault"
	"ysync/persistence"
	"ysync/syncproto"
)

const (
	// answerBytes is what an answer to SyncStep1 costs beside its bytes.
	answerBytes = 256
	// maxVectorBytes bounds a state vector; extraClients is how many clients
	// that the document does not know it may name.
	maxVectorBytes = 256 << 10
	extraClients   = 1000
	// retiredVectorBytes is what a retired client may take in a vector, which
	// has to be read to be refused for the right reason.
	retiredVectorBytes = 16
	// fullKept is how long an unused encoding of the whole state is kept.
	fullKept = 5 * time.Second
	// chaseBatch and chaseEvery pace requests for state after a stall.
	chaseBatch = 32
	chaseEvery = 20 * time.Millisecond
)

// shared is an encoding of the whole state, for all who join about now.
type shared struct {
	version persistence.Position
	logged  int // core.logged then
	bytes   int
	used    time.Time
	// single is a SyncStep2 frame; nil when the state is large.
	single []byte
	// frames are Update frames that make up the state. Every prefix of them
	// leaves nothing pending at the client. mark is what they bring it up to;
	// it is held as long as they are.
	frames [][]byte
	mark   *mark
}

// syncStep1 answers with what the client lacks, unless its answers have taken
// too much of late or one is still on its way; then later, to the newest
// request.
func (c *core) syncStep1(s *Subscription, vector []byte) {
	if len(vector) > maxVectorBytes+retiredVectorBytes*len(c.retired) {
		c.garble(s)
		return
	}
	sv, err := crdt.DecodeStateVector(vector)
	if err == nil && c.knowsRetired(s, sv) {
		return
	}
	if err != nil || sv.Len() > extraClients && sv.Len() > c.doc.StateVector().Len()+extraClients {
		c.garble(s)
		return
	}
	c.accrue(s)
	if s.at.lag != nil || s.at.credit <= 0 {
		if s.at.wantSync == nil && s.at.lag == nil {
			c.deferred = append(c.deferred, s)
			c.opt.count.deferred.Inc()
		}
		s.at.wantSync = vector
		return
	}
	c.answer(s, sv)
}

// allowance is how many bytes a second answers to one session may take.
func (c *core) allowance() int64 {
	return int64(max(c.limits.SyncBytesPerSecond, 2*c.doc.Bytes()))
}

func (c *core) accrue(s *Subscription) {
	rate := c.allowance()
	elapsed := min(c.now.Sub(s.at.creditAt), time.Second)
	s.at.credit = min(s.at.credit+int64(elapsed.Seconds()*float64(rate)), rate)
	s.at.creditAt = c.now
}

// answerDeferred answers those whose allowance has grown back.
func (c *core) answerDeferred() {
	n := 0
	for _, s := range c.deferred {
		if s.gone() || s.at.wantSync == nil || s.at.lag != nil {
			continue
		}
		if c.accrue(s); s.at.credit <= 0 {
			c.deferred[n] = s
			n++
			continue
		}
		c.answerWanted(s)
	}
	clear(c.deferred[n:])
	c.deferred = c.deferred[:n]
}

// answerWanted answers the SyncStep1 that was put off.
func (c *core) answerWanted(s *Subscription) {
	sv, err := crdt.DecodeStateVector(s.at.wantSync)
	s.at.wantSync = nil
	if err == nil {
		c.answer(s, sv)
	}
}

// answer sends what sv lacks: one SyncStep2 when it is small; else chunks of it
// and then a small SyncStep2 with what has changed meanwhile.
func (c *core) answer(s *Subscription, sv crdt.StateVector) {
	if sv.Len() == 0 {
		c.answerFull(s)
		return
	}
	diff := c.doc.AppendDiff(nil, crdt.V1, sv)
	if fault.Active(fault.SkipEqualVectors) && sv.Equal(c.doc.StateVector()) {
		diff = []byte{0, 0}
	}
	if len(diff) <= c.limits.ChunkBytes {
		s.at.credit -= int64(len(diff) + answerBytes)
		s.at.ready, s.at.from = true, c.version
		c.hears(s)
		c.put(s, item{frame: syncproto.AppendSyncStep2(make([]byte, 0, len(diff)+12), diff)}, c.version)
		return
	}
	if c.diffs+len(diff) > c.limits.SyncDiffBytes {
		c.answerFull(s)
		return
	}
	s.at.credit -= int64(len(diff) + answerBytes)
	s.at.holds = len(diff)
	c.diffs += len(diff)
	s.at.final = true
	c.stream(s, c.chunks(sv), c.markNow())
}

// answerFull sends the whole state, from an encoding that is shared by all who
// ask for it about now. A large one may be a little old: what came after it
// follows as the diff at its end.
func (c *core) answerFull(s *Subscription) {
	f := c.fullState()
	f.used = c.now
	s.at.credit -= int64(f.bytes + answerBytes)
	if f.single != nil {
		s.at.ready, s.at.from = true, f.version
		c.hears(s)
		c.put(s, item{frame: f.single}, f.version)
		return
	}
	s.at.final = true
	c.stream(s, f.frames, f.mark)
}

func (c *core) fullState() *shared {
	if f := c.full; f != nil && (f.version == c.version ||
		f.single == nil && c.logged-f.logged <= max(c.limits.ChunkBytes, f.bytes/8) && c.usable(f.mark)) {
		return f
	}
	c.dropFull()
	f := &shared{version: c.version, logged: c.logged}
	c.full = f
	if c.doc.Bytes() <= 8*c.limits.ChunkBytes {
		state := c.doc.AppendDiff(nil, crdt.V1, crdt.StateVector{})
		if len(state) <= c.limits.ChunkBytes {
			f.single = syncproto.AppendSyncStep2(make([]byte, 0, len(state)+12), state)
			f.bytes = len(f.single)
			return f
		}
	}
	f.mark = c.markNow()
	f.mark.refs++
	f.frames = c.chunks(crdt.StateVector{})
	for _, frame := range f.frames {
		f.bytes += len(frame)
	}
	return f
}

func (c *core) dropFull() {
	if c.full != nil && c.full.mark != nil {
		c.unmark(c.full.mark)
	}
	c.full = nil
}

// chunks cuts what sv lacks into Update frames.
func (c *core) chunks(sv crdt.StateVector) [][]byte {
	var out [][]byte
	for chunk := range c.doc.Chunks(sv, c.limits.ChunkBytes) {
		out = append(out, c.updateFrame(chunk))
	}
	return out
}

// stream sends frames one by one as the socket takes them. They bring the
// reader up to m; what comes after m it gets when they are through.
func (c *core) stream(s *Subscription, frames [][]byte, m *mark) {
	c.lagFrom(s, m)
	s.at.ready, s.at.from = true, m.version
	c.put(s, item{rest: frames, class: classStream}, m.version)
}

// ask sends SyncStep1: the client answers with what the document lacks.
func (c *core) ask(s *Subscription) {
	frame := c.step1.of(c.version, func() []byte {
		return syncproto.AppendSyncStep1(nil, crdt.AppendStateVector(nil, c.doc.StateVector()))
	})
	s.at.asked = c.now
	s.at.inquiry.asks++
	c.control(s, frame)
}

// chaseLater makes s one of those that are asked for what is missing.
func (c *core) chaseLater(s *Subscription) {
	if !s.at.chased {
		s.at.chased = true
		c.chasing = append(c.chasing, s)
	}
}

// chase asks for what is missing: of a session whose content is pending at
// once, of those whose updates were discarded when the log commits again, a few
// at a time. It asks again, ever more rarely, until it has come.
func (c *core) chase() {
	n, asked := 0, 0
	for _, s := range c.chasing {
		if s.gone() || !s.at.pending && !s.at.owes {
			s.at.chased = false
			continue
		}
		c.chasing[n] = s
		n++
		if asked < chaseBatch && c.mayChase(s) {
			c.ask(s)
			s.at.tries = min(s.at.tries+1, 6)
			asked++
		}
	}
	clear(c.chasing[n:])
	c.chasing = c.chasing[:n]
}

func (c *core) mayChase(s *Subscription) bool {
	if c.draining || c.discarding {
		return false
	}
	if s.at.tries == 0 {
		// A request on its way may have crossed what is missing; but a client
		// that makes one gap after the other is not asked for each.
		return c.now.Sub(s.at.asked) >= time.Second
	}
	return c.now.Sub(s.at.asked) >= time.Second<<s.at.tries
}

// drained goes on with a reader whose outbox is empty: it gets the answer it
// asked for meanwhile, or one diff from where it fell behind.
func (c *core) drained(s *Subscription) {
	c.diffs -= s.at.holds
	s.at.holds = 0
	if s.at.lag == nil {
		return
	}
	c.showMissedPresence(s)
	if s.at.wantSync != nil {
		c.unlag(s)
		s.at.final = false
		if c.accrue(s); s.at.credit <= 0 {
			// What it missed since the mark comes with the answer; until then its
			// client could not place updates.
			s.at.ready = false
			c.hears(s)
			c.deferred = append(c.deferred, s)
			return
		}
		c.answerWanted(s)
		return
	}
	c.catchUp(s)
}
