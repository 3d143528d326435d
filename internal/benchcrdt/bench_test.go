package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

const testdata = "../../crdt/testdata"

// What yjs 13.6.33 ends with after the updates of a session: the SHA-256 of its
// text and of its state in V1, and the size of the updates.
var sessions = map[string]sample{
	"sveltecomponent": {Shown: "d8bb93b7cf87b4c3a0394fddc028284a093d90d5794a213d1ccb0794eb4ede8f", State: "6869e9ce465f32c9ce031697cf898c5d5853b671ab19f86f84e2b532bb1f8851", Bytes: 620189},
	"rustcode":        {Shown: "2cde7bd1dedbcd198e3f5a66a4135f120571a4349d48d057009f311622a0894c", State: "f00063cec1d2b178354ae34da3b98459c233a092564696e34526c90a2c7f8d0b", Bytes: 1603972},
	"seph-blog1":      {Shown: "fd42bef4fbb237f8cd748d2c1c628c51b489ea9b98992e6eb815d04a090a70ba", State: "34f7f3af62cf525bf2243d47bc0fef959bedca82effdef9523c9d373bf88dbf3", Bytes: 4052559},
	"friendsforever":  {Shown: "4720ec330c91e288c00b71cab318f7a1cdde689dfc401f269c353acfd6cb03f6", State: "dd6ce824b725466c502d36920ae773819634b6d7131ba64f298113cbe2be9530", Bytes: 643843},
}

// Sessions that arrive update by update, and those made here edit by edit, end
// with the bytes of yjs.
func TestSessions(t *testing.T) {
	d := newData(testdata)
	for set, want := range sessions {
		if what := arrive(set, 1)(d).measure(0, 1).differs(want); what != "" {
			t.Errorf("%s, received: %s differs", set, what)
		}
		if set == "friendsforever" {
			continue // its positions are those of two documents
		}
		if what := replay(set)(d).measure(0, 1).differs(want); what != "" {
			t.Errorf("%s, edited: %s differs", set, what)
		}
	}
}

// smoke are quick rows of every kind.
const smoke = "B1.2,B1.6,B1.9,B2.1,B2c.1,B3.2,S.apply1t,S.apply2,S.encode2,S.vector,S.diff,S.behind,H.nested,H.bombs"

// The rows run, and where yjs is there, they end with the same bytes. Nothing is
// said of time.
func TestRows(t *testing.T) {
	b := &bench{data: newData(testdata), dir: ".", against: all, rounds: 1, budget: time.Millisecond, open: map[string]*rival{}}
	defer b.stop()
	if !rivalsInstalled(t) {
		b.against = nil
	}
	for _, r := range rows() {
		if !wanted(smoke, r.id) || strings.HasSuffix(r.id, ".2x") {
			continue
		}
		res, err := b.row(r)
		if err != nil {
			t.Fatalf("%s: %v", r.id, err)
		}
		if res.Fault != "" {
			t.Errorf("%s: %s", r.id, res.Fault)
		}
	}
}

// rivalsInstalled tells whether the rivals can be run; with CI=true they must.
func rivalsInstalled(t *testing.T) bool {
	_, err := exec.LookPath("node")
	for _, p := range []string{"yjs", "ywasm", "loro-crdt"} {
		if err == nil {
			_, err = os.Stat("node_modules/" + p + "/package.json")
		}
	}
	if err != nil && os.Getenv("CI") == "true" {
		t.Fatal(err)
	}
	if err != nil {
		t.Logf("without the rivals: %v", err)
	}
	return err == nil
}

func TestWanted(t *testing.T) {
	for _, c := range []struct {
		only, id string
		want     bool
	}{
		{"", "B1.1", true},
		{"B1.1", "B1.1", true},
		{"B1.1", "B1.11", false},
		{"B1", "B1.11", true},
		{"S,B1.", "B1.3", true},
		{"S", "B4", false},
	} {
		if got := wanted(c.only, c.id); got != c.want {
			t.Errorf("rows %q, %s: %v", c.only, c.id, got)
		}
	}
}
