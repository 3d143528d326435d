package crdt_test

import (
	"fmt"

	"ysync/crdt"
)

// An editor shows what others type: it applies the delta of each remote change.
func ExampleEvent() {
	doc := crdt.New(crdt.Options{ClientID: 7})
	body, meta := doc.Text("body"), doc.Map("meta")

	stop := body.Observe(func(e *crdt.Event) {
		for _, op := range e.Delta() {
			switch op.Kind {
			case crdt.DeltaRetain:
				fmt.Println("keep", op.Len)
			case crdt.DeltaInsert:
				fmt.Printf("insert %q\n", op.Insert.Str())
			case crdt.DeltaDelete:
				fmt.Println("delete", op.Len)
			}
		}
	})
	meta.ObserveDeep(func(events []*crdt.Event) {
		for _, e := range events {
			for _, k := range e.Keys() {
				fmt.Printf("%s %q at %d steps, was %s\n", k.Action, k.Key, len(e.Path()), k.Old.AppendJSON(nil))
			}
		}
	})

	edit := func(fn func(tx *crdt.Txn)) {
		if _, err := doc.Transact("me", fn); err != nil {
			fmt.Println(err)
		}
	}
	edit(func(tx *crdt.Txn) {
		body.Insert(tx, 0, "Hello world")
		meta.Set(tx, "tags", crdt.NewMap(crdt.Field{Key: "a", Value: crdt.Int(1)}))
	})
	edit(func(tx *crdt.Txn) {
		body.Delete(tx, 5, 6)
		body.Insert(tx, 5, "!")
		meta.At("tags").Map().Set(tx, "a", crdt.Int(2))
	})
	stop()
	edit(func(tx *crdt.Txn) { body.Insert(tx, 0, "unseen") })
	// Output:
	// insert "Hello world"
	// add "tags" at 0 steps, was null
	// keep 5
	// delete 6
	// insert "!"
	// update "a" at 1 steps, was 1
}

// A replica passes on what it made: each transaction is one update.
func ExampleDoc_OnCommit() {
	doc, replica := crdt.New(crdt.Options{ClientID: 7}), crdt.New(crdt.Options{ClientID: 8})
	doc.OnCommit(func(c *crdt.Commit) {
		fmt.Println("update by", c.Origin())
		if _, err := replica.Apply("peer", crdt.V1, c.AppendUpdate(nil, crdt.V1)); err != nil {
			fmt.Println(err)
		}
	})
	for _, who := range []string{"Ann", "Bob"} {
		if _, err := doc.Transact(who, func(tx *crdt.Txn) { doc.Array("names").Push(tx, crdt.String(who)) }); err != nil {
			fmt.Println(err)
		}
	}
	fmt.Println(replica.Array("names").Len(), "names")
	// Output:
	// update by Ann
	// update by Bob
	// 2 names
}
