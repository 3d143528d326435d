package crdt_test

import (
	"errors"
	"fmt"

	"ysync/crdt"
)

// Two replicas that were edited apart tell each other what they know and send what
// the other lacks.
func ExampleDoc_AppendDiff() {
	ann, ben := crdt.New(crdt.Options{ClientID: 1}), crdt.New(crdt.Options{ClientID: 2})
	for _, d := range []*crdt.Doc{ann, ben} {
		if _, err := d.Transact(nil, func(tx *crdt.Txn) {
			d.Text("notes").Insert(tx, 0, fmt.Sprintf("client %d was here;", d.ClientID()))
		}); err != nil {
			fmt.Println(err)
		}
	}
	sync := func(from, to *crdt.Doc) {
		question := crdt.AppendStateVector(nil, to.StateVector())
		known, err := crdt.DecodeStateVector(question)
		if err != nil {
			fmt.Println(err)
			return
		}
		answer := from.AppendDiff(nil, crdt.V1, known)
		commit, err := to.Apply("peer", crdt.V1, answer)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println("waits for more:", commit.LeftPending())
	}
	sync(ann, ben)
	sync(ben, ann)
	fmt.Println(ann.Text("notes"))
	fmt.Println(ann.Text("notes").String() == ben.Text("notes").String(), ann.StateVector().Equal(ben.StateVector()))
	// Output:
	// waits for more: false
	// waits for more: false
	// client 1 was here;client 2 was here;
	// true true
}

// What strangers send is bounded: the update is refused whole, with the reason and
// the place.
func ExampleLimits() {
	doc := crdt.New(crdt.Options{Limits: crdt.Limits{BlocksPerUpdate: 1000, ClockAdvance: 1 << 20, PendingBytes: 1 << 20}})
	for _, update := range [][]byte{
		{1, 1, 5, 0, 4, 1, 1, 't', 2, 'h', 'i', 0},                     // "hi" into the text t
		{1, 1, 5, 2, 0x81, 5, 1, 0xff, 0xff, 0xff, 0xff, 7, 0},         // 2^31-1 deleted units behind it
		{1, 1, 5, 0, 4, 1, 1, 't', 200, 1, 'c', 'u', 't', 's', 'h', 0}, // a text cut short
	} {
		_, err := doc.Apply("stranger", crdt.V1, update)
		var at *crdt.UpdateError
		switch {
		case errors.As(err, &at) && errors.Is(err, crdt.ErrLimit):
			fmt.Println("too much:", err)
		case errors.As(err, &at):
			fmt.Println("broken at byte", at.Offset)
		default:
			fmt.Printf("taken: %q\n", doc.Text("t"))
		}
	}
	// Output:
	// taken: "hi"
	// too much: update: crdt: over limit: client 5 goes on by 2147483647 clocks, at most 1048576
	// broken at byte 8
}

// Updates are merged, cut and converted without a document.
func ExampleMerge() {
	doc := crdt.New(crdt.Options{ClientID: 1})
	var updates [][]byte
	for _, word := range []string{"one ", "two ", "three"} {
		commit, err := doc.Transact(nil, func(tx *crdt.Txn) { doc.Text("t").Insert(tx, doc.Text("t").Len(), word) })
		if err != nil {
			fmt.Println(err)
			return
		}
		updates = append(updates, commit.AppendUpdate(nil, crdt.V1))
	}
	merged, err := crdt.Merge(crdt.V1, updates...) // blocks stay as they are
	if err != nil {
		fmt.Println(err)
		return
	}
	compact, err := crdt.Compact(crdt.V1, updates...) // blocks that go on are joined
	if err != nil {
		fmt.Println(err)
		return
	}
	known, err := crdt.StateVectorOf(crdt.V1, updates[0])
	if err != nil {
		fmt.Println(err)
		return
	}
	rest, err := crdt.Diff(crdt.V1, merged, known) // without what is in the first update
	if err != nil {
		fmt.Println(err)
		return
	}
	stored, err := crdt.Convert(crdt.V1, crdt.V2, compact)
	if err != nil {
		fmt.Println(err)
		return
	}
	contents, err := crdt.ContentsOf(crdt.V2, stored)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(merged) > len(compact), len(rest) < len(merged))
	for client, clocks := range contents.Blocks.All() {
		fmt.Println("client", client, "clocks", clocks.From, "to", clocks.To)
	}
	// Output:
	// true true
	// client 1 clocks 0 to 13
}

// A document refers to others by name; what they hold lives elsewhere.
func ExampleSubdoc() {
	doc := crdt.New(crdt.Options{ClientID: 1})
	doc.OnSubdocs(func(e *crdt.SubdocsEvent) {
		for _, v := range e.Added {
			fmt.Println("added", v.Subdoc().GUID)
		}
		for _, v := range e.Loaded {
			fmt.Println("wanted", v.Subdoc().GUID)
		}
	})
	chapters := doc.Array("chapters")
	edit := func(fn func(tx *crdt.Txn)) {
		if _, err := doc.Transact(nil, fn); err != nil {
			fmt.Println(err)
		}
	}
	edit(func(tx *crdt.Txn) {
		chapters.Push(tx, crdt.NewSubdoc(crdt.Subdoc{GUID: "intro"}), crdt.NewSubdoc(crdt.Subdoc{GUID: "cover", ShouldLoad: true}))
	})
	edit(func(tx *crdt.Txn) { chapters.At(0).LoadSubdoc(tx) })
	// Output:
	// added intro
	// added cover
	// wanted cover
	// wanted intro
}
