package simtest

import (
	"testing"

	"ysync/crdt"
)

// What waits in a log is held against those alone who have what it waits for: a
// page that is loaded again takes with it what was never acknowledged, and a
// deletion of that may be in the log.
func TestWhoHasWhatIsWaitedFor(t *testing.T) {
	author := crdt.New(crdt.Options{ClientID: 2})
	edit := func(do func(*crdt.Txn, crdt.Text)) []byte {
		t.Helper()
		commit, err := author.Transact(nil, func(tx *crdt.Txn) { do(tx, author.Text(textRoot)) })
		if err != nil {
			t.Fatal(err)
		}
		return commit.AppendUpdate(nil, crdt.V1)
	}
	insert := func(text string) []byte {
		return edit(func(tx *crdt.Txn, at crdt.Text) { at.Insert(tx, at.Len(), text) })
	}
	log := newReplay()
	waits := func(update []byte) awaited {
		t.Helper()
		if _, err := log.Apply(nil, crdt.V1, update); err != nil {
			t.Fatal(err)
		}
		return awaitedBy(log)
	}

	known := insert("known ")
	others := author.StateVector()
	lost := insert("lost")
	deleted := edit(func(tx *crdt.Txn, at crdt.Text) { at.Delete(tx, 0, at.Len()) })
	waits(known)
	if a := waits(deleted); a.Deletes != 1 || a.has(others) || !a.has(author.StateVector()) {
		t.Errorf("of a deletion that waits: %+v, others have it: %v, its author: %v", a.Pending, a.has(others), a.has(author.StateVector()))
	}
	if a := waits(insert(" more")); a.Blocks != 1 || a.has(others) || !a.has(author.StateVector()) {
		t.Errorf("of a block that waits: %+v, others have it: %v, its author: %v", a.Pending, a.has(others), a.has(author.StateVector()))
	}
	if a := waits(lost); !a.Empty() || a.has(author.StateVector()) {
		t.Errorf("waits when all has come: %+v", a.Pending)
	}
}
