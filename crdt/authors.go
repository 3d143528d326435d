package crdt

import "iter"

// Authors yields who made the text, in order: runs whose lengths in UTF-16 code units add up to Len. An
// embedded value is one unit. The text must not change meanwhile.
func (t Text) Authors() iter.Seq[Run] { return t.authors() }

// Authors yields who made the elements, in order: runs whose lengths add up to Len. The array must not
// change meanwhile.
func (a Array) Authors() iter.Seq[Run] { return a.authors() }

// Authors yields who made the children, in order: runs whose lengths add up to Len. The fragment must
// not change meanwhile.
func (f XMLFragment) Authors() iter.Seq[Run] { return f.authors() }

// Author is the unit that set the value of a key; false if it has none.
func (m Map) Author(key string) (ID, bool) { return m.author(key) }

// AttrAuthor is the unit that set an attribute; false if there is none.
func (e XMLElement) AttrAuthor(key string) (ID, bool) { return e.author(key) }

// AttrAuthor is the unit that set an attribute of the text as a whole; false if there is none.
func (t Text) AttrAuthor(key string) (ID, bool) { return t.author(key) }

func (n node) author(key string) (ID, bool) {
	if n.doc == nil {
		return ID{}, false
	}
	r := n.doc.liveKey(n.b, toWTF8(key))
	if r == 0 {
		return ID{}, false
	}
	return n.doc.publicID(n.doc.item(r).lastID()), true
}

func (n node) authors() iter.Seq[Run] {
	return func(yield func(Run) bool) {
		if n.doc == nil {
			return
		}
		d := n.doc
		var run Run
		for r := d.start(n.b); r != 0; {
			it := d.item(r)
			r = it.right
			if it.visibleUnits() == 0 {
				continue
			}
			id := d.publicID(it.id())
			if !run.follows(id) {
				if run.Clocks.Len() > 0 && !yield(run) {
					return
				}
				run = Run{id.Client, Range{id.Clock, id.Clock}}
			}
			run.Clocks.To += Clock(it.length)
		}
		if run.Clocks.Len() > 0 {
			yield(run)
		}
	}
}
