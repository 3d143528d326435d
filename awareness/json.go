package awareness

import (
	"bytes"
	"unicode/utf8"
)

// MaxDepth bounds the nesting of a state. JavaScript reads any depth and then
// fails to print or compare what it read, at some thousands.
const MaxDepth = 100

// checkJSON reports whether b is anything but one JSON value (RFC 8259), as
// ErrUTF8, ErrDepth or ErrJSON. It builds nothing.
func checkJSON(b []byte) error {
	if !utf8.Valid(b) {
		return ErrUTF8
	}
	s := scanner{b: b}
	s.value(MaxDepth)
	s.space()
	if s.err == nil && s.i != len(b) {
		s.err = ErrJSON
	}
	return s.err
}

// scanner walks over JSON text. The first failure sticks and ends the walk.
type scanner struct {
	b   []byte
	i   int // next byte of b
	err error
}

func (s *scanner) fail(err error) {
	if s.err == nil {
		s.err = err
	}
	s.i = len(s.b)
}

func (s *scanner) space() {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ' ', '\t', '\n', '\r':
			s.i++
		default:
			return
		}
	}
}

// peek skips space and returns the next byte, 0 at the end.
func (s *scanner) peek() byte {
	s.space()
	if s.i == len(s.b) {
		return 0
	}
	return s.b[s.i]
}

func (s *scanner) expect(c byte) {
	if s.peek() != c || c == 0 {
		s.fail(ErrJSON)
		return
	}
	s.i++
}

// value walks over one value that may hold depth levels of containers.
func (s *scanner) value(depth int) {
	switch c := s.peek(); c {
	case '{':
		s.container('}', depth, func() {
			s.str()
			s.expect(':')
			s.value(depth - 1)
		})
	case '[':
		s.container(']', depth, func() { s.value(depth - 1) })
	case '"':
		s.str()
	case 't':
		s.word("true")
	case 'f':
		s.word("false")
	case 'n':
		s.word("null")
	default:
		s.number()
	}
}

// container walks from the opening bracket to past the closing one.
func (s *scanner) container(end byte, depth int, element func()) {
	if depth == 0 {
		s.fail(ErrDepth)
		return
	}
	s.i++
	if s.peek() == end {
		s.i++
		return
	}
	for s.err == nil {
		element()
		if s.peek() != ',' {
			s.expect(end)
			return
		}
		s.i++
	}
}

func (s *scanner) word(w string) {
	if !bytes.HasPrefix(s.b[s.i:], []byte(w)) {
		s.fail(ErrJSON)
		return
	}
	s.i += len(w)
}

func (s *scanner) str() {
	s.expect('"')
	for s.i < len(s.b) {
		c := s.b[s.i]
		s.i++
		switch {
		case c == '"':
			return
		case c < 0x20:
			s.fail(ErrJSON)
			return
		case c == '\\':
			s.escape()
		}
	}
	s.fail(ErrJSON)
}

func (s *scanner) escape() {
	if s.i == len(s.b) {
		s.fail(ErrJSON)
		return
	}
	c := s.b[s.i]
	s.i++
	switch c {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
	case 'u':
		for range 4 {
			if s.i == len(s.b) || !isHex(s.b[s.i]) {
				s.fail(ErrJSON)
				return
			}
			s.i++
		}
	default:
		s.fail(ErrJSON)
	}
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func (s *scanner) number() {
	if s.at('-') {
		s.i++
	}
	if s.at('0') {
		s.i++
	} else {
		s.digits()
	}
	if s.at('.') {
		s.i++
		s.digits()
	}
	if s.at('e') || s.at('E') {
		s.i++
		if s.at('+') || s.at('-') {
			s.i++
		}
		s.digits()
	}
}

func (s *scanner) at(c byte) bool { return s.i < len(s.b) && s.b[s.i] == c }

// digits walks over one digit or more.
func (s *scanner) digits() {
	start := s.i
	for s.i < len(s.b) && '0' <= s.b[s.i] && s.b[s.i] <= '9' {
		s.i++
	}
	if s.i == start {
		s.fail(ErrJSON)
	}
}

func isNull(b []byte) bool {
	if len(b) > 0 && b[0] > ' ' && b[0] != 'n' {
		return false
	}
	return bytes.Equal(bytes.Trim(b, " \t\n\r"), null)
}

// isFalsy says whether JavaScript takes the value for false: null, false, "",
// and every zero.
func isFalsy(b []byte) bool {
	b = bytes.Trim(b, " \t\n\r")
	switch string(b) {
	case "null", "false", `""`:
		return true
	}
	for i, c := range b {
		switch {
		case c == 'e' || c == 'E':
			return i > 0
		case c != '0' && c != '.' && !(c == '-' && i == 0):
			return false
		}
	}
	return len(b) > 0
}
