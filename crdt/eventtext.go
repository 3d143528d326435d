package crdt

// Delta is the change of a text in Quill's format: applied to the text as it was
// before the transaction, it gives the text as it is now, attributes included. It
// is nil if the target is no text; see List. (Yjs: YTextEvent.delta.)
//
// As in Yjs, an embedded number or boolean does not show, and where the change
// left formats behind that have no effect they are deleted in a transaction of its
// own, unless Options.NoFormatCleanup is set.
func (e *Event) Delta() Delta {
	if !e.hasDelta && e.open() {
		e.hasDelta = true
		if k := e.doc.branch(e.target).kind; k == KindText || k == KindXMLText {
			e.delta = e.readDelta()
		}
	}
	return e.delta
}

// deltaReader builds the delta of a text event, item by item.
type deltaReader struct {
	e   *Event
	out Delta

	action DeltaKind // of the operation that is being built; 0 for none
	text   []byte    // to insert
	units  int       // to retain or delete

	current Attrs // that hold after the transaction
	old     Attrs // that held before it
	changes Attrs // of what is retained

	next *Txn // deletes formats; nil until one has to go
}

func (e *Event) readDelta() Delta {
	d := e.doc
	w := deltaReader{e: e, out: Delta{}}
	for r := d.start(e.target); r != 0; r = d.item(r).right {
		switch it := d.item(r); it.kind {
		case kindType, kindEmbed:
			w.embed(it)
		case kindString:
			w.string(it)
		case kindFormat:
			w.format(r)
		}
	}
	w.flush()
	if w.next != nil {
		d.tx = nil
	}
	for n := len(w.out); n > 0 && w.out[n-1].Kind == DeltaRetain && len(w.out[n-1].Attrs) == 0; n-- {
		w.out = w.out[:n-1]
	}
	return w.out
}

// begin goes on with an operation of this kind, or ends another one.
func (w *deltaReader) begin(k DeltaKind) {
	if w.action != k {
		w.flush()
		w.action = k
	}
}

// end ends an operation of this kind, since attributes change.
func (w *deltaReader) end(k DeltaKind) {
	if w.action == k {
		w.flush()
	}
}

func (w *deltaReader) flush() {
	switch w.action {
	case DeltaInsert:
		if len(w.text) > 0 {
			w.insert(Value{kind: ValueString, str: string(w.text)})
		}
		w.text = w.text[:0]
	case DeltaRetain:
		if w.units > 0 {
			w.out = append(w.out, DeltaOp{Kind: DeltaRetain, Len: w.units, Attrs: w.changes.copy()})
		}
	case DeltaDelete:
		if w.units > 0 {
			w.out = append(w.out, DeltaOp{Kind: DeltaDelete, Len: w.units})
		}
	}
	w.action, w.units = 0, 0
}

func (w *deltaReader) insert(v Value) {
	w.out = append(w.out, DeltaOp{Kind: DeltaInsert, Insert: v, Attrs: w.current.copy()})
}

func (w *deltaReader) embed(it *item) {
	if w.e.adds(it) && !w.e.deletes(it) {
		w.flush()
		switch v := w.e.doc.singleValue(it); v.kind {
		case ValueNumber, ValueBool, ValueBigInt, ValueUndefined:
		case ValueString:
			if v.str != "" {
				w.insert(v)
			}
		default:
			w.insert(v)
		}
		return
	}
	w.keepOrDelete(it)
}

func (w *deltaReader) string(it *item) {
	if w.e.adds(it) && !w.e.deletes(it) {
		w.begin(DeltaInsert)
		w.text = appendJoined(w.text, w.e.doc.data(it))
		return
	}
	w.keepOrDelete(it)
}

// keepOrDelete accounts for content that was there before, or came and went.
func (w *deltaReader) keepOrDelete(it *item) {
	switch {
	case w.e.adds(it):
	case w.e.deletes(it):
		w.begin(DeltaDelete)
		w.units += int(it.length)
	case !it.deleted():
		w.begin(DeltaRetain)
		w.units += int(it.length)
	}
}

// format accounts for a format item. What is retained behind it gets the
// difference between the values that hold there now and those that held before.
func (w *deltaReader) format(r itemRef) {
	e := w.e
	it := e.doc.item(r)
	key, v := e.doc.format(it)
	adds, deletes := e.adds(it), e.deletes(it)
	gone := it.deleted()
	switch {
	case adds && deletes:
	case adds:
		if !w.current.orNull(key).sameFlat(v) {
			w.end(DeltaRetain)
			if v.sameFlat(w.old.orNull(key)) {
				w.changes.remove(key)
			} else {
				w.changes.set(key, v)
			}
		} else if v.kind != ValueNull {
			w.redundant(r)
			gone = true
		}
	case deletes:
		w.old.set(key, v)
		if now := w.current.orNull(key); !now.sameFlat(v) {
			w.end(DeltaRetain)
			w.changes.set(key, now)
		}
	case !gone:
		w.old.set(key, v)
		i := w.changes.index(key)
		switch {
		case i < 0:
		case !w.changes[i].Value.sameFlat(v):
			w.end(DeltaRetain)
			if v.kind == ValueNull {
				w.changes.remove(key)
			} else {
				w.changes.set(key, v)
			}
		case v.kind != ValueNull:
			w.redundant(r)
			gone = true
		}
	}
	if !gone {
		w.end(DeltaInsert)
		w.current.apply(key, v)
	}
}

// redundant deletes a format that has no effect.
func (w *deltaReader) redundant(r itemRef) {
	d := w.e.doc
	if d.noFormatCleanup {
		return
	}
	tx := d.tx
	if tx == nil {
		tx = d.begin(nil)
		tx.local = true
		tx.tracked = d.watch.tracks()
		w.next = tx
	}
	tx.deleteItem(r)
}
