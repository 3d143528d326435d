package crashtest

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"ysync/crdt"
	"ysync/internal/testnet"
	"ysync/persistence"
	"ysync/snapshots"
)

// chaos is a run of mishaps in a site with writers at every node.
type chaos struct {
	config
	// faithful writers connect to one node only, as many as there are to each,
	// and never give a connection up. Others connect to any.
	faithful bool
	// mishaps is how many happen.
	mishaps int
	// deep plays all that can happen to all that it can happen to, before anything
	// happens again; else one of each kind.
	deep bool
	// only chooses from them; nil for all.
	only func(mishap) bool
	// calm is the longest time between the begins of two of them; hurry divides
	// how long they last.
	calm  time.Duration
	hurry int
	// together is how many go on at a time.
	together int
	progress func(format string, args ...any)
}

// chaosReport is what a run did and found.
type chaosReport struct {
	report
	mishaps, dials, epochs, looks int
	kinds                         map[string]int
	partitions                    map[string]int // by what was cut off from what
	ends                          map[websocket.StatusCode]int
}

func (r chaosReport) String() string {
	return fmt.Sprintf("%d faults, %d edits, %d acknowledged, %d connections, ended with %v; %d claims, %d looks at the database, %d violations",
		r.mishaps, r.edits, r.acked, r.dials, r.ends, r.epochs, r.looks, len(r.faults))
}

// aim is what every replica has to be in the end.
type aim struct {
	vector  crdt.StateVector
	deletes crdt.IDSet
	content []byte
}

// rig is a run under way.
type rig struct {
	chaos
	site   *site
	ledger *ledger
	names  []string
	rng    *rand.Rand
	aims   atomic.Pointer[map[string]aim]

	mu     sync.Mutex
	report chaosReport
	busy   map[string]bool // what a mishap is about now
	now    int             // mishaps that go on
	gone   map[int]bool    // writers whose replica is as it has to be
}

// play plays a run on machines of its own. An error means that it could not be
// played.
func (c chaos) play(ctx context.Context) (_ chaosReport, err error) {
	net, err := testnet.New()
	if err != nil {
		return chaosReport{}, err
	}
	defer func() { err = errors.Join(err, net.Remove()) }()
	return c.playOn(ctx, net, (*rig).happen)
}

// playOn plays a run, in which something happens, on the machines of a net, or
// on loopback if there is none.
func (c chaos) playOn(ctx context.Context, net *testnet.Net, happens func(*rig, context.Context) error) (_ chaosReport, err error) {
	site, err := newSite(c.data, net)
	defer func() { err = errors.Join(err, site.close()) }()
	if err != nil {
		return chaosReport{}, err
	}
	if err := site.start(ctx, c.binary, c.env); err != nil {
		return chaosReport{}, err
	}
	r := &rig{
		chaos: c, site: site, ledger: newLedger(), rng: rand.New(rand.NewPCG(c.seed, 0)),
		busy: map[string]bool{}, gone: map[int]bool{},
		report: chaosReport{kinds: map[string]int{}, partitions: map[string]int{}, ends: map[websocket.StatusCode]int{}},
	}
	for i := range c.documents {
		r.names = append(r.names, fmt.Sprintf("chaos/%d/document %d", c.seed, i))
	}
	if err := errors.Join(site.watch(), site.read(ctx)); err != nil {
		return chaosReport{}, err
	}
	err = r.run(ctx, happens)
	found := r.ledger.report()
	r.report.edits, r.report.acked, r.report.faults = found.edits, found.acked, found.faults
	return r.report, err
}

func (r *rig) run(ctx context.Context, happens func(*rig, context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	drain := make(chan struct{})
	r.manner.bears, r.manner.leaves = r.bears, r.leaves
	var writers sync.WaitGroup
	start := func(cfg config, silence time.Duration, nodes ...*node) {
		gate := newGate()
		done := startWriters(ctx, cfg, r.names, r.ledger, gate, drain)
		writers.Go(func() { <-done })
		connect := r.site.anywhere(rand.New(rand.NewPCG(r.seed, 1<<32+uint64(cfg.firstWriter))), silence, nodes...)
		gate.lift(func(ctx context.Context, document string) (*link, error) {
			r.mu.Lock()
			r.report.dials++
			r.mu.Unlock()
			return connect(ctx, document)
		})
	}
	if r.faithful {
		for i, n := range r.site.nodes {
			cfg := r.config
			cfg.firstWriter = i * (r.writers + r.withholders)
			start(cfg, 0, n)
		}
	} else {
		start(r.config, silence, r.site.nodes...)
	}
	done := make(chan struct{})
	go func() {
		writers.Wait()
		close(done)
	}()
	var watch sync.WaitGroup
	watch.Go(func() { r.look(ctx) })
	watch.Go(func() { r.guard(ctx) })
	defer watch.Wait()
	defer func() { <-done }()
	defer cancel()
	if err := happens(r, ctx); err != nil || r.ledger.broken() {
		return err
	}
	return r.settle(ctx, drain, done)
}

// everybody is the number of writers.
func (r *rig) everybody() int {
	n := r.writers + r.withholders
	if r.faithful {
		n *= len(r.site.nodes)
	}
	return n
}

// bears counts the ends of sessions, and says which are in order.
func (r *rig) bears(err error) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.ends[websocket.CloseStatus(err)]++
	return mayEnd(err)
}

// happen lets the mishaps happen.
func (r *rig) happen(ctx context.Context) error {
	var all sync.WaitGroup
	defer all.Wait()
	failed := make(chan error, r.mishaps)
	deck := r.deck()
	started := time.Now()
	for n := 0; n < r.mishaps && !r.ledger.broken(); {
		if len(deck) == 0 {
			deck = r.deck()
		}
		i := slices.IndexFunc(deck, r.possible)
		if i < 0 {
			select {
			case <-time.After(50 * time.Millisecond):
				continue
			case err := <-failed:
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		m := deck[i]
		deck = slices.Delete(deck, i, i+1)
		r.take(m, true)
		n++
		lasts := m.least + time.Duration(r.rng.Int64N(int64(m.most-m.least)+1))/time.Duration(r.hurry)
		r.progress("%6.1fs  %3d. %s: %s for %v (%d acknowledged)", time.Since(started).Seconds(), n, m.kind, m.name,
			lasts.Round(time.Millisecond), r.ledger.report().acked)
		all.Go(func() {
			defer r.take(m, false)
			if err := r.undergo(ctx, m, lasts); err != nil && ctx.Err() == nil {
				failed <- fmt.Errorf("%s: %s: %w", m.kind, m.name, err)
			}
		})
		select {
		case <-time.After(time.Duration(r.rng.Int64N(int64(r.calm)))):
		case err := <-failed:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	all.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

func (r *rig) deck() []mishap {
	deck := r.site.deck(r.rng)
	if r.only != nil {
		deck = slices.DeleteFunc(deck, func(m mishap) bool { return !r.only(m) })
	}
	if r.deep {
		return deck
	}
	return sample(deck)
}

// undergo lets one mishap begin, last and end.
func (r *rig) undergo(ctx context.Context, m mishap, lasts time.Duration) error {
	if err := m.begin(ctx); err != nil {
		return err
	}
	select {
	case <-time.After(lasts):
	case <-ctx.Done():
	}
	return m.end(ctx)
}

// possible says whether a mishap may begin now.
func (r *rig) possible(m mishap) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now < r.together && !slices.ContainsFunc(m.on, func(what string) bool { return r.busy[what] })
}

func (r *rig) take(m mishap, begins bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, what := range m.on {
		if begins {
			r.busy[what] = true
		} else {
			delete(r.busy, what)
		}
	}
	if !begins {
		r.now--
		return
	}
	r.now++
	r.report.mishaps++
	r.report.kinds[m.kind]++
	if m.kind == "partition" {
		r.report.partitions[m.name]++
	}
}

// guard notices processes that end by themselves.
func (r *rig) guard(ctx context.Context) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		for _, n := range r.site.nodes {
			if n.ended() {
				r.ledger.fault("%s ended by itself:\n%s", n.name, n.current().tail(30))
				return
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// look reads documents from the database and the bucket, past the nodes, again
// and again: whatever is acknowledged is there, at any moment.
func (r *rig) look(ctx context.Context) {
	for i := 0; ; i++ {
		select {
		case <-time.After(300 * time.Millisecond):
		case <-ctx.Done():
			return
		}
		name := r.names[i%len(r.names)]
		want := r.ledger.wanted(name, acknowledged)
		soon, cancel := context.WithTimeout(ctx, auditTimeout)
		doc, _, _, err := r.site.keeper.Load(soon, name)
		cancel()
		switch {
		case errors.Is(err, snapshots.ErrUnrecoverable), errors.Is(err, persistence.ErrCorrupt):
			r.ledger.fault("meanwhile, in the database: %v", err)
			continue
		case err != nil:
			continue // the database or the bucket is away
		}
		r.ledger.audit("meanwhile, in the database", name, doc, want)
		r.mu.Lock()
		r.report.looks++
		r.mu.Unlock()
	}
}

// settle ends the writers when all is well again, and compares everything.
func (r *rig) settle(ctx context.Context, drain chan<- struct{}, done <-chan struct{}) error {
	if err := r.site.whole(ctx); err != nil {
		r.ledger.fault("the nodes do not come together again: %v", err)
		return ctx.Err()
	}
	close(drain)
	start := time.Now()
	for left := 1; left > 0; {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
		left = r.ledger.outstanding(r.ledger.unacknowledged(r.everybody()))
		if time.Since(start) > calmTimeout {
			r.ledger.fault("%d edits are not acknowledged %v after the last fault", left, calmTimeout)
			return nil
		}
	}
	r.progress("all is acknowledged %v after the end", time.Since(start).Round(time.Millisecond))
	aims, stored := map[string]aim{}, map[string]*crdt.Doc{}
	for _, name := range r.names {
		doc, _, _, err := r.site.keeper.Load(ctx, name)
		if err != nil {
			return err
		}
		r.ledger.audit("at the end, in the database", name, doc, r.ledger.wanted(name, everything))
		stored[name] = doc
		aims[name] = aim{doc.StateVector(), doc.Deletes(), doc.AppendJSON(nil, nil)}
	}
	r.aims.Store(&aims)
	select {
	case <-done:
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(calmTimeout):
		r.mu.Lock()
		gone := len(r.gone)
		r.mu.Unlock()
		r.ledger.fault("of %d replicas only %d became as the database has it within %v", r.everybody(), gone, calmTimeout)
		return nil
	}
	if err := r.compare(ctx, stored); err != nil {
		return err
	}
	for _, n := range r.site.nodes {
		for _, l := range n.current().complaints() {
			r.ledger.fault("%s: %s", n.name, l)
		}
	}
	return nil
}

// leaves says whether a writer has all that it should have. It may go then.
func (r *rig) leaves(w *writer) bool {
	aims := r.aims.Load()
	if aims == nil {
		return false
	}
	want := (*aims)[w.document]
	deletes := w.doc.Deletes()
	if !w.doc.StateVector().Equal(want.vector) || !deletes.Equal(&want.deletes) {
		return false
	}
	if err := sameJSON(w.doc.AppendJSON(nil, nil), want.content); err != nil {
		r.ledger.fault("%s: the replica of writer %d: %v", w.document, w.author.id, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gone[w.author.id] = true
	return true
}

// sameJSON compares contents; keys may be in any order.
func sameJSON(a, b []byte) error {
	var x, y any
	if err := errors.Join(json.Unmarshal(a, &x), json.Unmarshal(b, &y)); err != nil {
		return err
	}
	if !reflect.DeepEqual(x, y) {
		return errors.New("it has other content")
	}
	return nil
}

// compare holds what every node serves, and what real Yjs makes of all that was
// ever written, to what is stored.
func (r *rig) compare(ctx context.Context, stored map[string]*crdt.Doc) error {
	for _, name := range r.names {
		for _, n := range r.site.nodes {
			doc, err := fetch(ctx, r.site.anywhere(r.rng, silence, n), name)
			if err == nil {
				err = sameContent(doc, stored[name])
			}
			if err != nil {
				r.ledger.fault("%s at %s: %v", name, n.name, err)
			}
		}
		updates, err := r.site.written(ctx, name)
		if err != nil {
			return err
		}
		if err := agree(ctx, name, updates, stored[name]); err != nil {
			r.ledger.fault("%s: %v", name, err)
		}
	}
	found, err := r.site.split(ctx)
	for _, f := range found {
		r.ledger.fault("%s", f)
	}
	if err != nil {
		return err
	}
	r.report.epochs, err = r.site.epochs(ctx)
	return err
}

// yjs is the folder of the program that runs real Yjs.
func yjs() string {
	_, here, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(here), "..", "..", "crdt", "differential")
}

// agree compares a document with what real Yjs makes of updates.
func agree(ctx context.Context, document string, updates [][]byte, doc *crdt.Doc) error {
	in := struct {
		Document string   `json:"document"`
		Updates  []string `json:"updates"`
	}{Document: document}
	for _, u := range updates {
		in.Updates = append(in.Updates, base64.StdEncoding.EncodeToString(u))
	}
	line, err := json.Marshal(in)
	if err != nil {
		return err
	}
	c := exec.CommandContext(ctx, "node", "oracle.mjs")
	c.Dir, c.Stdin = yjs(), bytes.NewReader(append(line, '\n'))
	var complaints strings.Builder
	c.Stderr = &complaints
	out, err := c.Output()
	if err != nil {
		return fmt.Errorf("real Yjs: %w\n%s", err, complaints.String())
	}
	var theirs struct {
		Text, Array, Map json.RawMessage
		Vector           map[crdt.ClientID]uint64
		Pending          bool
	}
	if err := json.Unmarshal(out, &theirs); err != nil {
		return err
	}
	text, err := json.Marshal(doc.Text(textRoot).String())
	if err != nil {
		return err
	}
	ours := doc.StateVector()
	for client, clock := range theirs.Vector {
		if uint64(ours.Get(client)) != clock {
			err = errors.Join(err, fmt.Errorf("real Yjs knows client %d up to %d, ysync up to %d", client, clock, ours.Get(client)))
		}
	}
	switch {
	case err != nil:
		return err
	case theirs.Pending:
		return errors.New("something is pending in real Yjs")
	}
	for what, pair := range map[string][2][]byte{
		"text": {theirs.Text, text}, "array": {theirs.Array, doc.Array(arrayRoot).Value().AppendJSON(nil)}, "map": {theirs.Map, doc.Map(mapRoot).Value().AppendJSON(nil)},
	} {
		if err := sameJSON(pair[0], pair[1]); err != nil {
			return fmt.Errorf("the %s in real Yjs: %w", what, err)
		}
	}
	return nil
}
