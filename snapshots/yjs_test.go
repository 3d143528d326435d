package snapshots_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"ysync/crdt"
	"ysync/persistence"
	"ysync/snapshots"
)

// yjsMoments are asked for, of the session of 259,778 edits.
const yjsMoments = 1000

// shown are digests of what a document shows and knows, as Yjs tells them
// (crdt/differential/moments.mjs).
type shown struct {
	Position                            persistence.Position
	JSON, Text, Delta, Vector, Snapshot string
}

// TestMomentsAreThoseOfYjs replays the B4 trace with a clock and asks for random
// moments by time and by position. A real Yjs that is given the same updates
// must have had the same content at each of them, byte for byte, and known the
// same edits.
func TestMomentsAreThoseOfYjs(t *testing.T) {
	const folder = "../crdt/differential"
	node, err := exec.LookPath("node")
	if err == nil {
		_, err = os.Stat(folder + "/node_modules/yjs/package.json")
	}
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Logf("not run: %v", err)
		return
	}
	updates := trace(t, "b4")
	rng := rand.New(rand.NewPCG(1, 4))
	positions := make([]persistence.Position, yjsMoments)
	for i := range positions {
		positions[i] = persistence.Position(1 + rng.IntN(len(updates)))
	}
	slices.Sort(positions)
	in, err := json.Marshal(positions)
	if err != nil {
		t.Fatal(err)
	}
	yjs := exec.CommandContext(t.Context(), node, "moments.mjs", "../testdata/b4.updates.v1.bin.gz")
	yjs.Dir, yjs.Stdin, yjs.Stderr = folder, bytes.NewReader(in), os.Stderr
	out, err := yjs.StdoutPipe()
	if err == nil {
		err = yjs.Start()
	}
	if err != nil {
		t.Fatal(err)
	}

	r := record(t, nil)
	r.life(rng, updates, 100)
	r.segment()
	lines := bufio.NewScanner(out)
	var worst time.Duration
	byTime := 0
	for _, p := range positions {
		if !lines.Scan() {
			t.Fatalf("Yjs ended before position %d: %v", p, yjs.Wait())
		}
		var want shown
		if err := json.Unmarshal(lines.Bytes(), &want); err != nil || want.Position != p {
			t.Fatalf("Yjs answered %q: %v", lines.Text(), err)
		}
		m := snapshots.AtPosition(p)
		if r.lastAt(r.times[p-1]) == p {
			m = snapshots.AtTime(r.times[p-1])
			byTime++
		}
		began := time.Now()
		doc, point, err := r.keeper.At(t.Context(), "d", m, snapshots.AtOptions{})
		worst = max(worst, time.Since(began))
		if err != nil || point.Position != p || point.Short != nil {
			t.Fatalf("At(%v) is %+v: %v", m, point, err)
		}
		if got := shows(p, doc); got != want {
			t.Fatalf("At(%v): Yjs had %+v, restored is %+v", m, want, got)
		}
	}
	if err := yjs.Wait(); err != nil {
		t.Error(err)
	}
	if byTime < yjsMoments/2 {
		t.Errorf("%d moments were asked for by time", byTime)
	}
	t.Logf("%d moments of %d entries are what Yjs had, %d of them by time; the longest took %v", yjsMoments, r.head(), byTime, worst)
}

func shows(p persistence.Position, doc *crdt.Doc) shown {
	digest := func(b []byte) string {
		sum := sha256.Sum256(b)
		return hex.EncodeToString(sum[:])
	}
	text := doc.Text("text")
	var ops []crdt.Value
	for op := range text.Chunks() {
		ops = append(ops, crdt.Object(crdt.Field{Key: "insert", Value: op.Insert}))
	}
	return shown{
		p, digest(doc.AppendJSON(nil, nil)), digest([]byte(text.String())), digest(crdt.List(ops...).AppendJSON(nil)),
		digest(crdt.AppendStateVector(nil, doc.StateVector())), digest(crdt.AppendSnapshot(nil, crdt.V1, doc.Snapshot())),
	}
}
