package hub

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"ysync/crdt"
	"ysync/internal/metrics"
	"ysync/persistence/pebble"
	"ysync/snapshots"
	"ysync/snapshots/dir"
	"ysync/syncproto"
)

// onDisk opens the log and the keeper of a file system.
func onDisk(t *testing.T, fs vfs.FS) (*pebble.Log, *snapshots.Keeper) {
	t.Helper()
	log, err := pebble.Open(pebble.Options{Dir: "/log", FS: fs, MemTableBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	files, err := dir.Open(fs, "/snapshots")
	if err != nil {
		t.Fatal(err)
	}
	return log, snapshots.New(files, log, snapshots.Options{})
}

// The power goes at any moment, and with it whatever no sync has put on disk:
// what was acknowledged before is there.
func TestPowerLossKeepsWhatWasAcknowledged(t *testing.T) {
	fs := vfs.NewCrashableMem()
	log, keep := onDisk(t, fs)
	h, err := New(Options{
		Log: log, Snapshots: keep, Boot: "first", Logger: zap.NewNop(),
		Metrics: metrics.New(prometheus.NewRegistry()),
		// Snapshots and trims all the time.
		SnapshotInterval: time.Millisecond, SegmentInterval: time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	acked := map[string][]string{} // by document
	type writer struct {
		*connected
		document string
		sent     []string
	}
	var writers []*writer
	for i := range 6 {
		d := fmt.Sprint("d", i%3)
		w := &writer{document: d, connected: subscribe(t, h, d, newReplica(t, crdt.ClientID(i+1)), Peer{Session: uint64(i + 1), CanWrite: true})}
		w.send(syncproto.KindSyncStep1, w.vector())
		writers = append(writers, w)
	}
	for round := range 400 {
		w := writers[rng.IntN(len(writers))]
		word := fmt.Sprintf("<%d>", round)
		w.sent = append(w.sent, word)
		w.send(syncproto.KindUpdate, w.write(word))
		w.send(syncproto.KindAck, ackRequest(uint64(len(w.sent))))
		if rng.IntN(4) == 0 {
			for had := len(w.acks); len(w.acks) == had; {
				<-w.woken
				w.drain()
			}
		}
		for _, w := range writers {
			w.drain()
			for _, n := range w.acks {
				acked[w.document] = append(acked[w.document], w.sent[n-1])
			}
			w.acks = nil
		}
		if round%20 != 19 {
			continue
		}
		crashed := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(100), RNG: rng})
		log, keep := onDisk(t, crashed)
		for d, words := range acked {
			doc, _, _, err := keep.Load(context.Background(), d)
			if err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
			text := doc.Text("t").String()
			for _, word := range words {
				if !strings.Contains(text, word) {
					t.Fatalf("round %d: %s was acknowledged and is lost", round, word)
				}
			}
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if rec, err := log.Open(context.Background(), "d0"); err != nil || rec.Trimmed == 0 || rec.Segmented != rec.Head {
		t.Errorf("the record is %+v, %v", rec, err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
}
