package crdt

// appendUvarint appends lib0's varUint: 7 bits a byte, least significant first.
func appendUvarint(dst []byte, v uint64) []byte {
	for v >= 0x80 {
		dst = append(dst, byte(v)|0x80)
		v >>= 7
	}
	return append(dst, byte(v))
}

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
