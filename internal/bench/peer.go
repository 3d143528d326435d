package main

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"ysync/crdt"
	"ysync/syncproto"
)

// group is one document with its peers and the edits that are under way in it.
type group struct {
	document string

	mu        sync.Mutex
	peers     []*peer
	receivers int // peers, and readers
	writers   map[crdt.ClientID]*writer
	took      []time.Duration // room for saw
	// stats are told what those see who join from now on.
	stats *stats
}

// peer is one client: a socket and a replica. Its replica is touched by its
// reading goroutine, and by its writer, under mu.
type peer struct {
	group  *group
	stats  *stats
	socket *socket
	synced chan struct{}
	ended  atomic.Pointer[error] // why its connection is over; nil while it is not

	mu     sync.Mutex
	doc    *crdt.Doc
	out    []byte
	update []byte // room for the newest edit
	// handOver takes the socket from the reading goroutine, with what was read
	// and not used; nil to go on.
	handOver func(left []byte)
}

// writer makes the edits of one peer.
type writer struct {
	peer *peer
	id   crdt.ClientID
	rng  *rand.Rand
	// styled counts the edits of formatted text.
	styled int
	next   func() // called without locks when an edit of this writer is finished

	// Guarded by group.mu: the edits under way, oldest first, and how many were made.
	edits []edit
	made  int
}

// edit is one transaction under way. It is finished when missing is 0.
type edit struct {
	from, to crdt.Clock
	at       time.Time
	missing  int
}

func newGroup(document string, s *stats) *group {
	return &group{document: document, writers: map[crdt.ClientID]*writer{}, stats: s}
}

// join connects a peer with a replica and returns when it is synced.
func (g *group) join(addr string) (*peer, error) {
	p, err := g.connect(addr)
	if err == nil {
		g.mu.Lock()
		g.peers = append(g.peers, p)
		g.receivers++
		g.mu.Unlock()
	}
	return p, err
}

func (g *group) connect(addr string) (*peer, error) {
	s, err := dial(addr, g.document, 4096)
	if err != nil {
		return nil, err
	}
	p := &peer{group: g, stats: g.stats, socket: s, synced: make(chan struct{}), doc: crdt.New(crdt.Options{NoFormatCleanup: true})}
	go p.read()
	if err := s.write(syncproto.AppendSyncStep1(nil, crdt.AppendStateVector(nil, p.doc.StateVector()))); err != nil {
		return nil, err
	}
	select {
	case <-p.synced:
		return p, nil
	case <-time.After(30 * time.Second):
		return nil, fmt.Errorf("%s: not synced in 30 s", g.document)
	}
}

func (p *peer) read() {
	var buf []byte
	for {
		message, err := p.socket.read(buf)
		if err != nil {
			p.ended.Store(&err)
			p.mu.Lock()
			if p.handOver != nil {
				left, _ := p.socket.in.Peek(p.socket.in.Buffered())
				p.handOver(left)
			}
			p.mu.Unlock()
			return
		}
		buf = message
		frame := syncproto.NewDecoder(message)
		for {
			m, ok := frame.Next()
			if !ok {
				break
			}
			p.receive(m)
		}
	}
}

func (p *peer) receive(m syncproto.Message) {
	switch m.Kind {
	case syncproto.KindSyncStep1:
		sv, err := crdt.DecodeStateVector(m.Payload)
		if err != nil {
			p.stats.fail(err)
			return
		}
		p.mu.Lock()
		answer := syncproto.AppendSyncStep2(nil, p.doc.AppendDiff(nil, crdt.V1, sv))
		p.mu.Unlock()
		p.socket.write(answer)
	case syncproto.KindSyncStep2, syncproto.KindUpdate:
		p.mu.Lock()
		commit, err := p.doc.Apply(nil, crdt.V1, m.Payload)
		if err != nil {
			p.mu.Unlock()
			p.stats.fail(err)
			return
		}
		now := time.Now()
		var finished []*writer
		for client, added := range commit.Added() {
			finished = append(finished, p.group.saw(p.stats, client, added, now)...)
		}
		p.mu.Unlock()
		if m.Kind == syncproto.KindSyncStep2 {
			select {
			case <-p.synced:
			default:
				close(p.synced)
			}
		}
		for _, w := range finished {
			w.next()
		}
	}
}

// saw counts, in the receiver's stats, what it newly has of a client and returns
// the writer, once for each edit that is finished by it.
func (g *group) saw(s *stats, client crdt.ClientID, added crdt.Range, now time.Time) (finished []*writer) {
	g.mu.Lock()
	defer g.mu.Unlock()
	w := g.writers[client]
	if w == nil {
		return nil
	}
	took := g.took[:0]
	for i := range w.edits {
		e := &w.edits[i]
		if e.to <= added.From || e.to > added.To {
			continue
		}
		took = append(took, now.Sub(e.at))
		if e.missing--; e.missing == 0 {
			finished = append(finished, w)
		}
	}
	s.delivered(took...)
	g.took = took
	for len(w.edits) > 0 && w.edits[0].missing == 0 {
		w.edits = w.edits[1:]
	}
	return finished
}

// writer turns a peer into a writer.
func (p *peer) writer(seed uint64) *writer {
	w := &writer{peer: p, id: p.doc.ClientID(), rng: rand.New(rand.NewPCG(seed, 1)), next: func() {}}
	p.group.mu.Lock()
	p.group.writers[w.id] = w
	p.group.mu.Unlock()
	return w
}

const letters = "the quick brown fox jumps over the lazy dog"

// edit makes one transaction of the kinds that editors and applications make
// and sends it: mostly typing, in a place where others type too; map entries
// and formats between. at is the moment it was due.
func (w *writer) edit(at time.Time) error {
	p := w.peer
	p.mu.Lock()
	text, cells := p.doc.Text("text"), p.doc.Map("cells")
	commit, err := p.doc.Transact(nil, func(tx *crdt.Txn) {
		n := text.Len()
		switch k := w.rng.IntN(20); {
		case k == 0:
			cells.Set(tx, fmt.Sprintf("cell-%d", w.rng.IntN(50)), crdt.Number(float64(w.rng.IntN(1000))))
		case k == 1:
			// An edit of formatted text walks its formats: paragraphs are kept
			// short, or the client would be what is measured.
			w.styled++
			styled := p.doc.Text(fmt.Sprintf("paragraph-%d", w.styled/20))
			styled.InsertWith(tx, styled.Len(), "bold ", crdt.Attrs{{Key: "bold", Value: crdt.Bool(true)}})
			styled.InsertWith(tx, styled.Len(), "plain ", nil)
		case k == 2 && n > 20:
			from := w.rng.IntN(n - 10)
			text.Delete(tx, from, 4)
			text.Insert(tx, from, "d")
		default:
			from := w.rng.IntN(len(letters) - 4)
			text.Insert(tx, max(0, n-w.rng.IntN(40)-1), letters[from:from+1+w.rng.IntN(3)])
		}
	})
	if err != nil {
		p.mu.Unlock()
		return err
	}
	p.update = commit.AppendUpdate(p.update[:0], crdt.V1)
	p.out = syncproto.AppendUpdate(p.out[:0], p.update)
	var e edit
	for client, added := range commit.Added() {
		if client == w.id {
			e = edit{from: added.From, to: added.To, at: at}
		}
	}
	if e.to == 0 {
		p.mu.Unlock()
		return fmt.Errorf("an edit of client %d added nothing", w.id)
	}
	g := p.group
	g.mu.Lock()
	e.missing = g.receivers - 1
	w.edits = append(w.edits, e)
	w.made++
	g.mu.Unlock()
	err = p.socket.write(p.out)
	p.mu.Unlock()
	return err
}
