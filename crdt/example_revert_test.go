package crdt_test

import (
	"fmt"

	"ysync/crdt"
)

// A document goes back to a stored state of it while somebody else is typing.
func ExampleTxn_Revert() {
	doc := crdt.New(crdt.Options{ClientID: 1})
	body := doc.Text("body")
	must := func(_ *crdt.Commit, err error) {
		if err != nil {
			fmt.Println(err)
		}
	}
	must(doc.Transact(nil, func(tx *crdt.Txn) { body.Insert(tx, 0, "The cat sat on the mat.") }))
	monday := doc.AppendState(nil, crdt.V2)
	must(doc.Transact(nil, func(tx *crdt.Txn) {
		body.Delete(tx, 7, 15)
		body.Insert(tx, 4, "big ")
	}))

	// What Ben types has not arrived yet.
	ben := crdt.New(crdt.Options{ClientID: 2})
	must(ben.Apply(nil, crdt.V2, doc.AppendState(nil, crdt.V2)))
	typed, err := ben.Transact(nil, func(tx *crdt.Txn) { ben.Text("body").Insert(tx, 0, "Once: ") })
	if err != nil {
		fmt.Println(err)
	}
	fmt.Println(ben.Text("body"))

	past := crdt.New(crdt.Options{})
	must(past.Apply(nil, crdt.V2, monday))
	must(doc.Transact("revert", func(tx *crdt.Txn) { tx.Revert(past) }))
	fmt.Println(body)

	must(doc.Apply(nil, crdt.V1, typed.AppendUpdate(nil, crdt.V1)))
	fmt.Println(body)
	for run := range body.Authors() {
		fmt.Print(run.Clocks.Len(), " by ", run.Client, "; ")
	}
	// Output:
	// Once: The big cat.
	// The cat sat on the mat.
	// Once: The cat sat on the mat.
	// 6 by 2; 7 by 1; 15 by 1; 1 by 1;
}
