package pebble_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"ysync/persistence"
)

// ledger is what the clients of a log know: what they asked for and what was
// acknowledged. The audit holds a recovered log against it.
type ledger struct {
	mu    sync.Mutex
	pages map[string]*page
}

// page is the ledger of one document. Only one worker writes to a document.
type page struct {
	told

	entries  []persistence.NewEntry // entries asked for, at position index+1
	epochs   []persistence.Epoch    // of entries
	epoch    persistence.Epoch      // the newest asked for
	pointers []persistence.Pointer
	segments persistence.Position
	trimmed  persistence.Position
	erasing  bool
}

// told is what was acknowledged, or shown by a read, about a document.
type told struct {
	head      persistence.Position
	epoch     persistence.Epoch
	pointers  int
	segmented persistence.Position
	erased    bool
}

func newLedger() *ledger { return &ledger{pages: make(map[string]*page)} }

// told returns a copy of everything acknowledged so far.
func (l *ledger) told() map[string]told {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make(map[string]told, len(l.pages))
	for name, p := range l.pages {
		out[name] = p.told
	}
	return out
}

func (l *ledger) update(name string, change func(*page)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.pages[name]
	if p == nil {
		p = new(page)
		l.pages[name] = p
	}
	change(p)
}

// workload runs so many operations on a log from several goroutines, each with
// documents of its own, until all are done or one meets an error that ends it.
// Every operation goes into the ledger before and after.
type workload struct {
	seed    uint64
	workers int
	ops     int // in all
	size    int // largest update

	log    persistence.Log
	ledger *ledger
	failed atomic.Int64 // operations that returned an unexpected error
}

// names of the documents of a worker.
func documentsOf(worker int) []string {
	return []string{fmt.Sprintf("w%d/a", worker), fmt.Sprintf("w%d/b", worker), fmt.Sprintf("w%d/c", worker)}
}

func (w *workload) run() {
	var wg sync.WaitGroup
	for i := range w.workers {
		wg.Go(func() { w.work(i) })
	}
	done := make(chan struct{})
	var reader sync.WaitGroup
	reader.Go(func() { w.look(done) })
	wg.Wait()
	close(done)
	reader.Wait()
}

// look reads documents all the time: what a read has shown must survive, too.
func (w *workload) look(done <-chan struct{}) {
	r := rand.New(rand.NewPCG(w.seed, 99))
	for {
		select {
		case <-done:
			return
		default:
		}
		name := documentsOf(r.IntN(w.workers))[r.IntN(3)]
		rec, err := w.log.Open(context.Background(), name)
		if err != nil {
			continue
		}
		head := rec.Head
		for e, err := range w.log.Read(context.Background(), name, rec.Trimmed) {
			if err == nil {
				head = max(head, e.Position)
			}
		}
		w.ledger.update(name, func(p *page) { p.head = max(p.head, head) })
	}
}

func (w *workload) work(worker int) {
	r := rand.New(rand.NewPCG(w.seed, uint64(worker)))
	names := documentsOf(worker)
	records := make(map[string]persistence.Record)
	for range w.ops / w.workers {
		name := names[r.IntN(len(names))]
		rec := records[name]
		var err error
		switch dice := r.IntN(100); {
		case rec.Epoch == 0 || dice < 3:
			if rec, err = w.claim(name, rec.Epoch); err == nil {
				records[name] = rec
			}
		case dice < 8:
			err = w.snapshot(rec)
		case dice < 10:
			err = w.trim(rec)
		case dice < 11 && name == names[2]:
			err = w.erase(name)
		default:
			err = w.append(r, names, records)
		}
		if err != nil && !errors.Is(err, persistence.ErrErased) {
			w.failed.Add(1)
			return
		}
	}
}

func (w *workload) claim(name string, seen persistence.Epoch) (persistence.Record, error) {
	w.ledger.update(name, func(p *page) { p.epoch = max(p.epoch, seen+1) })
	rec, err := w.log.Claim(context.Background(), name, fmt.Sprint("boot", seen), seen)
	if err == nil {
		w.ledger.update(name, func(p *page) { p.told.epoch = rec.Epoch })
	}
	return rec, err
}

// append appends to one to three of the documents in one commit.
func (w *workload) append(r *rand.Rand, names []string, records map[string]persistence.Record) error {
	var batches []persistence.Batch
	for _, name := range names[r.IntN(len(names)):] {
		rec := records[name]
		if rec.Epoch == 0 {
			continue
		}
		b := persistence.Batch{Document: name, Generation: rec.Generation, Epoch: rec.Epoch}
		for range 1 + r.IntN(3) {
			update := make([]byte, r.IntN(w.size))
			for i := range update {
				update[i] = byte(r.Uint32())
			}
			b.Entries = append(b.Entries, persistence.NewEntry{Time: start.Add(time.Duration(r.IntN(5000)) * time.Millisecond), Author: name, Update: update})
		}
		erased := false
		w.ledger.update(name, func(p *page) {
			if erased = p.erasing; erased {
				return
			}
			for _, e := range b.Entries {
				p.entries = append(p.entries, e)
				p.epochs = append(p.epochs, b.Epoch)
			}
		})
		if !erased {
			batches = append(batches, b)
		}
	}
	var failed error
	for i, res := range w.log.Append(context.Background(), batches) {
		if res.Err != nil {
			failed = res.Err
			continue
		}
		w.ledger.update(batches[i].Document, func(p *page) { p.head = max(p.head, res.Last) })
	}
	return failed
}

func (w *workload) snapshot(rec persistence.Record) error {
	var at persistence.Position
	var pointer persistence.Pointer
	w.ledger.update(rec.Document, func(p *page) {
		at = p.head
		if n := len(p.pointers); at == 0 || p.erasing || n > 0 && p.pointers[n-1].Position >= at {
			at = 0
			return
		}
		pointer = persistence.Pointer{Position: at, Key: fmt.Sprint("snap/", at)}
		p.pointers = append(p.pointers, pointer)
		p.segments = at
	})
	if at == 0 {
		return nil
	}
	err := errors.Join(
		w.log.SetSnapshot(context.Background(), rec.Document, rec.Epoch, pointer),
		w.log.SetSegmented(context.Background(), rec.Document, rec.Epoch, at))
	if err == nil {
		w.ledger.update(rec.Document, func(p *page) { p.told.pointers, p.segmented = len(p.pointers), at })
	}
	return err
}

func (w *workload) trim(rec persistence.Record) error {
	var upTo persistence.Position
	w.ledger.update(rec.Document, func(p *page) {
		if n := p.told.pointers; n > 1 {
			upTo = p.pointers[n-2].Position
			p.trimmed = max(p.trimmed, upTo)
		}
	})
	return w.log.Trim(context.Background(), rec.Document, rec.Epoch, upTo)
}

func (w *workload) erase(name string) error {
	w.ledger.update(name, func(p *page) { p.erasing = true })
	err := w.log.Erase(context.Background(), name, start)
	if err == nil {
		w.ledger.update(name, func(p *page) { p.erased = true })
	}
	return err
}

// start is the time of the workload's entries.
var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// audit holds a recovered log against the ledger and what had been told when
// the power failed. It returns what is wrong: first of all, what is lost.
func (l *ledger) audit(log persistence.Log, promised map[string]told) (wrong []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, p := range l.pages {
		for _, w := range p.audit(log, name, promised[name]) {
			wrong = append(wrong, name+": "+w)
		}
	}
	for r, err := range log.List(context.Background(), "") {
		switch {
		case err != nil:
			wrong = append(wrong, fmt.Sprint("list: ", err))
		case l.pages[r.Document] == nil:
			wrong = append(wrong, fmt.Sprintf("%q came from nowhere", r.Document))
		}
	}
	return wrong
}

func (p *page) audit(log persistence.Log, name string, was told) (wrong []string) {
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	r, err := log.Open(context.Background(), name)
	if err != nil {
		return []string{"lost: " + err.Error()}
	}
	if !r.Tombstone.IsZero() {
		if !p.erasing {
			say("erased by nobody")
		}
		return wrong
	}
	if was.erased {
		say("lost: the tombstone")
	}
	if r.Head < was.head {
		say("lost: head %d, acknowledged %d", r.Head, was.head)
	}
	if r.Epoch < was.epoch {
		say("lost: epoch %d, claimed %d", r.Epoch, was.epoch)
	}
	if r.Segmented < was.segmented {
		say("lost: segments up to %d, set %d", r.Segmented, was.segmented)
	}
	if was.pointers > 0 && r.Snapshot.Position < p.pointers[was.pointers-1].Position {
		say("lost: snapshot %+v, set %+v", r.Snapshot, p.pointers[was.pointers-1])
	}
	if int(r.Head) > len(p.entries) || r.Epoch > p.epoch || r.Segmented > p.segments || r.Trimmed > p.trimmed || r.Trimmed > r.Previous.Position {
		say("from nowhere: %+v", r)
		return wrong
	}
	at := r.Trimmed
	var last time.Time
	for e, err := range log.Read(context.Background(), name, r.Trimmed) {
		if err != nil {
			say("lost: %v", err)
			return wrong
		}
		at++
		if want := p.entries[at-1]; e.Position != at || e.Epoch != p.epochs[at-1] || e.Author != want.Author || string(e.Update) != string(want.Update) || e.Time.Before(last) {
			say("torn: entry %d is not what was appended", at)
			return wrong
		}
		last = e.Time
	}
	if at != r.Head {
		say("lost: read up to %d, the head is %d", at, r.Head)
	}
	return wrong
}

// losses counts what an audit found lost.
func losses(wrong []string) (n int) {
	for _, w := range wrong {
		if strings.Contains(w, "lost: ") {
			n++
		}
	}
	return n
}
