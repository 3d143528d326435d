//go:build linux

package pebble_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"ysync/persistence"
	"ysync/persistence/pebble"
)

// smallDisk mounts a file system of its own of so many MiB, if that is
// allowed here (it takes root and loop devices).
func smallDisk(t *testing.T, size int64) (dir string, ok bool) {
	t.Helper()
	image, dir := filepath.Join(t.TempDir(), "disk"), t.TempDir()
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, size*mib)); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"mkfs.ext4", "-q", "-m", "0", image}, {"mount", "-o", "loop", image, dir}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("%v: %v\n%s", args, err, out)
			}
			t.Logf("NOT RUN: no small disk can be made here: %v: %v: %s", args, err, out)
			return "", false
		}
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v\n%s", err, out)
		}
	})
	return dir, true
}

// A real disk is written until nothing is taken any more: that is a refusal,
// not a failed write. The operator deletes the ballast and writing goes on;
// then the log opens again with everything that was acknowledged.
func TestRealDiskFillsUp(t *testing.T) {
	mount, ok := smallDisk(t, 160)
	if !ok {
		return
	}
	dir := filepath.Join(mount, "log")
	now := start
	o := pebble.WithClock(pebble.Options{Dir: dir, MemTableBytes: 4 << 20}, func() time.Time { return now })
	o = pebble.WithExit(o, func(int) { panic("the process stopped: a write met the full disk") })
	log := mustOpen(t, o)
	r := mustClaim(t, log, "a")
	update := make([]byte, 100<<10)
	dice := newDice(1)
	for i := range update {
		update[i] = byte(dice.Uint32())
	}
	fill := func() (taken int) {
		now = now.Add(time.Minute)
		for {
			err := put(log, r, update)
			if errors.Is(err, persistence.ErrReadOnly) {
				return taken
			}
			if err != nil {
				t.Fatal(err)
			}
			taken++
		}
	}
	first := fill()
	if err := os.Remove(filepath.Join(dir, "ballast")); err != nil {
		t.Fatal(err)
	}
	second := fill()
	if first < 100 || second < 10 {
		t.Errorf("%d updates fitted, and %d more without the ballast", first, second)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := updates(mustOpen(t, o), "a")
	if err != nil || len(got) != first+second {
		t.Errorf("%d updates are there, %d were acknowledged (%v)", len(got), first+second, err)
	}
	t.Logf("%d updates of 100 KiB on 160 MiB, %d more without the ballast", first, second)
}
