package crdt_test

import (
	"fmt"

	"ysync/crdt"
)

// What became of a text between two moments, and who wrote it.
func ExampleText_Changes() {
	doc := crdt.New(crdt.Options{ClientID: 1, KeepDeleted: true})
	body := doc.Text("body")
	edit := func(fn func(tx *crdt.Txn)) {
		if _, err := doc.Transact(nil, fn); err != nil {
			fmt.Println(err)
		}
	}
	edit(func(tx *crdt.Txn) { body.Insert(tx, 0, "The cat sat.") })
	monday := doc.Snapshot()

	// Another replica changes it.
	other := crdt.New(crdt.Options{ClientID: 2})
	if _, err := other.Apply(nil, crdt.V1, doc.AppendState(nil, crdt.V1)); err != nil {
		fmt.Println(err)
	}
	commit, err := other.Transact(nil, func(tx *crdt.Txn) {
		other.Text("body").Delete(tx, 4, 3)
		other.Text("body").Insert(tx, 4, "dog")
	})
	if err != nil {
		fmt.Println(err)
	}
	if _, err := doc.Apply(nil, crdt.V1, commit.AppendUpdate(nil, crdt.V1)); err != nil {
		fmt.Println(err)
	}

	fmt.Println(body.StringAt(monday), "→", body)
	users := map[crdt.ClientID]string{1: "Ada", 2: "Ben"}
	for c := range body.Changes(monday, doc.Snapshot()) {
		fmt.Printf("%-7v %-8q by %s\n", c.Change, c.Insert.Str(), users[c.Run.Client])
	}
	for run := range body.Authors() {
		fmt.Printf("%d units by %s; ", run.Clocks.Len(), users[run.Client])
	}
	// Output:
	// The cat sat. → The dog sat.
	// kept    "The "   by Ada
	// removed "cat"    by Ada
	// added   "dog"    by Ben
	// kept    " sat."  by Ada
	// 4 units by Ada; 3 units by Ben; 5 units by Ada;
}

// A document as it was, as a document of its own, and as JSON without making one.
func ExampleDoc_At() {
	doc := crdt.New(crdt.Options{ClientID: 1, KeepDeleted: true})
	plan := doc.Map("plan")
	set := func(day string) {
		if _, err := doc.Transact(nil, func(tx *crdt.Txn) { plan.Set(tx, "day", crdt.String(day)) }); err != nil {
			fmt.Println(err)
		}
	}
	set("Monday")
	stored := crdt.AppendSnapshot(nil, crdt.V2, doc.Snapshot())
	set("Friday")

	then, err := crdt.DecodeSnapshot(crdt.V2, stored)
	if err != nil {
		fmt.Println(err)
		return
	}
	past, err := doc.At(then, crdt.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(past.Map("plan").At("day").Str(), len(stored), "bytes")
	fmt.Printf("%s %s\n", doc.JSONAt(then, nil).AppendJSON(nil), doc.AppendJSON(nil, nil))
	// Output:
	// Monday 4 bytes
	// {"plan":{"day":"Monday"}} {"plan":{"day":"Friday"}}
}

// A cursor that stays where it is while others type.
func ExampleRelativePosition() {
	doc := crdt.New(crdt.Options{ClientID: 1})
	body := doc.Text("body")
	edit := func(fn func(tx *crdt.Txn)) {
		if _, err := doc.Transact(nil, fn); err != nil {
			fmt.Println(err)
		}
	}
	edit(func(tx *crdt.Txn) { body.Insert(tx, 0, "hello world") })

	cursor := body.RelativePosition(6, crdt.AssocAfter) // before the w
	sent := crdt.AppendRelativePosition(nil, cursor)

	edit(func(tx *crdt.Txn) { body.Insert(tx, 0, "oh, ") })
	received, err := crdt.DecodeRelativePosition(sent)
	if err != nil {
		fmt.Println(err)
		return
	}
	if at, ok := doc.Resolve(received); ok {
		fmt.Println(at.Index, body.String()[at.Index:])
	}
	fmt.Printf("%s\n", cursor.AppendJSON(nil))
	// Output:
	// 10 world
	// {"tname":"body","item":{"client":1,"clock":6},"assoc":0}
}
