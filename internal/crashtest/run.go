package crashtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ysync/internal/fault"
	"ysync/internal/teststores"
	"ysync/snapshots"
)

// config is one run: one set of documents, many kills.
type config struct {
	binary, data string
	// stores are where the server keeps its documents.
	stores    teststores.Stores
	seed      uint64
	kills     int
	documents int
	// writers have one connection each, withholders two.
	writers, withholders int
	// firstWriter is the number of the first one, where there are several groups.
	firstWriter int
	manner      manner
	// longest is the longest time for which a server lives.
	longest time.Duration
	// damage is how many kills in a hundred damage a snapshot.
	damage int
	env    []string
	// points are the steps at which the server is killed, one after the other; at
	// random moments when there are none. They need a server with faults. latest is
	// the last time at a point at which it dies.
	points []fault.Point
	latest int
}

// report is what a run did and found.
type report struct {
	crashes, starts, edits, acked, damaged, fallbacks int
	// moments were restored from the disk and compared.
	moments int
	faults  []string
}

func (r report) String() string {
	return fmt.Sprintf("%d crashes (%d while starting), %d edits, %d acknowledged, %d snapshots damaged, %d fallbacks, %d moments restored, %d faults",
		r.crashes, r.starts, r.edits, r.acked, r.damaged, r.fallbacks, r.moments, len(r.faults))
}

const (
	auditTimeout = 30 * time.Second
	drainTimeout = 60 * time.Second
	shortestLife = 100 * time.Millisecond
	// longestStart is for how long a server may live that is killed before it
	// serves anybody.
	longestStart = 150 * time.Millisecond
)

// harness is a run under way.
type harness struct {
	config
	rng     *rand.Rand
	ledger  *ledger
	gate    *gate
	names   []string
	touched map[string]bool // documents of which a snapshot was damaged
	pasts   map[string]*past
	report  report
}

func newHarness(cfg config) *harness {
	cfg.env = append(cfg.stores.Env(), cfg.env...)
	h := &harness{
		config: cfg, rng: rand.New(rand.NewPCG(cfg.seed, 0)), ledger: newLedger(), gate: newGate(),
		touched: make(map[string]bool), pasts: make(map[string]*past),
	}
	for i := range cfg.documents {
		h.names = append(h.names, fmt.Sprintf("crash/%d/document %d", cfg.seed, i))
	}
	return h
}

// run plays a run. It ends early at the first fault. An error means that the
// run could not be played, not that the server is at fault.
func run(ctx context.Context, cfg config) (report, error) {
	h := newHarness(cfg)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	drain := make(chan struct{})
	done := startWriters(ctx, cfg, h.names, h.ledger, h.gate, drain)
	kill := h.kills
	if len(cfg.points) > 0 {
		kill = h.killsAtPoints
	}
	err := kill(ctx)
	if err == nil && !h.ledger.broken() {
		err = h.finish(ctx, drain, done)
	}
	cancel()
	<-done
	r := h.ledger.report()
	r.crashes, r.starts, r.damaged, r.fallbacks = h.report.crashes, h.report.starts, h.report.damaged, h.report.fallbacks
	r.moments = h.report.moments
	return r, err
}

// kills lets the server live and die.
func (h *harness) kills(ctx context.Context) error {
	for h.report.crashes < h.config.kills && !h.ledger.broken() {
		if h.rng.IntN(4) == 0 {
			if err := h.killAtStart(ctx); err != nil {
				return err
			}
			continue
		}
		life := shortestLife + time.Duration(h.rng.Int64N(int64(h.longest-shortestLife)))
		s, err := startServer(ctx, h.binary, h.data, h.env)
		if err != nil {
			return err
		}
		err = h.audit(ctx, s, acknowledged)
		if err != nil || h.ledger.broken() {
			s.kill()
			return err
		}
		h.gate.lift(dial(s.addr))
		select {
		case <-time.After(life):
		case <-s.done:
			h.ledger.fault("after kill %d the server ended by itself:\n%s", h.report.crashes, s.tail(30))
		case <-ctx.Done():
		}
		h.gate.shut()
		s.kill()
		h.inspect(s)
		h.report.crashes++
		if h.ledger.broken() || ctx.Err() != nil {
			return ctx.Err()
		}
		if h.rng.IntN(100) < h.damage {
			if err := h.damageSnapshot(); err != nil {
				return err
			}
		}
	}
	return nil
}

// killAtStart kills a server while it starts: recovery has to bear that too.
func (h *harness) killAtStart(ctx context.Context) error {
	s, _, err := launch(h.binary, h.data, h.env)
	if err != nil {
		return err
	}
	select {
	case <-time.After(time.Duration(h.rng.Int64N(int64(longestStart)))):
	case <-s.done:
		h.ledger.fault("the server ended while it started:\n%s", s.tail(30))
	case <-ctx.Done():
	}
	s.kill()
	h.inspect(s)
	h.report.crashes++
	h.report.starts++
	return ctx.Err()
}

// finish lets everybody come back and end, and audits every edit.
func (h *harness) finish(ctx context.Context, drain chan<- struct{}, done <-chan struct{}) error {
	s, err := startServer(ctx, h.binary, h.data, h.env)
	if err != nil {
		return err
	}
	defer s.kill()
	close(drain)
	h.gate.lift(dial(s.addr))
	defer h.gate.shut()
	select {
	case <-done:
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(drainTimeout):
		h.ledger.fault("not every edit was acknowledged within %v of the last start:\n%s", drainTimeout, s.tail(10))
		return nil
	}
	if err := h.audit(ctx, s, everything); err != nil {
		return err
	}
	h.inspect(s)
	return nil
}

// audit reads every document with a fresh client.
func (h *harness) audit(ctx context.Context, s *server, want scope) error {
	ctx, cancel := context.WithTimeout(ctx, auditTimeout)
	defer cancel()
	when := fmt.Sprintf("after kill %d", h.report.crashes)
	for _, name := range h.names {
		doc, err := fetch(ctx, dial(s.addr), name)
		if err != nil {
			h.ledger.fault("%s: %s cannot be read: %v\n%s", when, name, err, s.tail(10))
			continue
		}
		h.ledger.audit(when, name, doc, h.ledger.wanted(name, want))
	}
	return ctx.Err()
}

// inspect judges the log of a server that was killed: it may complain about
// damaged snapshots and nothing else.
func (h *harness) inspect(s *server) {
	for _, l := range s.errors() {
		switch {
		case len(h.touched) > 0 && strings.Contains(l, "snapshot unusable"):
			h.report.fallbacks++
		case len(h.touched) > 0 && strings.Contains(l, "no usable snapshot, replaying the whole log"):
		default:
			h.ledger.fault("the server logged: %s", l)
		}
	}
}

// damageSnapshot flips, cuts or removes the newest snapshot of a document, at
// most once per document: with two damaged ones in a row nothing is promised.
func (h *harness) damageSnapshot() error {
	newest := make(map[string]string) // by folder
	err := filepath.WalkDir(cmp.Or(h.stores.Files, h.data), func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".snapshot") {
			newest[filepath.Base(filepath.Dir(path))] = path // in lexical order
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, name := range h.names {
		path := newest[strings.TrimSuffix(snapshots.Folder(name), "/")]
		if path == "" || h.touched[name] {
			continue
		}
		h.touched[name] = true
		h.report.damaged++
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		switch h.rng.IntN(3) {
		case 0:
			return os.Remove(path)
		case 1:
			b = b[:h.rng.IntN(len(b))]
		default:
			b[h.rng.IntN(len(b))] ^= 1 << h.rng.IntN(8)
		}
		return errors.Join(os.Remove(path), os.WriteFile(path, b, 0o600))
	}
	return nil
}
