//go:build unix

package postgres_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"ysync/persistence"
	"ysync/persistence/persistencetest"
	"ysync/persistence/postgres"
)

// asOwner holds a URL in the process that TestPausedOwner stops: it claims the
// document "a" and appends until it is fenced, for every line that it reads.
const asOwner = "YSYNC_TEST_AS_OWNER"

// ownDocument is that process. It prints what it was told is durable.
func ownDocument(url string) error {
	ctx := context.Background()
	l, err := postgres.Open(ctx, patient(url))
	if err != nil {
		return err
	}
	for line := bufio.NewScanner(os.Stdin); line.Scan(); {
		r, err := l.Open(ctx, "a")
		if err != nil {
			return err
		}
		if r, err = l.Claim(ctx, "a", "child", r.Epoch); err != nil {
			return err
		}
		for n := 0; ; n++ {
			res := put(l, r, "child")
			if errors.Is(res.Err, persistence.ErrFenced) {
				break
			}
			if res.Err != nil {
				return res.Err
			}
			fmt.Println(r.Epoch, res.Last)
		}
		fmt.Println("fenced", 0)
	}
	return l.Close()
}

// An owner is stopped at any moment, also in the middle of an append. The next
// one claims within a second and a half and writes; the owner wakes up, and
// neither writes nor is told that it did.
func TestPausedOwner(t *testing.T) {
	trials := 15
	if text := os.Getenv("YSYNC_TRIALS"); text != "" {
		var err error
		if trials, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	url := shared(t).Database(t)
	l := mustOpen(t, postgres.Options{URL: url})
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), asOwner+"="+url)
	child.Stderr = os.Stderr
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = child.Process.Kill() })
	type entry struct {
		epoch    persistence.Epoch
		position persistence.Position
	}
	acknowledged := map[entry]string{}
	lines := bufio.NewReader(out)
	// next is what the child prints next; epoch 0 is "fenced".
	next := func() (e entry) {
		t.Helper()
		var what string
		if _, err := fmt.Fscanln(lines, &what, &e.position); err != nil {
			t.Fatal(err)
		}
		if what != "fenced" {
			n, err := strconv.ParseUint(what, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			e.epoch = persistence.Epoch(n)
			acknowledged[e] = "child"
		}
		return e
	}
	var slowest time.Duration
	for range trials {
		if _, err := io.WriteString(in, "\n"); err != nil {
			t.Fatal(err)
		}
		for range 1 + rand.IntN(5) {
			next()
		}
		<-time.After(rand.N(8 * time.Millisecond))
		if err := child.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		r := mustClaim(t, l, "a")
		slowest = max(slowest, time.Since(start))
		write := func(n int) {
			t.Helper()
			for range n {
				res := put(l, r, "parent")
				if res.Err != nil {
					t.Fatal(res.Err)
				}
				acknowledged[entry{r.Epoch, res.Last}] = "parent"
			}
		}
		write(2)
		if err := child.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		write(2)
		for next().epoch != 0 {
		}
		if now, err := l.Open(t.Context(), "a"); err != nil || now.Epoch != r.Epoch || now.Head != r.Head+4 {
			t.Fatalf("after the owner woke up: %+v, %v; claimed was %+v", now, err, r)
		}
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := child.Wait(); err != nil {
		t.Fatal(err)
	}
	found := 0
	var newest persistence.Epoch
	for e, err := range l.Read(t.Context(), "a", 0) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Epoch < newest {
			t.Errorf("position %d has epoch %d behind %d: a split write", e.Position, e.Epoch, newest)
		}
		newest = e.Epoch
		if who, ok := acknowledged[entry{e.Epoch, e.Position}]; ok {
			found++
			if who != string(e.Update) {
				t.Errorf("position %d is %q, acknowledged to %q", e.Position, e.Update, who)
			}
		}
	}
	t.Logf("%d trials, %d acknowledged entries, the slowest claim took %v", trials, found, slowest)
	if found != len(acknowledged) {
		t.Errorf("%d of %d acknowledged entries are there", found, len(acknowledged))
	}
	if slowest > 1500*time.Millisecond {
		t.Errorf("a claim took %v", slowest)
	}
}

// TestPausedOwners plays trials in which owners in two processes stop before any
// step, while others claim and write.
func TestPausedOwners(t *testing.T) {
	url := shared(t).Database(t)
	logs := []persistence.Log{mustOpen(t, patient(url)), mustOpen(t, patient(url))}
	const trials = 40
	seed := uint64(time.Now().UnixNano())
	counts, err := persistencetest.PausedOwners(logs, trials, seed)
	if err != nil {
		t.Error(err)
	}
	t.Logf("%d trials from seed %d; overtaken before: %v", trials, seed, counts)
}

// TestPausedOwnersNotice: without the epoch in the statement the trials find a
// split write.
func TestPausedOwnersNotice(t *testing.T) {
	url := shared(t).Database(t)
	logs := []persistence.Log{mustOpen(t, patient(url)), mustOpen(t, patient(url))}
	for _, l := range logs {
		l.(*postgres.Log).WithoutEpoch()
	}
	seed := uint64(time.Now().UnixNano())
	if _, err := persistencetest.PausedOwners(logs, 40, seed); err == nil {
		t.Errorf("nothing was found from seed %d", seed)
	} else {
		t.Log(err)
	}
}
