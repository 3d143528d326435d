package crdt

import (
	"bytes"

	"ysync/internal/lib0"
)

// textPos is a place between two items of a text, with the attributes that hold there
// (Yjs: YText.js ItemTextListPosition).
type textPos struct {
	left, right itemRef
	index       int // units before the place
	attrs       Attrs
}

// forward steps over the item to the right, which must exist.
func (p *textPos) forward(d *Doc) {
	it := d.item(p.right)
	if !it.deleted() {
		if it.kind == kindFormat {
			p.attrs.apply(d.format(it))
		} else {
			p.index += int(it.length)
		}
	}
	p.left, p.right = p.right, it.right
}

// advance steps over n units, cutting the item in which they end, and tells how many items that were
// (Yjs: findNextPosition).
func (p *textPos) advance(tx *Txn, n int) (steps int) {
	d := tx.doc
	for ; p.right != 0 && n > 0; steps++ {
		it := d.item(p.right)
		if !it.deleted() {
			if it.kind == kindFormat {
				p.attrs.apply(d.format(it))
			} else {
				if n < int(it.length) {
					tx.split(p.right, uint32(n))
					it = d.item(p.right)
				}
				p.index += int(it.length)
				n -= int(it.length)
			}
		}
		p.left, p.right = p.right, it.right
	}
	return steps
}

// textAt finds the place before unit index with the attributes that hold there, as a walk from the
// start does (Yjs: findPosition).
func (tx *Txn) textAt(b branchRef, index int) textPos {
	d := tx.doc
	p := textPos{right: d.start(b)}
	if index == 0 || p.right == 0 {
		return p
	}
	m := d.types.need(d, b)
	if m.index == nil {
		m.walked(p.advance(tx, index))
		return p
	}
	p = m.index.textAt(d, index)
	if p.index > index {
		length := d.item(p.left).length
		tx.split(p.left, length-uint32(p.index-index))
		p.right, p.index = d.item(p.left).right, index
	}
	return p
}

// textNear is textAt by way of the type's markers, which exist only while it has no formats.
func (tx *Txn) textNear(b branchRef, index int) textPos {
	r, at, ok := tx.doc.types.find(tx.doc, b, index)
	if !ok {
		return tx.textAt(b, index)
	}
	return tx.textFrom(b, r, at, index)
}

// textFrom finds the place before unit index from what typeState.find gave for it.
func (tx *Txn) textFrom(b branchRef, r itemRef, at, index int) textPos {
	d := tx.doc
	if at == index {
		return textPos{left: d.item(r).left, right: r, index: index}
	}
	if length := int(d.branch(b).length); index > length {
		return textPos{left: d.types.end(d, b, r), index: length}
	}
	r = tx.cutBefore(b, r, at, index)
	return textPos{left: r, right: d.item(r).right, index: index}
}

// cutBefore is the visible item that ends before unit index, cut there if it went on. The walk to it
// starts at item r with at units, less than index, before it.
func (tx *Txn) cutBefore(b branchRef, r itemRef, at, index int) itemRef {
	d := tx.doc
	r, at = d.types.holding(d, b, r, at, index-1)
	if index-at < int(d.item(r).length) {
		tx.split(r, uint32(index-at))
	}
	return r
}

// format reads a format item. An object among the values carries the identity that the JavaScript
// object has in Yjs: see Doc.formatToken.
func (d *Doc) format(it *item) (key string, v Value) {
	k, enc := d.formatParts(it)
	key = d.key(d.internBytes(k))
	switch {
	case len(enc) == 1 && enc[0] == byte(lib0.TagNull):
		return key, Null()
	case len(enc) == 1 && enc[0] == byte(lib0.TagTrue):
		return key, Bool(true)
	}
	r := lib0.NewWTF8Reader(enc)
	v = readAny(&r)
	if v.isJSObject() {
		v.num = d.formatToken(it.id())
	}
	return key, v
}

// formatToken identifies the JavaScript object that is the value of a format item. Yjs compares
// such objects by identity where it removes redundant formats, and a replica shares one object
// between the items that it made itself to end and resume a format. The token of an item is its ID,
// or that of the item whose value it took over.
func (d *Doc) formatToken(u unitID) uint64 {
	if t, ok := d.types.token(u); ok {
		return t
	}
	return uint64(u.client)<<32 | uint64(u.clock)
}

// insertFormat puts a format item at the place and steps over it.
func (p *textPos) insertFormat(tx *Txn, b branchRef, key string, v Value) {
	d := tx.doc
	r := tx.insertItem(b, 0, p.left, p.right, contentFormat(key, appendAny(nil, v)))
	if r == 0 {
		return
	}
	if v.isJSObject() && v.num != 0 {
		d.typed().setToken(d.item(r).id(), v.num)
	}
	p.right = r
	p.forward(d)
}

// skipRedundant steps right over deleted items and over formats that attrs asks for anyway
// (Yjs: minimizeAttributeChanges).
func (p *textPos) skipRedundant(d *Doc, attrs Attrs) {
	for p.right != 0 {
		it := d.item(p.right)
		if !it.deleted() {
			if it.kind != kindFormat {
				return
			}
			key, v := d.format(it)
			if !attrs.orNull(key).sameFlat(v) {
				return
			}
		}
		p.forward(d)
	}
}

// openAttrs inserts formats so that attrs hold from here on, and returns the values they replace
// (Yjs: insertAttributes).
func (p *textPos) openAttrs(tx *Txn, b branchRef, attrs Attrs) (negated Attrs) {
	for _, f := range attrs {
		current := p.attrs.orNull(f.Key)
		if current.sameFlat(f.Value) {
			continue
		}
		negated.set(f.Key, current)
		p.insertFormat(tx, b, f.Key, f.Value)
	}
	return negated
}

// closeAttrs restores the replaced values, unless the formats to the right do so already
// (Yjs: insertNegatedAttributes).
func (p *textPos) closeAttrs(tx *Txn, b branchRef, negated Attrs) {
	d := tx.doc
	for p.right != 0 {
		it := d.item(p.right)
		if !it.deleted() {
			if it.kind != kindFormat {
				break
			}
			key, v := d.format(it)
			i := negated.index(key)
			if i < 0 || !negated[i].Value.sameFlat(v) {
				break
			}
			negated.remove(key)
		}
		p.forward(d)
	}
	for _, f := range negated {
		p.insertFormat(tx, b, f.Key, f.Value)
	}
}

// insertText inserts content with exactly the given attributes; attributes that hold at the place
// and are not given end there (Yjs: insertText).
func (p *textPos) insertText(tx *Txn, b branchRef, v Value, attrs Attrs) {
	d := tx.doc
	for _, f := range p.attrs {
		if attrs.index(f.Key) < 0 {
			attrs = append(attrs[:len(attrs):len(attrs)], Field{f.Key, Null()})
		}
	}
	attrs = attrs.ordered()
	p.skipRedundant(d, attrs)
	negated := p.openAttrs(tx, b, attrs)
	if tx.err != nil {
		return
	}
	n := 1
	if v.kind == ValueString {
		n = lib0.UTF16Len(v.str)
	}
	d.types.shift(d, b, p.index, n)
	if v.kind == ValueString && p.extendText(tx, b, v.str, n) {
		p.closeAttrs(tx, b, negated)
		return
	}
	var r itemRef
	switch v.kind {
	case ValueString:
		r = tx.insertItem(b, 0, p.left, p.right, contentText([]byte(v.str)))
	case ValueType:
		r = tx.insertPrelim(b, 0, p.left, p.right, v.ref.prelim)
	default:
		r = tx.insertItem(b, 0, p.left, p.right, contentEmbed(appendAny(nil, v)))
	}
	if r == 0 {
		return
	}
	p.right = r
	p.forward(d)
	p.closeAttrs(tx, b, negated)
}

// formatText changes the attributes of the next n units. Beyond the end of the text it first adds
// line feeds, as editors expect (Yjs: formatText).
func (p *textPos) formatText(tx *Txn, b branchRef, n int, attrs Attrs) {
	d := tx.doc
	p.skipRedundant(d, attrs)
	negated := p.openAttrs(tx, b, attrs)
scan:
	for p.right != 0 && tx.err == nil {
		it := d.item(p.right)
		if n <= 0 && (len(negated) == 0 || !it.deleted() && it.kind != kindFormat) {
			break
		}
		switch {
		case it.deleted():
		case it.kind == kindFormat:
			key, v := d.format(it)
			i := attrs.index(key)
			if i < 0 {
				p.attrs.set(key, v)
				break
			}
			if attrs[i].Value.sameFlat(v) {
				negated.remove(key)
			} else {
				if n == 0 {
					break scan
				}
				negated.set(key, v)
			}
			tx.deleteItem(p.right)
		default:
			if n < int(it.length) {
				tx.split(p.right, uint32(n))
				it = d.item(p.right)
			}
			n -= int(it.length)
		}
		p.forward(d)
	}
	if n > 0 && tx.err == nil {
		p.padWithLineFeeds(tx, b, n)
	}
	p.closeAttrs(tx, b, negated)
}

func (p *textPos) padWithLineFeeds(tx *Txn, b branchRef, n int) {
	if n > maxPadding {
		tx.fail(ErrRange)
		return
	}
	feeds := bytes.Repeat([]byte{'\n'}, n)
	if r := tx.insertItem(b, 0, p.left, p.right, contentText(feeds)); r != 0 {
		p.right = r
		p.forward(tx.doc)
	}
}

// maxPadding bounds the line feeds that formatting beyond the end may add: a wrong length must not
// fill the memory.
const maxPadding = 1 << 20

// deleteText deletes the next n units, fewer at the end of the text, and the formats that become
// redundant by it (Yjs: deleteText).
func (p *textPos) deleteText(tx *Txn, b branchRef, n int) {
	d := tx.doc
	want := n
	first := p.right
	var before Attrs
	if d.branch(b).flags&branchHasFormat != 0 {
		before = append(before, p.attrs...)
	}
	for n > 0 && p.right != 0 {
		it := d.item(p.right)
		if !it.deleted() && it.kind != kindFormat && it.countable() {
			if n < int(it.length) {
				tx.split(p.right, uint32(n))
				it = d.item(p.right)
			}
			n -= int(it.length)
			tx.deleteItem(p.right)
		}
		p.forward(d)
	}
	if first != 0 {
		tx.cleanGap(first, p.right, before, &p.attrs)
	}
	d.types.shift(d, b, p.index, n-want)
}
