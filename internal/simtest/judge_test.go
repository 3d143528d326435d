package simtest

import (
	"strings"
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

// Who may not write can't bring what the log waits for, when the page that made it
// and the owner that had it are gone: it is held against those who can, and against
// those who have it from an owner that should have it in the log.
func TestReadersNeedNotBringWhatIsWaitedFor(t *testing.T) {
	author := crdt.New(crdt.Options{ClientID: 2})
	insert := func(text string) []byte {
		t.Helper()
		commit, err := author.Transact(nil, func(tx *crdt.Txn) { author.Text(textRoot).Insert(tx, author.Text(textRoot).Len(), text) })
		if err != nil {
			t.Fatal(err)
		}
		return commit.AppendUpdate(nil, crdt.V1)
	}
	take := func(d *crdt.Doc, update []byte) {
		t.Helper()
		if _, err := d.Apply(nil, crdt.V1, update); err != nil {
			t.Fatal(err)
		}
	}
	log, shown := newReplay(), crdt.New(crdt.Options{ClientID: 3})
	for _, both := range []string{"known ", "of all "} {
		update := insert(both)
		take(log, update)
		take(shown, update)
	}
	take(shown, insert("lost with its owner "))
	take(log, insert("after it "))
	waiting := loggedBy(log)
	if waiting.waits.Blocks != 1 {
		t.Fatalf("waits: %+v", waiting.waits.Pending)
	}

	tests := []struct {
		who    string
		client client
		wrong  string
	}{
		{"a writer", client{writer: true}, "has what is waited for"},
		{"a reader", client{}, ""},
		{"a newcomer", client{late: true}, "has what is waited for"},
	}
	for _, tt := range tests {
		c := &tt.client
		c.conn, c.wanting, c.replica = &conn{}, true, shown
		for _, by := range []comparison{lacks, differ} {
			if got := waiting.unlike(c, by); !strings.HasPrefix(got, tt.wrong) || tt.wrong == "" && got != "" {
				t.Errorf("%s: %q, want %q", tt.who, got, tt.wrong)
			}
		}
	}

	// Nothing is spared who lacks what the log has.
	reader := &client{conn: &conn{}, wanting: true, replica: crdt.New(crdt.Options{ClientID: 4})}
	if got := waiting.unlike(reader, lacks); !strings.HasPrefix(got, "has state") {
		t.Errorf("a reader with nothing: %q", got)
	}
	// Nor is a newcomer that has more than the log when nothing waits.
	done := loggedBy(newReplay())
	if got := done.unlike(&client{conn: &conn{}, wanting: true, late: true, replica: shown}, differ); !strings.HasPrefix(got, "has more") {
		t.Errorf("a newcomer with more: %q", got)
	}
}
