package crdt

import (
	"fmt"
	"iter"

	"ysync/internal/lib0"
)

// This file is what arrays and XML children share: reading and editing a sequence of values
// (Yjs: AbstractType.js, the functions typeList*).

// eachValue hands the elements of an item to yield (Yjs: getContent). It reports whether to go on.
func (d *Doc) eachValue(it *item, yield func(Value) bool) bool {
	return d.valuesOf(it, it.length, d.data(it), yield)
}

// valuesOf is eachValue for n units, whose content is given.
func (d *Doc) valuesOf(it *item, n uint32, data []byte, yield func(Value) bool) bool {
	switch it.kind {
	case kindAny, kindJSON:
		r := lib0.NewWTF8Reader(data)
		for range n {
			if !yield(readAny(&r)) {
				return false
			}
		}
		return true
	case kindString:
		for _, u := range lib0.AppendUTF16(nil, string(data)) {
			if !yield(StringUTF16([]uint16{u})) {
				return false
			}
		}
		return true
	case kindDeleted, kindFormat, kindGC, kindSkip:
		return true
	}
	return yield(d.singleValue(it))
}

// singleValue is the content of an item of length one.
func (d *Doc) singleValue(it *item) Value {
	switch it.kind {
	case kindBinary:
		return Value{kind: ValueBytes, str: string(d.data(it))}
	case kindEmbed:
		r := lib0.NewWTF8Reader(d.data(it))
		return readAny(&r)
	case kindType:
		return d.typeValue(it.branch())
	case kindDoc:
		return d.subdocValue(it)
	}
	return Value{}
}

func (d *Doc) typeValue(b branchRef) Value {
	return Value{kind: ValueType, doc: d, num: uint64(b)}
}

// valueAt is one element of an item; undefined if its content is forgotten.
func (d *Doc) valueAt(it *item, unit uint32) Value {
	switch it.kind {
	case kindAny, kindJSON:
		r := lib0.NewWTF8Reader(d.valuesFrom(it, unit))
		return readAny(&r)
	case kindString:
		return StringUTF16(lib0.AppendUTF16(nil, string(d.data(it)))[unit:][:1])
	}
	return d.singleValue(it)
}

// lastValue is the last element of an item, which is what a key holds (Yjs: typeMapGet).
func (d *Doc) lastValue(it *item) Value { return d.valueAt(it, it.length-1) }

// listValues yields the elements of a sequence. The type must not change meanwhile.
func (d *Doc) listValues(b branchRef) iter.Seq[Value] {
	return func(yield func(Value) bool) {
		for r := d.start(b); r != 0; {
			it := d.item(r)
			r = it.right
			if it.countable() && !it.deleted() && !d.eachValue(it, yield) {
				return
			}
		}
	}
}

// listAt is element index of a sequence, undefined when there is none (Yjs: typeListGet).
func (d *Doc) listAt(b branchRef, index int) Value {
	if index < 0 || index >= int(d.branch(b).length) {
		return Value{}
	}
	r, at := d.start(b), 0
	if m, pos, ok := d.types.find(d, b, index); ok {
		r, at = d.types.holding(d, b, m, pos, index)
	}
	for index >= at+d.item(r).visibleUnits() {
		at += d.item(r).visibleUnits()
		r = d.item(r).right
	}
	return d.valueAt(d.item(r), uint32(index-at))
}

// checkList refuses what Yjs cannot put in a list.
func (d *Doc) checkList(b branchRef, vals []Value) error {
	for _, v := range vals {
		if v.kind == ValueUndefined || v.kind == ValueBigInt {
			return fmt.Errorf("%w: %v in a list", ErrValue, v.kind)
		}
		if err := d.checkValue(b, v); err != nil {
			return err
		}
	}
	return nil
}

// checkValue refuses values that cannot be stored in type b.
func (d *Doc) checkValue(b branchRef, v Value) error {
	switch v.kind {
	case ValueType:
		if v.ref == nil || v.ref.prelim == nil {
			return fmt.Errorf("%w: the type is in a document already", ErrValue)
		}
		levels := int(d.branch(b).depth) + v.ref.prelim.levels(0)
		if levels > d.limits.TypeDepth {
			return fmt.Errorf("%w: types nested %d deep", ErrLimit, levels)
		}
		return d.checkPrelim(b, v.ref.prelim)
	case ValueSubdoc:
		if !v.ref.sub.Meta.isPlain() {
			return fmt.Errorf("%w: metadata of a subdocument must be plain", ErrValue)
		}
		v = v.ref.sub.Meta
	}
	if v.nesting() > maxValueDepth-1 {
		return fmt.Errorf("%w: value nested too deep", ErrLimit)
	}
	if !v.isPlain() {
		return fmt.Errorf("%w: a shared type inside a plain value", ErrValue)
	}
	return nil
}

// checkPrelim checks all that a prefilled type holds; its nesting is checked before.
func (d *Doc) checkPrelim(b branchRef, p *prelim) error {
	if err := d.checkList(b, p.children); err != nil {
		return err
	}
	for _, f := range p.entries {
		if err := d.checkValue(b, f.Value); err != nil {
			return err
		}
	}
	for i := range p.delta {
		if err := d.checkOp(b, &p.delta[i]); err != nil {
			return err
		}
	}
	return nil
}

// levels is how many types deep a prefilled type goes, itself included.
func (p *prelim) levels(above int) int {
	if above > 1<<14 {
		return above
	}
	deepest := above + 1
	visit := func(v Value) {
		if v.kind == ValueType && v.ref != nil && v.ref.prelim != nil {
			deepest = max(deepest, v.ref.prelim.levels(above+1))
		}
	}
	for _, v := range p.children {
		visit(v)
	}
	for _, f := range p.entries {
		visit(f.Value)
	}
	for i := range p.delta {
		visit(p.delta[i].Insert)
	}
	return deepest
}

// insertAfter puts checked values behind item left, 0 meaning the start. Runs of plain values make
// one item (Yjs: typeListInsertGenericsAfter).
func (tx *Txn) insertAfter(b branchRef, left itemRef, vals []Value) {
	d := tx.doc
	right := d.start(b)
	if left != 0 {
		right = d.item(left).right
	}
	var run []byte
	n := 0
	flush := func() {
		if n > 0 && tx.err == nil {
			left = tx.insertItem(b, 0, left, right, contentAny(run, n))
		}
		run, n = run[:0], 0
	}
	for i, v := range vals {
		switch v.kind {
		case ValueBytes, ValueType, ValueSubdoc:
			flush()
			if tx.err != nil {
				return
			}
			left = tx.insertSingle(b, 0, left, right, v)
		default:
			if run == nil {
				const perValue = 8 // a number takes up to nine
				run = make([]byte, 0, perValue*(len(vals)-i+1))
			}
			run = appendAny(run, v)
			n++
		}
	}
	flush()
}

// insertSingle puts one value into an item of its own.
func (tx *Txn) insertSingle(b branchRef, key keyRef, left, right itemRef, v Value) itemRef {
	switch v.kind {
	case ValueBytes:
		return tx.insertItem(b, key, left, right, contentBinary([]byte(v.str)))
	case ValueSubdoc:
		sub := v.ref.sub
		r := tx.insertItem(b, key, left, right, contentDoc(sub.GUID, appendAny(nil, sub.options())))
		if r != 0 {
			tx.doc.typed().setLoad(tx.doc.item(r).id(), sub.ShouldLoad)
		}
		return r
	case ValueType:
		return tx.insertPrelim(b, key, left, right, v.ref.prelim)
	}
	return tx.insertItem(b, key, left, right, contentAny(appendAny(nil, v), 1))
}

// insertPrelim integrates a type and then its content, as Yjs does from ContentType.integrate.
func (tx *Txn) insertPrelim(b branchRef, key keyRef, left, right itemRef, p *prelim) itemRef {
	nb := tx.newBranch(p.kind, p.name)
	r := tx.insertItem(b, key, left, right, contentType(nb))
	if r == 0 {
		return 0
	}
	if len(p.children) > 0 {
		tx.insertAfter(nb, 0, p.children)
	}
	if len(p.delta) > 0 {
		tx.applyDelta(nb, p.delta, DeltaOptions{})
	}
	for _, f := range p.entries {
		tx.setKey(nb, toWTF8(f.Key), f.Value)
	}
	return r
}

// insertList inserts values before element index (Yjs: typeListInsertGenerics).
func (tx *Txn) insertList(b branchRef, index int, vals []Value) {
	d := tx.doc
	if err := d.checkList(b, vals); err != nil {
		tx.fail(err)
		return
	}
	if length := int(d.branch(b).length); index < 0 || index > length {
		tx.fail(fmt.Errorf("%w: index %d of %d", ErrRange, index, length))
		return
	}
	if index == 0 {
		d.types.shift(d, b, 0, len(vals))
		tx.insertAfter(b, 0, vals)
		return
	}
	left := tx.listBefore(b, index)
	d.types.shift(d, b, index, len(vals))
	tx.insertAfter(b, left, vals)
}

// listBefore is the item behind which element index goes, cut there if it went on; index is not 0. At
// an item that the search found to start there, that is the visible item before it.
func (tx *Txn) listBefore(b branchRef, index int) itemRef {
	d := tx.doc
	r, at, ok := d.types.find(d, b, index)
	if ok && at < index {
		return tx.cutBefore(b, r, at, index)
	}
	if ok {
		for r = d.item(r).left; r != 0 && d.item(r).deleted(); {
			r = d.item(r).left
		}
		return r
	}
	r = d.start(b)
	for ; r != 0; r = d.item(r).right {
		it := d.item(r)
		n := it.visibleUnits()
		if n > 0 && index <= n {
			if index < n {
				tx.split(r, uint32(index))
			}
			break
		}
		index -= n
	}
	return r
}

// pushList appends values (Yjs: typeListPushGenerics).
func (tx *Txn) pushList(b branchRef, vals []Value) {
	d := tx.doc
	if err := d.checkList(b, vals); err != nil {
		tx.fail(err)
		return
	}
	tx.insertAfter(b, d.types.last(d, b), vals)
}

// deleteList deletes n elements from index on. As in Yjs, elements up to the end go even if there
// are fewer than n, which is an error (Yjs: typeListDelete).
func (tx *Txn) deleteList(b branchRef, index, n int) {
	if n == 0 {
		return
	}
	d := tx.doc
	if length := int(d.branch(b).length); index < 0 || n < 0 || index > length {
		tx.fail(fmt.Errorf("%w: delete %d at %d of %d", ErrRange, n, index, length))
		return
	}
	want := n
	r := tx.listAtOrAfter(b, index)
	for ; n > 0 && r != 0; r = d.item(r).right {
		it := d.item(r)
		if it.deleted() {
			continue
		}
		if n < int(it.length) {
			tx.split(r, uint32(n))
			it = d.item(r)
		}
		n -= int(it.length)
		tx.deleteItem(r)
	}
	d.types.shift(d, b, index, n-want)
	if n > 0 {
		tx.fail(fmt.Errorf("%w: delete %d at %d, past the end by %d", ErrRange, want, index, n))
	}
}

// listAtOrAfter is the item at which element index starts, cut there, or a deleted one before it.
func (tx *Txn) listAtOrAfter(b branchRef, index int) itemRef {
	d := tx.doc
	r, at, ok := d.types.find(d, b, index)
	switch {
	case ok && at < index:
		return d.item(tx.cutBefore(b, r, at, index)).right
	case ok:
		return r
	}
	r = d.start(b)
	for ; r != 0 && index > 0; r = d.item(r).right {
		n := d.item(r).visibleUnits()
		if n > 0 && index < n {
			tx.split(r, uint32(index))
			n = index
		}
		index -= n
	}
	return r
}
