package crdt

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"
)

// TestLongEditing makes 20,000 transactions of typing, jumping and deleting in one long text or
// array and compares the digests of all updates and of the end state with those of Yjs 13.6.33 for
// the same edits, where doc is new Y.Doc({ gc }) with clientID 77, and t its text or array "t":
//
//	let x = 2463534242, cursor = 0
//	const rand = n => { x ^= x << 13; x ^= x >>> 17; x ^= x << 5; return (x >>> 0) % n }
//	const put = (i, n) => {
//	  if (text) t.insert(i, 'abcdefghijklmnopqrstuvwxyz'.slice(rand(26 - n + 1)).slice(0, n))
//	  else t.insert(i, Array.from({ length: n }, () => rand(1000)))
//	}
//	const cut = (i, n) => { n = Math.min(n, t.length - i); if (n > 0) t.delete(i, n) }
//	for (let s = 0; s < 20000; s++) doc.transact(() => {
//	  for (let k = 1 + (rand(8) === 0 ? rand(4) : 0); k > 0; k--) {
//	    const op = rand(100)
//	    if (op < 55) { put(cursor, 1); cursor++ }
//	    else if (op < 65) cursor = rand(t.length + 1)
//	    else if (op < 80) { if (cursor > 0) { cursor--; cut(cursor, 1) } }
//	    else if (op < 86) cut(cursor, 1)
//	    else if (op < 95) { const i = rand(t.length + 1); put(i, 5 + rand(10)); cursor = i }
//	    else { cursor = rand(t.length + 1); cut(cursor, 1 + rand(30)) }
//	  }
//	})
func TestLongEditing(t *testing.T) {
	for _, c := range []struct {
		name           string
		text, gc       bool
		size, length   int
		updates, state string
	}{
		{"text", true, true, 306115, 9360, "9c8b6b6603faf3d0e474aab588a1d45e58ab5591505edcf938dd9a89cd5d55e1", "01f046f8ad5da7aaa1ba26c5f8fe907e091b78b92a1020919be8986d39fc52aa"},
		{"text kept", true, false, 306471, 9360, "59b39b27ce22c824a9efad13aad4f388bc7fb1c515cc99a864cacb63be0919c6", "12c3398253583c551ab042507b5644e590fae8395d56783f67dd86427333d389"},
		{"array", false, true, 370434, 9292, "514981e2b8ca8c2fab3213d589cd075338893854d58e23ad9321c6746a2994f6", "8a71177abf2e0193bdabdf17eba7e1eafb80d175123cea89053cf96170c91051"},
		{"array kept", false, false, 371480, 9292, "ad53a3f0d2f908c4da5207114624a402a84dbe040e17a93626d0b8f6317a1cca", "0fc4b8ace38c1100e5269a93a1d0d4f76ce41714e1cc299231e3a814baf0cd5c"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := longEditing{text: c.text, x: 2463534242, doc: New(Options{ClientID: 77, KeepDeleted: !c.gc})}
			e.list, e.str = e.doc.Array("t"), Text{}
			if c.text {
				e.list, e.str = Array{}, e.doc.Text("t")
			}
			updates, size := sha256.New(), 0
			for step := range 20_000 {
				commit, err := e.doc.Transact(nil, e.step)
				if err != nil {
					t.Fatalf("step %d: %v", step, err)
				}
				if !commit.Empty() {
					u := commit.AppendUpdate(nil, V1)
					updates.Write(u)
					size += len(u)
				}
			}
			if err := e.doc.Check(); err != nil {
				t.Fatal(err)
			}
			state := sha256.Sum256(e.doc.AppendState(nil, V2))
			if size != c.size || e.length() != c.length {
				t.Errorf("%d bytes of updates, length %d, want %d and %d", size, e.length(), c.size, c.length)
			}
			if got := hex.EncodeToString(updates.Sum(nil)); got != c.updates {
				t.Errorf("updates: got %s, want %s", got, c.updates)
			}
			if got := hex.EncodeToString(state[:]); got != c.state {
				t.Errorf("state: got %s, want %s", got, c.state)
			}
		})
	}
}

type longEditing struct {
	doc    *Doc
	text   bool
	str    Text
	list   Array
	x      uint32
	cursor int
}

func (e *longEditing) rand(n int) int {
	e.x ^= e.x << 13
	e.x ^= e.x >> 17
	e.x ^= e.x << 5
	return int(e.x % uint32(n))
}

func (e *longEditing) length() int { return e.str.Len() + e.list.Len() }

func (e *longEditing) put(tx *Txn, at, n int) {
	if e.text {
		from := e.rand(26 - n + 1)
		e.str.Insert(tx, at, "abcdefghijklmnopqrstuvwxyz"[from:from+n])
		return
	}
	var vals []Value
	for range n {
		vals = append(vals, Int(e.rand(1000)))
	}
	e.list.Insert(tx, at, vals...)
}

func (e *longEditing) cut(tx *Txn, at, n int) {
	n = min(n, e.length()-at)
	switch {
	case n <= 0:
	case e.text:
		e.str.Delete(tx, at, n)
	default:
		e.list.Delete(tx, at, n)
	}
}

func (e *longEditing) step(tx *Txn) {
	k := 1
	if e.rand(8) == 0 {
		k += e.rand(4)
	}
	for ; k > 0; k-- {
		switch op := e.rand(100); {
		case op < 55:
			e.put(tx, e.cursor, 1)
			e.cursor++
		case op < 65:
			e.cursor = e.rand(e.length() + 1)
		case op < 80:
			if e.cursor > 0 {
				e.cursor--
				e.cut(tx, e.cursor, 1)
			}
		case op < 86:
			e.cut(tx, e.cursor, 1)
		case op < 95:
			at := e.rand(e.length() + 1)
			e.put(tx, at, 5+e.rand(10))
			e.cursor = at
		default:
			e.cursor = e.rand(e.length() + 1)
			e.cut(tx, e.cursor, 1+e.rand(30))
		}
	}
}
