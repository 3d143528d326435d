package crdt

// Diff cuts from an update what sv knows, byte for byte as Yjs does
// (diffUpdate). The delete set stays whole. Errors are those of Merge.
func Diff(v Version, update []byte, sv StateVector) ([]byte, error) {
	r, err := newUpdateReader(v, update, 0)
	if err != nil {
		return nil, err
	}
	w := rawWriter{e: newEncoder(v, nil)}
	var b rawBlock
	alive := r.next(&b)
	for alive {
		client := b.client
		known := uint64(sv.Get(client))
		if b.kind == kindSkip {
			// The first block that is written must not be a skip.
			alive = r.next(&b)
			continue
		}
		if b.end() > known {
			if known > b.clock {
				b.slice(known - b.clock)
			}
			w.write(&b)
			for alive = r.next(&b); alive && b.client == client; alive = r.next(&b) {
				w.write(&b)
			}
			continue
		}
		for alive && b.client == client && b.end() <= known {
			alive = r.next(&b)
		}
	}
	if err := w.finishFrom(r); err != nil {
		return nil, err
	}
	return w.e.finish(), nil
}

// Convert writes an update in another encoding (Yjs: convertUpdateFormat). What V2
// says by reference V1 says in full: the result may take 64 times the bytes. Errors
// are those of Merge.
func Convert(from, to Version, update []byte) ([]byte, error) {
	r, err := newUpdateReader(from, update, 0)
	if err != nil {
		return nil, err
	}
	w := rawWriter{e: newEncoder(to, nil)}
	var b rawBlock
	for end := uint64(0); r.next(&b); end = b.end() {
		// Only the first block of a section says its clock: two sections of one
		// client, one after the other, become one.
		if w.written > 0 && b.client == w.client && b.clock != end {
			r.fail(malformed("sections of one client that do not follow each other"))
			break
		}
		w.write(&b)
	}
	if err := w.finishFrom(r); err != nil {
		return nil, err
	}
	return w.e.finish(), nil
}

// copy writes all of an update.
func (w *rawWriter) copy(r *updateReader) error {
	var b rawBlock
	for r.next(&b) {
		w.write(&b)
	}
	return w.finishFrom(r)
}

// finishFrom ends the blocks and copies the delete set of an update.
func (w *rawWriter) finishFrom(r *updateReader) error {
	w.finish()
	deletes, err := r.deleteSet()
	if err != nil {
		return err
	}
	writeIDSet(w.e, &deletes)
	return nil
}

// StateVectorOf is the state that an update alone gives: for each client whose
// blocks start at clock 0, the clock up to the first hole. Errors are those of Merge.
// (Yjs: encodeStateVectorFromUpdate.)
func StateVectorOf(v Version, update []byte) (StateVector, error) {
	r, err := newUpdateReader(v, update, 0)
	if err != nil {
		return StateVector{}, err
	}
	out := make([]clientClock, 0, r.likelySections())
	var b rawBlock
	open := false
	for first := true; r.next(&b); first = false {
		if n := len(out); first || n == 0 || out[n-1].client != b.client {
			out = append(out, clientClock{client: b.client})
			open = b.clock == 0
		}
		if b.kind == kindSkip {
			open = false
		}
		if open {
			out[len(out)-1].clock = Clock(b.end())
		}
	}
	if err := r.drain(); err != nil {
		return StateVector{}, err
	}
	kept := out[:0]
	for _, e := range out {
		if e.clock > 0 {
			kept = append(kept, e)
		}
	}
	return newStateVector(kept), nil
}
