package persistencetest_test

import (
	"context"
	"errors"
	"iter"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"ysync/persistence"
	"ysync/persistence/memory"
	"ysync/persistence/persistencetest"
)

const envBug = "YSYNC_TEST_LOG_BUG"

// bug is a log with one fault, and the name of a check that must find it.
type bug struct {
	found string
	plant func(*memory.Log) persistence.Log
}

// planted are the faults that a backend could have and the suite must find.
var planted = map[string]bug{
	"append ignores the epoch": {"OldEpochIsRefusedEverywhere", func(l *memory.Log) persistence.Log { return unfenced{l} }},
	"claim ignores the epoch":  {"ClaimComparesTheEpoch", func(l *memory.Log) persistence.Log { return grabbing{l} }},
	"open creates the record":  {"ReadingWritesNothing", func(l *memory.Log) persistence.Log { return eager{l} }},
	"append keeps the bytes":   {"AppendDoesNotKeepTheCallersBytes", func(l *memory.Log) persistence.Log { return &keeping{Log: l} }},
	"read starts one too late": {"ReadAfterAPosition", func(l *memory.Log) persistence.Log { return late{l} }},
	"trim goes too far":        {"TrimStopsAtPreviousAndSegments", func(l *memory.Log) persistence.Log { return cutting{l} }},
	"a half batch is taken":    {"AppendRefusesOneBatchAndTakesTheOthers", func(l *memory.Log) persistence.Log { return stubborn{l} }},
	"erase forgets the name":   {"EraseLeavesATombstone", func(l *memory.Log) persistence.Log { return forgetful{l} }},
	"reset ignores the head":   {"ResetRefuses", func(l *memory.Log) persistence.Log { return rash{l} }},
	"list includes after":      {"ListIsOrderedAndPages", func(l *memory.Log) persistence.Log { return repeating{l} }},
	"contexts are ignored":     {"CancelledContextChangesNothing", func(l *memory.Log) persistence.Log { return deaf{l} }},
}

// unfenced appends under whatever epoch is the newest.
type unfenced struct{ persistence.Log }

func (l unfenced) Append(ctx context.Context, batches []persistence.Batch) []persistence.Result {
	own := append([]persistence.Batch(nil), batches...)
	for i := range own {
		if r, err := l.Open(ctx, own[i].Document); err == nil {
			own[i].Epoch = r.Epoch
		}
	}
	return l.Log.Append(ctx, own)
}

// grabbing lets every claim win.
type grabbing struct{ persistence.Log }

func (l grabbing) Claim(ctx context.Context, document, owner string, seen persistence.Epoch) (persistence.Record, error) {
	if r, err := l.Open(ctx, document); err == nil {
		seen = r.Epoch
	}
	return l.Log.Claim(ctx, document, owner, seen)
}

// eager writes a record for a document that is only looked at.
type eager struct{ persistence.Log }

func (l eager) Open(ctx context.Context, document string) (persistence.Record, error) {
	r, err := l.Log.Open(ctx, document)
	if err == nil && !r.Exists() {
		_, err = l.Claim(ctx, document, "eager", 0)
	}
	return r, errors.Join(err)
}

// keeping hands out the bytes that it was given.
type keeping struct {
	persistence.Log
	kept map[persistence.Position][]byte
}

func (l *keeping) Append(ctx context.Context, batches []persistence.Batch) []persistence.Result {
	res := l.Log.Append(ctx, batches)
	for i, r := range res {
		for j, e := range batches[i].Entries {
			if l.kept == nil {
				l.kept = make(map[persistence.Position][]byte)
			}
			if r.Err == nil {
				l.kept[r.First+persistence.Position(j)] = e.Update
			}
		}
	}
	return res
}

func (l *keeping) Read(ctx context.Context, document string, after persistence.Position) iter.Seq2[persistence.Entry, error] {
	return func(yield func(persistence.Entry, error) bool) {
		for e, err := range l.Log.Read(ctx, document, after) {
			if u, ok := l.kept[e.Position]; ok {
				e.Update = u
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// late takes "after" for "from".
type late struct{ persistence.Log }

func (l late) Read(ctx context.Context, document string, after persistence.Position) iter.Seq2[persistence.Entry, error] {
	return l.Log.Read(ctx, document, after+1)
}

// cutting trims a document as if its newest snapshot were the one before.
type cutting struct{ persistence.Log }

func (l cutting) SetSnapshot(ctx context.Context, document string, e persistence.Epoch, p persistence.Pointer) error {
	second := p
	if p.Position > 1 {
		p.Position--
		_ = l.Log.SetSnapshot(ctx, document, e, p)
	}
	return l.Log.SetSnapshot(ctx, document, e, second)
}

// stubborn appends what it can of a refused call to another document.
type stubborn struct{ persistence.Log }

func (l stubborn) Append(ctx context.Context, batches []persistence.Batch) []persistence.Result {
	res := l.Log.Append(ctx, batches)
	for _, r := range res {
		if r.Err != nil {
			for i := range res {
				if res[i].Err == nil {
					l.Log.Append(ctx, batches[i:i+1])
				}
			}
			break
		}
	}
	return res
}

// rash resets a document wherever its log ends.
type rash struct{ persistence.Log }

func (l rash) Reset(ctx context.Context, document string, e persistence.Epoch, head persistence.Position, p persistence.Pointer) error {
	if r, err := l.Open(ctx, document); err == nil && p.Position == persistence.FirstOfReset {
		head = r.Head
	}
	return l.Log.Reset(ctx, document, e, head, p)
}

// forgetful erases nothing.
type forgetful struct{ persistence.Log }

func (l forgetful) Erase(context.Context, string, time.Time) error { return nil }

// repeating lists the name that it was to go on after.
type repeating struct{ persistence.Log }

func (l repeating) List(ctx context.Context, after string) iter.Seq2[persistence.Record, error] {
	return func(yield func(persistence.Record, error) bool) {
		for r, err := range l.Log.List(ctx, "") {
			if err == nil && r.Document < after {
				continue
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

// deaf appends for a caller that has gone.
type deaf struct{ persistence.Log }

func (l deaf) Append(ctx context.Context, batches []persistence.Batch) []persistence.Result {
	return l.Log.Append(context.WithoutCancel(ctx), batches)
}

// TestPlanted is the process that TestSuiteFindsPlantedBugs starts: the suite
// over the log with the bug that the environment names.
func TestPlanted(t *testing.T) {
	b, ok := planted[os.Getenv(envBug)]
	if !ok {
		t.Log("no bug is named: nothing to do")
		return
	}
	persistencetest.Run(t, func(testing.TB) persistencetest.Reopen {
		store := new(memory.Store)
		return func() (persistence.Log, error) {
			l, err := store.Open()
			if err != nil {
				return nil, err
			}
			return b.plant(l), nil
		}
	})
}

// A suite is worth what it finds: each planted bug fails the check that is
// there for it.
func TestSuiteFindsPlantedBugs(t *testing.T) {
	for name, b := range planted {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			child := exec.Command(os.Args[0], "-test.run", "^TestPlanted$/^"+b.found+"$", "-test.timeout", "20s")
			child.Env = append(os.Environ(), envBug+"="+name)
			out, err := child.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--- FAIL: TestPlanted/"+b.found) {
				t.Errorf("%s did not find it: %v\n%s", b.found, err, out)
			}
		})
	}
}
