package lib0

import "unicode/utf8"

// IsWellFormed says whether s contains no lone surrogate and no other bytes
// outside UTF-8, so that it is written to the wire as it is.
func IsWellFormed(s string) bool { return utf8.ValidString(s) }

// UTF16Len returns the length of s in UTF-16 code units. A lone surrogate
// (see the package comment) counts one.
func UTF16Len[T ~string | ~[]byte](s T) int {
	n := 0
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < 0x80 || c >= 0xc0 {
			n++
			if c >= 0xf0 {
				n++
			}
		}
	}
	return n
}

// WellFormed returns s with surrogate halves that are neighbours joined and
// every other half, like every byte outside UTF-8, replaced by U+FFFD
// (JavaScript: String.prototype.toWellFormed).
func WellFormed(s string) string {
	if IsWellFormed(s) {
		return s
	}
	return string(appendWellFormed(make([]byte, 0, len(s)), s))
}

// AppendUTF16 appends the code units of s, lone surrogates included.
func AppendUTF16(dst []uint16, s string) []uint16 {
	for i := 0; i < len(s); {
		if u, ok := surrogateAt(s, i); ok {
			dst = append(dst, u)
			i += 3
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r >= 0x10000 {
			r -= 0x10000
			dst = append(dst, 0xd800+uint16(r>>10), 0xdc00+uint16(r&0x3ff))
		} else {
			dst = append(dst, uint16(r))
		}
		i += n
	}
	return dst
}

// FromUTF16 returns the string of the given code units; pairs are joined, lone
// surrogates kept.
func FromUTF16(units []uint16) string {
	b := make([]byte, 0, len(units))
	for i := 0; i < len(units); i++ {
		u := units[i]
		if isHigh(u) && i+1 < len(units) && isLow(units[i+1]) {
			b = utf8.AppendRune(b, joinSurrogates(u, units[i+1]))
			i++
			continue
		}
		b = AppendUnit(b, u)
	}
	return string(b)
}

// AppendUnit appends one code unit; a surrogate gets the three bytes described
// in the package comment.
func AppendUnit(dst []byte, u uint16) []byte {
	if isHigh(u) || isLow(u) {
		return append(dst, 0xed, 0x80|byte(u>>6&0x3f), 0x80|byte(u&0x3f))
	}
	return utf8.AppendRune(dst, rune(u))
}

func appendWellFormed(dst []byte, s string) []byte {
	for i := 0; i < len(s); {
		u, ok := surrogateAt(s, i)
		if !ok {
			r, n := utf8.DecodeRuneInString(s[i:])
			dst = utf8.AppendRune(dst, r)
			i += n
			continue
		}
		i += 3
		if low, ok := surrogateAt(s, i); ok && isHigh(u) && isLow(low) {
			dst = utf8.AppendRune(dst, joinSurrogates(u, low))
			i += 3
			continue
		}
		dst = utf8.AppendRune(dst, utf8.RuneError)
	}
	return dst
}

// surrogateAt decodes a surrogate spelt with three bytes at s[i:].
func surrogateAt(s string, i int) (uint16, bool) {
	if i+2 >= len(s) || s[i] != 0xed || s[i+1] < 0xa0 || s[i+1] > 0xbf || s[i+2]&0xc0 != 0x80 {
		return 0, false
	}
	return 0xd000 | uint16(s[i+1]&0x3f)<<6 | uint16(s[i+2]&0x3f), true
}

func isHigh(u uint16) bool { return u&0xfc00 == 0xd800 }
func isLow(u uint16) bool  { return u&0xfc00 == 0xdc00 }

func joinSurrogates(high, low uint16) rune {
	return 0x10000 + rune(high-0xd800)<<10 + rune(low-0xdc00)
}
