package crdt_test

import (
	"slices"
	"testing"

	"ysync/crdt"
)

// mentions collects the clients of an update, once each.
func mentions(t *testing.T, v crdt.Version, update []byte) []crdt.ClientID {
	t.Helper()
	var found []crdt.ClientID
	for c, err := range crdt.MentionsOf(v, update) {
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, c)
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// TestMentionsOf makes updates that mention a client in one way each.
func TestMentionsOf(t *testing.T) {
	base := crdt.New(crdt.Options{ClientID: 1})
	crdt.CheckAtEnd(t, base)
	if _, err := base.Transact(nil, func(tx *crdt.Txn) {
		base.Text("t").Insert(tx, 0, "abc")
		base.Map("m").Set(tx, "k", crdt.NewMap())
	}); err != nil {
		t.Fatal(err)
	}
	state := base.AppendState(nil, crdt.V1)
	for name, c := range map[string]struct {
		edit func(*crdt.Doc, *crdt.Txn)
		want []crdt.ClientID
	}{
		"origin":     {func(d *crdt.Doc, tx *crdt.Txn) { d.Text("t").Insert(tx, 3, "x") }, []crdt.ClientID{1, 2}},
		"right":      {func(d *crdt.Doc, tx *crdt.Txn) { d.Text("t").Insert(tx, 0, "x") }, []crdt.ClientID{1, 2}},
		"parent":     {func(d *crdt.Doc, tx *crdt.Txn) { d.Map("m").At("k").Map().Set(tx, "j", crdt.Bool(true)) }, []crdt.ClientID{1, 2}},
		"deletion":   {func(d *crdt.Doc, tx *crdt.Txn) { d.Text("t").Delete(tx, 0, 1) }, []crdt.ClientID{1}},
		"none of it": {func(d *crdt.Doc, tx *crdt.Txn) { d.Text("new").Insert(tx, 0, "x") }, []crdt.ClientID{2}},
	} {
		doc := crdt.New(crdt.Options{ClientID: 2})
		crdt.CheckAtEnd(t, doc)
		if _, err := doc.Apply(nil, crdt.V1, state); err != nil {
			t.Fatal(err)
		}
		commit, err := doc.Transact(nil, func(tx *crdt.Txn) { c.edit(doc, tx) })
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range []crdt.Version{crdt.V1, crdt.V2} {
			update := commit.AppendUpdate(nil, v)
			if got := mentions(t, v, update); !slices.Equal(got, c.want) {
				t.Errorf("%s: %v, want %v", name, got, c.want)
			}
			failed := false
			for _, err := range crdt.MentionsOf(v, update[:len(update)-1]) {
				failed = failed || err != nil
			}
			if !failed {
				t.Errorf("%s: a truncated update has mentions and no error", name)
			}
		}
	}
}
