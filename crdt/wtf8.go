package crdt

// utf16Len counts the UTF-16 code units of WTF-8 text.
func utf16Len(b []byte) uint32 {
	n := uint32(0)
	for _, c := range b {
		switch {
		case c < 0x80 || c >= 0xc0 && c < 0xf0:
			n++
		case c >= 0xf0:
			n += 2
		}
	}
	return n
}
