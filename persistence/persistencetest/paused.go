package persistencetest

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"ysync/persistence"
)

// PausedOwners plays trials in which owners of one document stop before any of
// their steps, with what they know by then, while others claim it and write, and
// go on later. Owner i works on logs[i % len(logs)]. It returns an error that
// names the trial's seed when one of them wrote, moved a pointer or trimmed under
// a claim that was not the newest, when the newest was refused, or when the log
// does not hold in the end what was acknowledged, and nothing else. Counts says
// how often an owner woke up before a step, of those it lists, to find that
// another had claimed the document.
func PausedOwners(logs []persistence.Log, trials int, seed uint64) (counts Steps, err error) {
	counts = make(Steps)
	for i := range trials {
		t := newTrial(logs, fmt.Sprintf("trial/%d/%d", seed, i), seed+uint64(i), counts)
		if err := t.play(); err != nil {
			return counts, fmt.Errorf("seed %d: %w", seed+uint64(i), err)
		}
	}
	return counts, nil
}

// Steps counts the steps before which an owner was overtaken.
type Steps map[string]int

// AllSteps are the steps of an owner.
func AllSteps() []string { return stepNames[:] }

func (s Steps) String() string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(s)) {
		out = append(out, fmt.Sprintf("%s %d", name, s[name]))
	}
	return strings.Join(out, ", ")
}

type step int

const (
	stepLook step = iota
	stepClaim
	stepLoad
	stepAppend
	stepAcknowledge
	stepSnapshot
	stepSegment
	stepTrim
	stepReset
	stepCount
)

var stepNames = [stepCount]string{"look", "claim", "load", "append", "acknowledge", "snapshot", "segment", "trim", "reset"}

// trial is one document with its owners, and what must be true of it: calls are
// made one after the other, so the truth follows from their answers.
type trial struct {
	document string
	rng      *rand.Rand
	counts   Steps
	owners   []*pausedOwner

	// truth: who holds the newest claim, and what the log was given, by position
	// in the present generation; the first trimmed of them may be gone.
	record  persistence.Record
	holders map[persistence.Epoch]string
	entries []persistence.Entry
	acked   []persistence.Entry
}

// pausedOwner is an owner with what it knows, and the step that it does next.
type pausedOwner struct {
	name   string
	log    persistence.Log
	next   step
	sleeps int                // ticks until it goes on
	at     persistence.Epoch  // of the document, when it fell asleep
	record persistence.Record // as far as it knows
	done   persistence.Result // of an append that is not acknowledged
	batch  persistence.Batch
	aim    persistence.Position // of a pointer or a trim: decided before the step
}

const (
	pausedOwners = 3
	pausedTicks  = 150
)

func newTrial(logs []persistence.Log, document string, seed uint64, counts Steps) *trial {
	t := &trial{
		document: document, rng: rand.New(rand.NewPCG(seed, 3)), counts: counts,
		record: persistence.Record{Document: document}, holders: make(map[persistence.Epoch]string),
	}
	for i := range pausedOwners {
		t.owners = append(t.owners, &pausedOwner{name: fmt.Sprint("owner ", i), log: logs[i%len(logs)]})
	}
	return t
}

func (t *trial) play() error {
	for range pausedTicks {
		o := t.owners[t.rng.IntN(len(t.owners))]
		switch {
		case o.sleeps > 1:
			o.sleeps--
			continue
		case o.sleeps == 1:
			o.sleeps = 0
			if t.record.Epoch != o.at {
				t.counts[stepNames[o.next]]++
			}
		case t.rng.IntN(6) == 0:
			o.sleeps, o.at = 1+t.rng.IntN(12), t.record.Epoch
			continue
		}
		if err := t.step(o); err != nil {
			return fmt.Errorf("%s, %s: %w", o.name, stepNames[o.next], err)
		}
	}
	return t.audit()
}

// step does what an owner is about to do and decides on what comes next, which
// it may do much later.
func (t *trial) step(o *pausedOwner) error {
	var err error
	switch o.next {
	case stepLook:
		o.record, err = o.log.Open(ctx, t.document)
		o.next = stepClaim
		return err
	case stepClaim:
		return t.claim(o)
	case stepLoad:
		return t.load(o)
	case stepAppend:
		return t.append(o)
	case stepAcknowledge:
		if err := t.acknowledge(o); err != nil {
			return err
		}
		o.record.Head = o.done.Last
		t.decide(o)
		return nil
	case stepSnapshot:
		p := pointer(o.aim)
		return t.fenced(o, o.log.SetSnapshot(ctx, t.document, o.record.Epoch, p), func(r persistence.Record) (persistence.Record, error) {
			return r.WithSnapshot(r.Epoch, p)
		})
	case stepSegment:
		return t.fenced(o, o.log.SetSegmented(ctx, t.document, o.record.Epoch, o.aim), func(r persistence.Record) (persistence.Record, error) {
			return r.WithSegmented(r.Epoch, o.aim)
		})
	case stepTrim:
		return t.fenced(o, o.log.Trim(ctx, t.document, o.record.Epoch, o.aim), func(r persistence.Record) (persistence.Record, error) {
			return r.TrimmedTo(r.Epoch, o.aim)
		})
	case stepReset:
		return t.reset(o)
	}
	return fmt.Errorf("no step %d", o.next)
}

// decide chooses what an owner that may write does next.
func (t *trial) decide(o *pausedOwner) {
	r := &o.record
	switch n := t.rng.IntN(12); {
	case n <= 1 && r.Head > r.Snapshot.Position:
		o.next, o.aim = stepSnapshot, r.Head
	case n <= 3 && r.Head > r.Segmented:
		o.next, o.aim = stepSegment, r.Head
	case n <= 7 && min(r.Previous.Position, r.Segmented) > r.Trimmed:
		o.next, o.aim = stepTrim, min(r.Previous.Position, r.Segmented)
	case n == 8 && r.Segmented == r.Head && r.Head > 0:
		o.next, o.aim = stepReset, r.Head
	default:
		o.next = stepAppend
	}
}

// current tells whether an owner's claim is the newest.
func (t *trial) current(o *pausedOwner) bool {
	return o.record.Epoch == t.record.Epoch && o.record.Generation == t.record.Generation && t.record.Owner == o.name
}

// judge compares an answer with what the claims say. stop tells that the owner
// was refused, rightly.
func (t *trial) judge(o *pausedOwner, err error) (stop bool, fault error) {
	switch fenced := errors.Is(err, persistence.ErrFenced); {
	case t.current(o) && err != nil:
		return false, fmt.Errorf("the owner is refused: %w", err)
	case t.current(o):
		return false, nil
	case err == nil:
		return false, fmt.Errorf("a split write: it was done under epoch %d of generation %d, the newest claim is %d of %d, of %q",
			o.record.Epoch, o.record.Generation, t.record.Epoch, t.record.Generation, t.record.Owner)
	case !fenced:
		return false, fmt.Errorf("a writer under an old claim is told %w", err)
	}
	// It does not fight for the document at once.
	o.next, o.sleeps, o.at = stepLook, 1+t.rng.IntN(15), t.record.Epoch
	return true, nil
}

func (t *trial) claim(o *pausedOwner) error {
	seen := o.record.Epoch
	r, err := o.log.Claim(ctx, t.document, o.name, seen)
	if seen != t.record.Epoch {
		if !errors.Is(err, persistence.ErrFenced) {
			return fmt.Errorf("a claim at epoch %d, the newest is %d: %w", seen, t.record.Epoch, err)
		}
		o.next = stepLook
		return nil
	}
	if err != nil {
		return err
	}
	want, err := t.record.Claimed(o.name, seen)
	if err != nil || r != want {
		return fmt.Errorf("the claim gives %+v, want %+v (%w)", r, want, err)
	}
	t.record, o.record, o.next = want, r, stepLoad
	t.holders[r.Epoch] = o.name
	return nil
}

// load reads what an owner begins with. When it was overtaken since its claim it
// may see more, and goes on all the same.
func (t *trial) load(o *pausedOwner) error {
	head := o.record.Trimmed
	for e, err := range o.log.Read(ctx, t.document, o.record.Trimmed) {
		if errors.Is(err, persistence.ErrTrimmed) && !t.current(o) {
			o.next = stepLook
			return nil
		}
		if err != nil {
			return err
		}
		head = e.Position
	}
	if t.current(o) && head != t.record.Head {
		return fmt.Errorf("it reads up to %d, the head is %d", head, t.record.Head)
	}
	t.decide(o)
	return nil
}

func (t *trial) append(o *pausedOwner) error {
	o.batch = persistence.Batch{Document: t.document, Generation: o.record.Generation, Epoch: o.record.Epoch}
	for range 1 + t.rng.IntN(3) {
		o.batch.Entries = append(o.batch.Entries, persistence.NewEntry{
			Time: noon, Author: o.name, Update: fmt.Appendf(nil, "%s %d", o.name, t.rng.Uint64()),
		})
	}
	o.done = o.log.Append(ctx, []persistence.Batch{o.batch})[0]
	if stop, err := t.judge(o, o.done.Err); stop || err != nil {
		return err
	}
	if o.done.First != t.record.Head+1 || o.done.Last != t.record.Head+persistence.Position(len(o.batch.Entries)) {
		return fmt.Errorf("it got positions %d to %d, the head was %d", o.done.First, o.done.Last, t.record.Head)
	}
	for _, e := range o.batch.Entries {
		t.record.Head++
		t.entries = append(t.entries, persistence.Entry{
			Position: t.record.Head, Epoch: o.batch.Epoch, Time: e.Time, Author: e.Author, Update: e.Update,
		})
	}
	t.record.Updated = noon
	o.next = stepAcknowledge
	return nil
}

// acknowledge tells the world what the log has said. It needs no claim: what was
// committed stays, whoever writes now.
func (t *trial) acknowledge(o *pausedOwner) error {
	if o.batch.Generation == t.record.Generation {
		t.acked = append(t.acked, t.entries[len(t.entries)-int(t.record.Head-o.done.First)-1:][:len(o.batch.Entries)]...)
	}
	return nil
}

// fenced judges a change of the record and follows it.
func (t *trial) fenced(o *pausedOwner, err error, rule func(persistence.Record) (persistence.Record, error)) error {
	if stop, fault := t.judge(o, err); stop || fault != nil {
		return fault
	}
	if t.record, err = rule(t.record); err != nil {
		return err
	}
	o.record, err = rule(o.record)
	t.decide(o)
	return err
}

func (t *trial) reset(o *pausedOwner) error {
	err := o.log.Reset(ctx, t.document, o.record.Epoch, o.aim, pointer(persistence.FirstOfReset))
	if stop, fault := t.judge(o, err); stop || fault != nil {
		return fault
	}
	t.record, err = t.record.Renewed(t.record.Epoch, o.aim, pointer(persistence.FirstOfReset))
	t.entries, t.acked = nil, nil
	o.next = stepLook
	return err
}

// audit compares the log with the truth.
func (t *trial) audit() error {
	for _, o := range t.owners {
		r, err := o.log.Open(ctx, t.document)
		if err != nil {
			return err
		}
		if r != t.record {
			return fmt.Errorf("the record is %+v, want %+v", r, t.record)
		}
	}
	want := t.entries[len(t.entries)-int(t.record.Head-t.record.Trimmed):]
	n := 0
	for e, err := range t.owners[0].log.Read(ctx, t.document, t.record.Trimmed) {
		if err != nil {
			return err
		}
		if n >= len(want) || !sameEntry(e, want[n]) || t.holders[e.Epoch] != e.Author {
			return fmt.Errorf("entry %d is %+v, of the epoch of %q", e.Position, e, t.holders[e.Epoch])
		}
		n++
	}
	if n != len(want) {
		return fmt.Errorf("the log holds %d entries, want %d", n, len(want))
	}
	for _, e := range t.acked {
		if e.Position > t.record.Trimmed && !slices.ContainsFunc(want, func(w persistence.Entry) bool { return sameEntry(e, w) }) {
			return fmt.Errorf("entry %d was acknowledged and is not there", e.Position)
		}
	}
	return nil
}
