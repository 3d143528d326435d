package crdt

import (
	"fmt"
	"slices"
	"testing"
)

// What is noted of a transaction must not depend on whether somebody watched
// from its beginning or only from its end on.
func TestWatchFromWithin(t *testing.T) {
	edit := func(within bool) (seen string) {
		d := New(Options{ClientID: 1})
		text, m := d.Text("t"), d.Map("m")
		transact(t, d, func(tx *Txn) {
			text.Insert(tx, 0, "hello world")
			m.Set(tx, "inner", NewText("abc"))
		})
		transact(t, d, func(tx *Txn) { text.Delete(tx, 6, 5) })
		inner := m.At("inner").Text()
		see := func(tx *Txn) {
			slices.Sort(tx.called)
			seen = fmt.Sprintln(tx.Origin, tx.Local(), tx.deletes, tx.touched, tx.called,
				tx.changedWithin(text.b), tx.changedWithin(m.b), tx.changedWithin(inner.b))
		}
		var stop func()
		if !within {
			stop = d.afterTransaction(see)
		}
		if _, err := d.Transact("me", func(tx *Txn) {
			text.Insert(tx, 6, "there")
			text.Delete(tx, 9, 2)
			text.Insert(tx, 9, "se!")
			inner.Delete(tx, 1, 1)
			if within {
				stop = d.afterTransaction(see)
			}
		}); err != nil {
			t.Fatal(err)
		}
		if err := d.Check(); err != nil {
			t.Fatal(err)
		}
		stop()
		before := seen
		transact(t, d, func(tx *Txn) { text.Insert(tx, 0, "x") })
		if seen != before {
			t.Error("called after stop")
		}
		return seen
	}
	early, late := edit(false), edit(true)
	if early != late {
		t.Errorf("watched from the start: %s\nfrom within: %s", early, late)
	}
	if want := "me true"; len(early) < len(want) || early[:len(want)] != want {
		t.Errorf("got %s", early)
	}
}

// A change below a type is one within it, and one beside it is not.
func TestChangedWithin(t *testing.T) {
	d := New(Options{ClientID: 1})
	CheckAtEnd(t, d)
	m := d.Map("m")
	transact(t, d, func(tx *Txn) { m.Set(tx, "a", NewArray(NewMap())) })
	a := m.At("a").Array()
	inner := a.At(0).Map()
	var within []bool
	defer d.afterTransaction(func(tx *Txn) {
		within = []bool{tx.changedWithin(m.b), tx.changedWithin(a.b), tx.changedWithin(inner.b)}
	})()
	transact(t, d, func(tx *Txn) { a.Push(tx, Int(1)) })
	if !slices.Equal(within, []bool{true, true, false}) {
		t.Errorf("a change of the array: %v", within)
	}
	transact(t, d, func(tx *Txn) { inner.Set(tx, "k", Int(1)) })
	if !slices.Equal(within, []bool{true, true, true}) {
		t.Errorf("a change of the inner map: %v", within)
	}
	transact(t, d, func(tx *Txn) {
		inner.Set(tx, "k", Int(2))
		a.Delete(tx, 0, 1)
	})
	if !slices.Equal(within, []bool{true, true, false}) {
		t.Errorf("a deleted type: %v", within)
	}
}
