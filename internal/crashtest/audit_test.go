package crashtest

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"ysync/crdt"
)

// script is a document's life as the ledger saw it: three authors, every kind
// of edit, all acknowledged.
func script(t *testing.T) (*ledger, []*edit) {
	t.Helper()
	l := newLedger()
	rng := rand.New(rand.NewPCG(5, 6))
	authors := []*author{newAuthor(0, 7), newAuthor(1, 1<<31+9), newAuthor(2, 300)}
	var edits []*edit
	for i := range 300 {
		k := kind(i % int(kindCount))
		var target *edit
		if k == kindErase {
			if target = l.victim("d", rng); target == nil {
				k = kindMap
			}
		}
		e := authors[rng.IntN(len(authors))].make(k, "d", target)
		l.made(e)
		l.settle([]*edit{e})
		edits = append(edits, e)
	}
	return l, edits
}

func build(t *testing.T, edits []*edit) *crdt.Doc {
	t.Helper()
	doc := crdt.New(crdt.Options{NoFormatCleanup: true})
	for _, e := range edits {
		if _, err := doc.Apply(nil, crdt.V1, e.update); err != nil {
			t.Fatalf("%v does not apply: %v", e, err)
		}
	}
	return doc
}

func TestAuditPassesWhatIsWhole(t *testing.T) {
	l, edits := script(t)
	doc := build(t, edits)
	l.audit("now", "d", doc, l.wanted("d", acknowledged))
	l.audit("now", "d", doc, l.wanted("d", everything))
	if len(l.faults) > 0 {
		t.Fatalf("faults: %q", l.faults)
	}
	if p := doc.Pending(); !p.Empty() {
		t.Errorf("%+v is pending", p)
	}
	seen := make(map[kind]int)
	for _, e := range edits {
		seen[e.kind]++
	}
	for k := range kindCount {
		if seen[k] < 20 {
			t.Errorf("only %d edits of kind %d", seen[k], k)
		}
	}
}

// TestAuditFindsEveryLoss drops each edit in turn; the audit has to name it or
// what depended on it. An edit that nobody can miss is no loss: the insertion of
// what was deleted, without a later block of its author.
func TestAuditFindsEveryLoss(t *testing.T) {
	_, all := script(t)
	for i := range all {
		l, edits := script(t)
		lost := edits[i]
		doc := build(t, slices.Delete(slices.Clone(edits), i, i+1))
		l.audit("now", "d", doc, l.wanted("d", acknowledged))
		if len(l.faults) == 0 {
			t.Errorf("the loss of %v is not found", lost)
		}
	}
}

func TestAuditSparesWhatWasNotAcknowledged(t *testing.T) {
	l, edits := script(t)
	last := edits[len(edits)-1]
	last.acked = false
	doc := build(t, edits[:len(edits)-1])
	l.audit("now", "d", doc, l.wanted("d", acknowledged))
	if len(l.faults) > 0 {
		t.Errorf("an edit that was not acknowledged is missed: %q", l.faults)
	}
	l.audit("now", "d", doc, l.wanted("d", everything))
	if len(l.faults) == 0 {
		t.Error("the audit at the end passes a document without the last edit")
	}
}

func TestAuditFindsPhantoms(t *testing.T) {
	l, edits := script(t)
	stranger := newAuthor(9, 12345)
	doc := build(t, append(slices.Clone(edits), stranger.make(kindMap, "d", nil)))
	l.audit("now", "d", doc, l.wanted("d", acknowledged))
	if len(l.faults) != 1 || !strings.Contains(l.faults[0], "<9.1>") {
		t.Errorf("faults: %q, want one about <9.1>", l.faults)
	}
}

func TestAuditFindsTornTokens(t *testing.T) {
	l, edits := script(t)
	doc := build(t, edits)
	if _, err := doc.Transact(nil, func(tx *crdt.Txn) { doc.Text(textRoot).Delete(tx, 1, 1) }); err != nil {
		t.Fatal(err)
	}
	l.audit("now", "d", doc, l.wanted("d", acknowledged))
	if len(l.faults) == 0 {
		t.Error("a token with a letter missing passes")
	}
}
