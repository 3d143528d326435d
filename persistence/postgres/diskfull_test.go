//go:build linux

package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"ysync/internal/testpg"
	"ysync/persistence"
	"ysync/persistence/postgres"
)

// A full disk: appends are refused, or their outcome is read back; there are
// no losses, and it goes on when there is room.
func TestDiskFull(t *testing.T) {
	testpg.Need(t)
	dir := testpg.SmallDisk(t, 160<<20)
	server := testpg.StartIn(t, dir, "min_wal_size=32MB", "max_wal_size=32MB", "restart_after_crash=on")
	url := server.Database(t)
	l := mustOpen(t, postgres.Options{URL: url, Patience: 100 * time.Millisecond})
	a := &author{log: l, record: mustClaim(t, l, "a")}
	noise := make([]byte, 1<<20) // nothing that compresses
	_, _ = rand.NewChaCha8([32]byte{1}).Read(noise)
	big := string(noise)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := a.append(ctx, "first"); err != nil {
		t.Fatal(err)
	}
	ballast, err := testpg.FillUp(dir, 24<<20)
	if err != nil {
		t.Fatal(err)
	}
	refused := false
	for n := 0; !refused && n < 200; n++ {
		res := put(l, a.record, fmt.Sprint(n), big)
		switch {
		case res.Err == nil:
			a.record.Head = res.Last
			a.acknowledged = append(a.acknowledged, fmt.Sprint(n), big)
		default:
			refused = true
			t.Logf("append %d: %v", n, res.Err)
			if errors.Is(res.Err, persistence.ErrUnknown) {
				a.unknown++
			}
			if err := os.Remove(ballast); err != nil {
				t.Fatal(err)
			}
			if errors.Is(res.Err, persistence.ErrUnknown) {
				there, err := a.readBack(ctx)
				if err != nil {
					t.Fatal(err)
				}
				if there {
					a.record.Head += 2
					a.acknowledged = append(a.acknowledged, fmt.Sprint(n), big)
				}
			}
		}
	}
	if !refused {
		t.Fatal("the disk did not fill up")
	}
	if err := a.append(ctx, "last"); err != nil {
		t.Fatalf("with room again: %v", err)
	}
	a.audit(t, l)
}
