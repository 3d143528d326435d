package crdt

import (
	"slices"
	"unicode/utf16"
	"unicode/utf8"

	"ysync/internal/lib0"
)

// WTF-8 is UTF-8 that may also hold lone UTF-16 surrogates, each as the three bytes that UTF-8's
// scheme gives its code point. A high half directly before a low half is always the four bytes of
// the character instead, so that every JavaScript string has exactly one form.

// surrogateLow is the first of the low halves; those before it are the high ones.
const surrogateLow = 0xDC00

// surrogateAt decodes the three-byte form of a surrogate at s[i:], or gives 0.
func surrogateAt[T string | []byte](s T, i int) uint16 {
	if i+2 < len(s) && s[i] == 0xED && s[i+1] >= 0xA0 && s[i+1] <= 0xBF && s[i+2]&0xC0 == 0x80 {
		return 0xD000 | uint16(s[i+1]&0x3F)<<6 | uint16(s[i+2]&0x3F)
	}
	return 0
}

// toWTF8 gives s itself if it is well-formed, else a copy with bytes that are no WTF-8 as U+FFFD
// and halves that stand side by side joined.
func toWTF8(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	dst := make([]byte, 0, len(s))
	for i := 0; i < len(s); {
		if u := surrogateAt(s, i); u != 0 {
			if u < surrogateLow {
				if low := surrogateAt(s, i+3); low >= surrogateLow {
					dst = utf8.AppendRune(dst, utf16.DecodeRune(rune(u), rune(low)))
					i += 6
					continue
				}
			}
			dst = lib0.AppendUnit(dst, u)
			i += 3
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		dst = utf8.AppendRune(dst, r)
		i += n
	}
	return string(dst)
}

// compareUTF16 orders two WTF-8 strings as JavaScript's < does, by code unit. It differs from the
// order of bytes where a character beyond the BMP meets one of U+E000 to U+FFFF.
func compareUTF16(a, b string) int {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	if i == len(a) || i == len(b) {
		return len(a) - len(b)
	}
	ca, cb := a[i], b[i]
	if min(ca, cb) == 0xED && max(ca, cb) >= 0xF0 {
		// A half may meet the pair that starts with it.
		return slices.Compare(lib0.AppendUTF16(nil, a[i:]), lib0.AppendUTF16(nil, b[i:]))
	}
	// Both lead bytes differ, or the strings share a lead byte and differ in the same character.
	if ca >= 0xC0 && cb >= 0xC0 && (ca >= 0xF0) != (cb >= 0xF0) && min(ca, cb) >= 0xEE {
		return int(cb) - int(ca)
	}
	return int(ca) - int(cb)
}

// cutBetween tells whether a surrogate pair is cut between two texts.
func cutBetween(a, b []byte) bool {
	if surrogateAt(b, 0) < surrogateLow || len(a) < 3 {
		return false
	}
	high := surrogateAt(a, len(a)-3)
	return high != 0 && high < surrogateLow
}

// appendJoined appends WTF-8 to WTF-8, joining a surrogate pair cut between them.
func appendJoined(dst, s []byte) []byte {
	if cutBetween(dst, s) {
		at := len(dst) - 3
		pair := []uint16{surrogateAt(dst, at), surrogateAt(s, 0)}
		dst, s = append(dst[:at], lib0.FromUTF16(pair)...), s[3:]
	}
	return append(dst, s...)
}
