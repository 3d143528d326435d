package crdt

// uvarint reads a varUint of at most 53 bits; width is 0 when there is none.
func uvarint(b []byte) (v uint64, width int) {
	for i, c := range b {
		if i == 8 || i == 7 && c > 0x0f {
			return 0, 0
		}
		v |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			return v, i + 1
		}
	}
	return 0, 0
}
