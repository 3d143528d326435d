//go:build crash

package crashtest

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"ysync/internal/fault"
	"ysync/internal/testnet"
)

// mishapsPerRun is how many faults one site lives through before everything is
// compared and the next begins.
const mishapsPerRun = 25

// TestManyFaults lets CHAOS_FAULTS (300) faults happen, in runs whose seeds
// begin with CHAOS_SEED.
func TestManyFaults(t *testing.T) {
	if !testnet.Alone(t) {
		return
	}
	needSite(t)
	faults, seed := int(number(t, "CHAOS_FAULTS", 300)), number(t, "CHAOS_SEED", uint64(time.Now().UnixNano()))
	total := chaosReport{kinds: map[string]int{}, partitions: map[string]int{}, ends: map[websocket.StatusCode]int{}}
	binary := buildServer(t)
	for total.mishaps < faults {
		r, err := chaos{
			config: config{
				binary: binary, data: t.TempDir(), seed: seed, documents: 8, writers: 96, withholders: 4,
				manner: manner{pause: 500 * time.Millisecond},
			},
			mishaps: min(mishapsPerRun, faults-total.mishaps), calm: 4 * time.Second, hurry: 1, together: 3, deep: true,
			progress: func(format string, args ...any) { fmt.Printf(format+"\n", args...) },
		}.play(t.Context())
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		t.Logf("seed %d: %v", seed, r)
		for _, f := range r.faults {
			t.Error(f)
		}
		if t.Failed() {
			t.FailNow()
		}
		total.add(r)
		seed++
	}
	t.Logf("in all: %v\n%v\n%v", total, total.kinds, total.partitions)
}

// add sums up reports.
func (r *chaosReport) add(o chaosReport) {
	r.report.add(o.report)
	r.mishaps += o.mishaps
	r.dials += o.dials
	r.epochs += o.epochs
	r.looks += o.looks
	for k, n := range o.kinds {
		r.kinds[k] += n
	}
	for k, n := range o.partitions {
		r.partitions[k] += n
	}
	for k, n := range o.ends {
		r.ends[k] += n
	}
}

// TestPlantedBugsAreCaughtInChaos: the audit of a site finds an acknowledgement of
// what is not stored.
func TestPlantedBugsAreCaughtInChaos(t *testing.T) {
	if !testnet.Alone(t) {
		return
	}
	needSite(t)
	seed := number(t, "CHAOS_SEED", uint64(time.Now().UnixNano()))
	binary := buildServer(t, "-tags", "faults")
	untilCaught(t, seed, 12, "faults", func(seed uint64) (int, []string, error) {
		r, err := chaos{
			config: config{
				binary: binary, data: t.TempDir(), seed: seed, documents: 8, writers: 40,
				manner: manner{pause: 500 * time.Millisecond}, env: planted(fault.AckBeforeCommit),
			},
			mishaps: mishapsPerRun, calm: 3 * time.Second, hurry: 1, together: 3, deep: true,
			progress: func(format string, args ...any) { fmt.Printf(format+"\n", args...) },
		}.play(t.Context())
		return r.mishaps, r.faults, err
	})
}

// TestOvertakenOwnersAreCaught: it finds an owner that goes on under a claim which
// is not the newest any more.
func TestOvertakenOwnersAreCaught(t *testing.T) {
	if !testnet.Alone(t) {
		return
	}
	needSite(t)
	c, watch := measured(t, buildServer(t, "-tags", "faults"))
	c.env = planted(fault.IgnoreEpoch)
	rounds := 0
	r, err := c.playOn(t.Context(), mustNet(t), func(r *rig, ctx context.Context) (err error) {
		rounds, err = r.overtake(ctx, watch)
		return err
	})
	switch {
	case len(r.faults) > 0:
		t.Logf("caught when %d owners were overtaken: %s", rounds, r.faults[0])
	case err != nil:
		t.Fatal(err)
	default:
		t.Errorf("not caught by %d owners that were overtaken", rounds)
	}
}

// maxOvertaken is how many owners are overtaken before a bug counts as missed.
const maxOvertaken = 24

// overtake stops one node after the other for so long that others have its
// documents and write to them, and lets it go on: what its clients have sent
// meanwhile is the first that it reads, before it learns of the others. It ends
// when something is wrong.
func (r *rig) overtake(ctx context.Context, watch *stopwatch) (rounds int, err error) {
	for ; rounds < maxOvertaken && !r.ledger.broken(); rounds++ {
		victim := rounds % nodeCount
		n := r.site.nodes[victim]
		watch.restart()
		err := watch.enough(ctx, r.everybody(), -1, 3)
		if err == nil {
			err = r.lose(ctx, n, "SIGSTOP")
		}
		if err == nil {
			err = watch.enough(ctx, r.everybody(), victim, 1)
		}
		if err = errors.Join(err, n.signal(syscall.SIGCONT)); err == nil {
			watch.restart()
			err = watch.enough(ctx, r.everybody(), -1, 1)
		}
		found, asking := r.site.split(ctx)
		for _, f := range found {
			r.ledger.fault("%s", f)
		}
		switch err = errors.Join(err, asking); {
		case r.ledger.broken():
			return rounds + 1, nil
		case err != nil:
			return rounds, err
		}
		r.progress("%3d. %s was overtaken", rounds+1, n.name)
	}
	return rounds, nil
}
