package crdt_test

import (
	"fmt"

	"ysync/crdt"
)

func Example() {
	doc := crdt.New(crdt.Options{ClientID: 7}) // the zero Options is valid too
	meta, body := doc.Map("meta"), doc.Text("body")

	commit, err := doc.Transact("import", func(tx *crdt.Txn) {
		meta.Set(tx, "title", crdt.String("Minutes"))
		body.Insert(tx, 0, "Hello world")
		body.Format(tx, 0, 5, crdt.Attrs{{Key: "bold", Value: crdt.Bool(true)}})
	})
	if err != nil { // the first operation that failed; later ones did not run
		fmt.Println(err)
		return
	}
	update := commit.AppendUpdate(nil, crdt.V1) // exactly what this transaction added

	replica := crdt.New(crdt.Options{})
	if _, err := replica.Apply("peer", crdt.V1, update); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(replica.Map("meta").At("title").Str())
	for chunk := range replica.Text("body").Chunks() {
		fmt.Printf("%q bold %v\n", chunk.Insert.Str(), chunk.Attrs.Value("bold").Bool())
	}
	// Output:
	// Minutes
	// "Hello" bold true
	// " world" bold false
}

func ExampleArray() {
	doc := crdt.New(crdt.Options{ClientID: 7})
	tasks := doc.Array("tasks")
	if _, err := doc.Transact(nil, func(tx *crdt.Txn) {
		tasks.Push(tx,
			crdt.NewMap(crdt.Field{Key: "title", Value: crdt.NewText("Buy milk")}, crdt.Field{Key: "done", Value: crdt.Bool(false)}),
			crdt.String("a plain value"))
		tasks.At(0).Map().At("title").Text().Insert(tx, 4, "oat ")
	}); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s\n", doc.AppendJSON(nil, nil))
	// Output:
	// {"tasks":[{"title":"Buy oat milk","done":false},"a plain value"]}
}

func ExampleXMLFragment() {
	doc := crdt.New(crdt.Options{ClientID: 7})
	page := doc.XMLFragment("page")
	if _, err := doc.Transact(nil, func(tx *crdt.Txn) {
		page.Push(tx, crdt.NewXMLElement("P", crdt.Attrs{{Key: "align", Value: crdt.String("left")}},
			crdt.NewXMLText(crdt.Delta{crdt.InsertText("Hi "), crdt.InsertText("there", crdt.Field{Key: "em", Value: crdt.Object()})})))
	}); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(page)
	// Output:
	// <p align="left">Hi <em>there</em></p>
}

func ExampleUndoManager() {
	doc := crdt.New(crdt.Options{ClientID: 7})
	body := doc.Text("body")
	// A program that reads its clock gives UndoOptions.Now, and quick changes become one step.
	undo, err := crdt.NewUndoManager(doc, crdt.UndoOptions{Origins: []any{"me"}}, body)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer undo.Close()
	insert := func(origin, text string) {
		if _, err := doc.Transact(origin, func(tx *crdt.Txn) { body.Insert(tx, body.Len(), text) }); err != nil {
			fmt.Println(err)
		}
	}
	insert("me", "Hello")
	insert("someone else", " world")
	insert("me", "!")
	for undo.CanUndo() {
		commit, err := undo.Undo() // to be sent like any other: commit.AppendUpdate
		if err != nil || commit == nil {
			break
		}
		fmt.Printf("%q\n", body)
	}
	for undo.CanRedo() {
		if commit, err := undo.Redo(); err != nil || commit == nil {
			break
		}
		fmt.Printf("%q\n", body)
	}
	// Output:
	// "Hello world"
	// " world"
	// "Hello world"
	// "Hello world!"
}
