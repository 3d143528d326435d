//go:build crash

package crashtest

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// earlier is the first commit whose nodes serve each other's documents and keep
// them through the death of an owner.
const earlier = "1a9e7813c4c91d632c52dc8a7e5d19d79fd0eb90"

// buildCommit builds the server of a commit. A clone without it cannot run the
// test, which is a failure.
func buildCommit(t *testing.T, commit string) string {
	t.Helper()
	run := func(dir string, in []byte, name string, args ...string) []byte {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Dir, cmd.Stdin = dir, bytes.NewReader(in)
		var complaints strings.Builder
		cmd.Stderr = &complaints
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s %s: %v\n%s(the test builds an earlier release from the history: a shallow clone has to be deepened, `git fetch --unshallow`)",
				name, strings.Join(args, " "), err, complaints.String())
		}
		return out
	}
	source, binary := t.TempDir(), filepath.Join(t.TempDir(), "ysync")
	root := strings.TrimSpace(string(run(".", nil, "git", "rev-parse", "--show-toplevel")))
	run(source, run(root, nil, "git", "archive", "--format=tar", commit), "tar", "-x")
	// With -trimpath the packages are in the build cache after the first time.
	run(source, nil, "go", "build", "-trimpath", "-o", binary, "./cmd/ysync")
	return binary
}

// TestRollingRestart replaces three nodes of an earlier release by this one, one
// after the other, under writers; in between both serve together.
func TestRollingRestart(t *testing.T) {
	needSite(t)
	before, now := buildCommit(t, earlier), buildServer(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r, err := chaos{
		config: config{
			binary: before, data: t.TempDir(), seed: seed, documents: 6, writers: 38, withholders: 2,
			manner: manner{pause: 300 * time.Millisecond},
		},
		progress: t.Logf,
	}.playOn(t.Context(), nil, func(r *rig, ctx context.Context) error {
		for _, n := range r.site.nodes {
			if err := r.goesOn(ctx, 200); err != nil {
				return err
			}
			if err := n.signal(syscall.SIGTERM); err != nil {
				return err
			}
			select {
			case <-n.current().done:
			case <-time.After(calmTimeout):
				return fmt.Errorf("%s does not end:\n%s", n.name, n.current().tail(10))
			}
			n.binary = now
			if err := n.start(ctx); err != nil {
				return err
			}
			if err := r.site.whole(ctx); err != nil {
				return err
			}
			t.Logf("%s is of this release (%d acknowledged)", n.name, r.ledger.report().acked)
		}
		return r.goesOn(ctx, 200)
	})
	t.Log(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.faults {
		t.Error(f)
	}
}

// goesOn waits until as many more edits are acknowledged.
func (r *rig) goesOn(ctx context.Context, more int) error {
	late := time.After(calmTimeout)
	for want := r.ledger.report().acked + more; r.ledger.report().acked < want; {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-late:
			return fmt.Errorf("%d more edits were not acknowledged within %v", more, calmTimeout)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
