package pebble_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	database "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"ysync/persistence"
	"ysync/persistence/pebble"
)

// A store that a later release wrote is refused by name, whichever of its two
// formats is the later one, and is not touched.
func TestNewerFormat(t *testing.T) {
	for what, change := range map[string]func(t *testing.T, disk *vfs.MemFS){
		"layout": func(t *testing.T, disk *vfs.MemFS) {
			db, err := database.Open("log", &database.Options{FS: disk, FormatMajorVersion: database.FormatTableFormatV6, Logger: quiet{}})
			if err == nil {
				err = errors.Join(db.Set([]byte("mformat"), []byte("3"), database.Sync), db.Close())
			}
			if err != nil {
				t.Fatal(err)
			}
		},
		"database": func(t *testing.T, disk *vfs.MemFS) {
			names, err := disk.List("log")
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range names {
				if strings.HasPrefix(name, "marker.format-version") {
					if err := disk.Rename("log/"+name, "log/marker.format-version.000099.999"); err != nil {
						t.Fatal(err)
					}
				}
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			o := small("log")
			disk := vfs.NewMem()
			o.FS = disk
			log := mustOpen(t, o)
			if err := errors.Join(put(log, mustClaim(t, log, "a"), []byte("1")), log.Close()); err != nil {
				t.Fatal(err)
			}
			change(t, disk)
			for range 2 {
				_, err := pebble.Open(o)
				if !errors.Is(err, persistence.ErrNewerFormat) || !strings.Contains(err.Error(), "folder log") {
					t.Errorf("got %v, want ErrNewerFormat", err)
				}
			}
		})
	}
}

// quiet discards the messages of a database that a test opens itself.
type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(f string, args ...any) {
	panic(fmt.Sprintf(f, args...))
}

// However many documents are used, only a bounded number stays in memory.
func TestRecordsInMemoryAreBounded(t *testing.T) {
	o := small("log")
	o.FS, o.Records = vfs.NewMem(), 10
	log := mustOpen(t, o)
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 50 {
				r, err := log.Claim(ctx, fmt.Sprint(w, "/", i), "boot", 0)
				if err = errors.Join(err, put(log, r, []byte("x"))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := log.InMemory(); n > 10 {
		t.Errorf("%d documents in memory, want 10", n)
	}
	for r, err := range log.List(ctx, "") {
		if err != nil || r.Head != 1 || r.Epoch != 1 {
			t.Errorf("record: %+v, %v", r, err)
		}
	}
	if n := log.InMemory(); n > 10 {
		t.Errorf("%d documents in memory after listing, want 10", n)
	}
}

// Concurrent appends share an fsync, and a read waits for what it shows to be
// durable: while the disk holds an fsync back, both stand still.
func TestCommitsFormGroupsAndReadsWaitForThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var hold chan struct{} // while not nil, an fsync of the write-ahead log waits for it
		syncs := 0
		gate := func() chan struct{} {
			mu.Lock()
			defer mu.Unlock()
			return hold
		}
		o := small("log")
		o.MemTableBytes = 4 << 20
		o.FS = &tapFS{FS: vfs.NewMem(), sync: func(name string, do func() error) error {
			if strings.HasSuffix(name, ".log") {
				if h := gate(); h != nil {
					<-h
				}
				mu.Lock()
				syncs++
				mu.Unlock()
			}
			return do()
		}}
		log := mustOpen(t, o)
		const writers = 50
		var records []persistence.Record
		for i := range writers {
			records = append(records, mustClaim(t, log, fmt.Sprint("doc", i)))
		}
		mu.Lock()
		hold, syncs = make(chan struct{}), 0
		mu.Unlock()

		var wg sync.WaitGroup
		acknowledged := make(chan int, writers)
		for i, r := range records {
			wg.Go(func() {
				if err := put(log, r, []byte("x")); err != nil {
					t.Error(err)
				}
				acknowledged <- i
			})
		}
		synctest.Wait()
		shown := make(chan string, 3)
		wg.Go(func() {
			r, err := log.Open(ctx, "doc0")
			shown <- fmt.Sprint("open ", r.Head, err)
		})
		wg.Go(func() {
			got, err := updates(log, "doc0")
			shown <- fmt.Sprint("read ", len(got), err)
		})
		wg.Go(func() {
			for r, err := range log.List(ctx, "") {
				shown <- fmt.Sprint("list ", r.Head, err)
				return
			}
		})
		synctest.Wait()
		if len(acknowledged) != 0 || len(shown) != 0 {
			t.Fatalf("before the fsync: %d appends acknowledged, %d reads answered", len(acknowledged), len(shown))
		}
		mu.Lock()
		close(hold)
		hold = nil
		mu.Unlock()
		wg.Wait()
		close(shown)
		for s := range shown {
			if !strings.HasSuffix(s, " 1<nil>") && !strings.HasSuffix(s, " 1 <nil>") {
				t.Errorf("%s", s)
			}
		}
		if syncs > 3 {
			t.Errorf("%d appends took %d fsyncs", writers, syncs)
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// The database's chatter is for debugging; a log in use says nothing above it.
func TestLogIsQuiet(t *testing.T) {
	core, logs := observer.New(zapcore.DebugLevel)
	o := small("log")
	o.FS, o.Logger = vfs.NewMem(), zap.New(core)
	log := mustOpen(t, o)
	r := mustClaim(t, log, "a")
	for range 30 {
		if err := put(log, r, make([]byte, 10_000)); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if loud := logs.Filter(func(e observer.LoggedEntry) bool { return e.Level > zapcore.DebugLevel }).All(); len(loud) > 0 {
		t.Errorf("%v", loud)
	}
	if logs.Len() == 0 {
		t.Error("the database's messages are lost")
	}
}

// Close leaves no goroutine behind.
func TestCloseLeavesNothing(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	log, err := pebble.Open(pebble.Options{Dir: t.TempDir(), Space: pebble.Space{BallastBytes: -1}})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(put(log, mustClaim(t, log, "a"), make([]byte, 1<<20)), log.Close()); err != nil {
		t.Fatal(err)
	}
	goleak.VerifyNone(t, ignore)
}
