package pebble_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"ysync/persistence"
	"ysync/persistence/pebble"
)

// tightDisk is a log on a disk whose free space the test decides, and whose
// clock the test moves.
type tightDisk struct {
	disk *vfs.MemFS
	now  time.Time
	logs *observer.ObservedLogs
	log  *pebble.Log
}

const mib = 1 << 20

func newTightDisk(t *testing.T, available uint64, s pebble.Space) *tightDisk {
	t.Helper()
	d := &tightDisk{disk: vfs.NewMem(), now: start}
	d.free(available)
	core, logs := observer.New(zapcore.InfoLevel)
	d.logs = logs
	o := small("log")
	o.FS, o.Logger, o.Space = d.disk, zap.New(core), s
	d.log = mustOpen(t, pebble.WithClock(o, func() time.Time { return d.now }))
	return d
}

func (d *tightDisk) free(available uint64) {
	d.disk.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: available, TotalBytes: 1 << 40, UsedBytes: 1<<40 - available})
}

// Below the mark appends are refused, one by one, while everything else works;
// they go on when there is space again.
func TestReadOnlyBelowTheMark(t *testing.T) {
	d := newTightDisk(t, 200*mib, pebble.Space{StopBytes: 100 * mib, ResumeBytes: 120 * mib, Interval: time.Second})
	r, fenced := mustClaim(t, d.log, "a"), mustClaim(t, d.log, "fenced")
	mustClaim(t, d.log, "fenced")
	if err := put(d.log, r, []byte("1")); err != nil {
		t.Fatal(err)
	}
	d.free(99 * mib)
	if err := put(d.log, r, []byte("2")); err != nil {
		t.Errorf("the last look is younger than the interval: %v", err)
	}
	d.now = d.now.Add(time.Second)
	res := d.log.Append(ctx, []persistence.Batch{batch(fenced, []byte("x")), batch(r, []byte("3"))})
	if !errors.Is(res[0].Err, persistence.ErrFenced) || !errors.Is(res[1].Err, persistence.ErrReadOnly) {
		t.Fatalf("below the mark: %+v", res)
	}
	if !d.log.ReadOnly() || !strings.Contains(res[1].Err.Error(), `"a"`) {
		t.Errorf("unclear refusal: %v", res[1].Err)
	}
	if got, err := updates(d.log, "a"); err != nil || len(got) != 2 {
		t.Errorf("reading below the mark: %q, %v", got, err)
	}
	if err := errors.Join(d.log.SetSnapshot(ctx, "a", r.Epoch, persistence.Pointer{Position: 1, Key: "1"}),
		d.log.SetSnapshot(ctx, "a", r.Epoch, persistence.Pointer{Position: 2, Key: "2"}),
		d.log.SetSegmented(ctx, "a", r.Epoch, 2), d.log.Trim(ctx, "a", r.Epoch, 1)); err != nil {
		t.Errorf("what makes space must work without space: %v", err)
	}
	d.free(119 * mib)
	d.now = d.now.Add(time.Second)
	if err := put(d.log, r, []byte("3")); !errors.Is(err, persistence.ErrReadOnly) {
		t.Errorf("between the marks, coming from below: %v", err)
	}
	d.free(120 * mib)
	d.now = d.now.Add(time.Second)
	if err := put(d.log, r, []byte("3")); err != nil || d.log.ReadOnly() {
		t.Errorf("space is back: %v", err)
	}
	got, err := d.log.Open(ctx, "a")
	if err != nil || got.Head != 3 {
		t.Errorf("a refused append took a position: %+v, %v", got, err)
	}
	var lines []string
	for _, e := range d.logs.All() {
		lines = append(lines, e.Level.String())
	}
	if strings.Join(lines, " ") != "error info" {
		t.Errorf("one line for each change of state, got %v", d.logs.All())
	}
}

// A burst is stopped before the disk is full, however young the last look is.
func TestReadOnlyLooksAtTheSizeOfABurst(t *testing.T) {
	d := newTightDisk(t, 110*mib, pebble.Space{StopBytes: 100 * mib, Interval: time.Hour})
	r := mustClaim(t, d.log, "a")
	d.free(101 * mib)
	if err := put(d.log, r, make([]byte, 20*mib)); !errors.Is(err, persistence.ErrReadOnly) {
		t.Fatalf("an update larger than the room: %v", err)
	}
	for i := 0; ; i++ {
		if err := put(d.log, r, make([]byte, mib/4)); errors.Is(err, persistence.ErrReadOnly) {
			if i > 4 {
				t.Errorf("%d updates of 256 KiB went into 1 MiB", i)
			}
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// Without a reading of the disk nothing is refused.
func TestUnknownSpaceRefusesNothing(t *testing.T) {
	o := small("log")
	o.FS = vfs.NewMem()
	log := mustOpen(t, o)
	if err := put(log, mustClaim(t, log, "a"), make([]byte, mib)); err != nil || log.ReadOnly() {
		t.Error(err)
	}
}

// The ballast takes real space, is put there when there is room, is not put
// back while the log is open, and stays out where there is none.
func TestBallast(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "ballast")
	o := pebble.Options{Dir: dir, Space: pebble.Space{StopBytes: 1, BallastBytes: 3*mib + 5}}
	log := mustOpen(t, o)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if taken := blocksOf(info); taken < 3*mib || info.Size() != 3*mib+5 {
		t.Errorf("the ballast takes %d bytes of disk, its length is %d", taken, info.Size())
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := put(log, mustClaim(t, log, "a"), []byte("1")); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the ballast came back by itself")
	}
	o.Space = pebble.Space{StopBytes: 1 << 60}
	if log = mustOpen(t, o); !log.ReadOnly() {
		t.Error("writable below the mark")
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a ballast where there is no room")
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	o.Space = pebble.Space{StopBytes: 1, BallastBytes: mib}
	mustOpen(t, o)
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the ballast did not come back at the next start: %v", err)
	}
}
