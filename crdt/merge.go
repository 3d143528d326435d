package crdt

func (d *Doc) appendWithPending(dst []byte, v Version, sv StateVector) []byte { return dst }

// Merge joins updates.
func Merge(v Version, updates ...[]byte) ([]byte, error) {
	if len(updates) == 1 {
		return updates[0], nil
	}
	return nil, ErrLimit
}
