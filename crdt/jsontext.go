package crdt

import (
	"bytes"
	"math"
	"strconv"
	"unicode/utf16"

	"ysync/internal/lib0"
)

// appendStringify appends what JavaScript's JSON.stringify gives for plain data: numbers in its
// notation, NaN and the infinities as null, a Uint8Array as an object of its indexes, undefined left
// out of objects and null in lists, lone surrogates escaped. A bigint, where JavaScript throws, comes
// out as its digits; callers that must refuse it look before.
func appendStringify(dst []byte, v Value) []byte {
	switch v.kind {
	case ValueBool:
		return strconv.AppendBool(dst, v.num != 0)
	case ValueNumber:
		f := v.Number()
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return append(dst, "null"...)
		}
		return appendJSNumber(dst, f)
	case ValueBigInt:
		return strconv.AppendInt(dst, int64(v.num), 10)
	case ValueString:
		return appendJSONString(dst, v.str)
	case ValueBytes:
		dst = append(dst, '{')
		for i := range len(v.str) {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = strconv.AppendInt(append(dst, '"'), int64(i), 10)
			dst = strconv.AppendInt(append(dst, `":`...), int64(v.str[i]), 10)
		}
		return append(dst, '}')
	case ValueList, ValueObject:
		return v.ref.appendJSON(dst, v.kind, appendStringify)
	}
	return append(dst, "null"...)
}

// appendJSON appends the elements of a list or the properties of an object, without undefined ones.
func (c *compound) appendJSON(dst []byte, kind ValueKind, appendValue func([]byte, Value) []byte) []byte {
	if kind == ValueList {
		dst = append(dst, '[')
		for i, e := range c.vals {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendValue(dst, e)
		}
		return append(dst, ']')
	}
	dst = append(dst, '{')
	first := true
	for i, k := range c.keys {
		if c.vals[i].kind == ValueUndefined {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(appendJSONString(dst, k), ':')
		dst = appendValue(dst, c.vals[i])
	}
	return append(dst, '}')
}

// stringifyAny is appendStringify for a value in the Any encoding.
func stringifyAny(dst []byte, r *lib0.Reader) []byte {
	switch t := r.Tag(); t {
	case lib0.TagString:
		return appendJSONString(dst, view(r.Bytes()))
	case lib0.TagArray:
		dst = append(dst, '[')
		for i := range r.Count(lib0.MinArrayElement) {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = stringifyAny(dst, r)
		}
		return append(dst, ']')
	case lib0.TagObject:
		dst = append(dst, '{')
		start := len(dst)
		for range r.Count(lib0.MinObjectEntry) {
			key := r.Bytes()
			if ahead := *r; ahead.Tag() == lib0.TagUndefined {
				*r = ahead
				continue
			}
			if len(dst) > start {
				dst = append(dst, ',')
			}
			dst = stringifyAny(append(appendJSONString(dst, view(key)), ':'), r)
		}
		return append(dst, '}')
	default:
		return appendStringify(dst, readScalar(r, t))
	}
}

// appendJSNumber appends a number as JavaScript's Number.prototype.toString does.
func appendJSNumber(dst []byte, f float64) []byte {
	switch {
	case f != f:
		return append(dst, "NaN"...)
	case math.IsInf(f, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(f, -1):
		return append(dst, "-Infinity"...)
	case f == 0:
		return append(dst, '0')
	}
	if abs := math.Abs(f); abs >= 1e-6 && abs < 1e21 {
		return strconv.AppendFloat(dst, f, 'f', -1, 64)
	}
	start := len(dst)
	dst = strconv.AppendFloat(dst, f, 'e', -1, 64)
	// Go writes at least two digits of exponent, JavaScript as many as it takes.
	e := start + bytes.IndexByte(dst[start:], 'e') + 2
	if dst[e] == '0' {
		dst = append(dst[:e], dst[e+1:]...)
	}
	return dst
}

const hexDigits = "0123456789abcdef"

// appendJSONString appends a WTF-8 string in quotes, escaped as JSON.stringify does.
func appendJSONString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\r':
			dst = append(dst, '\\', 'r')
		case c == '\t':
			dst = append(dst, '\\', 't')
		case c == '\b':
			dst = append(dst, '\\', 'b')
		case c == '\f':
			dst = append(dst, '\\', 'f')
		case c < 0x20:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		case c == 0xED && surrogateAt(s, i) != 0:
			u := surrogateAt(s, i)
			dst = append(dst, '\\', 'u', hexDigits[u>>12], hexDigits[u>>8&15], hexDigits[u>>4&15], hexDigits[u&15])
			i += 2
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}

// appendFromJSON appends the value of valid JSON text in the Any encoding.
func appendFromJSON(dst, text []byte) []byte {
	switch string(text) {
	case "null":
		return lib0.AppendTag(dst, lib0.TagNull)
	case "true":
		return lib0.AppendTag(dst, lib0.TagTrue)
	case "false":
		return lib0.AppendTag(dst, lib0.TagFalse)
	case "undefined":
		return lib0.AppendTag(dst, lib0.TagUndefined)
	}
	dst, _ = appendJSONValue(dst, text)
	return dst
}

// validJSON tells whether JSON.parse accepts src, with values nested at most maxValueDepth deep.
func validJSON(src []byte) bool {
	p := jsonParser{src: src, only: true}
	return p.whole()
}

// appendJSONValue appends what JSON.parse makes of src in the Any encoding, with values nested at most
// maxValueDepth deep. src is UTF-8. Of equal keys the last counts, as in JavaScript.
func appendJSONValue(dst, src []byte) ([]byte, bool) {
	p := jsonParser{src: src, out: anyWriter{dst: dst}}
	ok := p.whole()
	return p.out.dst, ok
}

// jsonParser is a recursive-descent reader whose first failure sticks.
type jsonParser struct {
	src  []byte
	pos  int
	bad  bool
	only bool      // only to tell whether it is valid
	out  anyWriter // what was read so far
	buf  []byte    // the last string with escapes
}

func (p *jsonParser) whole() bool {
	p.space()
	p.value(0)
	p.space()
	return !p.bad && p.pos == len(p.src)
}

func (p *jsonParser) fail() { p.bad, p.pos = true, len(p.src) }

func (p *jsonParser) space() {
	for p.pos < len(p.src) {
		switch p.src[p.pos] {
		case ' ', '\t', '\n', '\r':
			p.pos++
		default:
			return
		}
	}
}

// next consumes c if it comes next after white space.
func (p *jsonParser) next(c byte) bool {
	p.space()
	if p.pos < len(p.src) && p.src[p.pos] == c {
		p.pos++
		return true
	}
	return false
}

func (p *jsonParser) literal(s string, t lib0.Tag) {
	if !bytes.HasPrefix(p.src[p.pos:], []byte(s)) {
		p.fail()
		return
	}
	p.pos += len(s)
	if !p.only {
		p.out.dst = lib0.AppendTag(p.out.dst, t)
	}
}

func (p *jsonParser) value(depth int) {
	if p.pos >= len(p.src) {
		p.fail()
		return
	}
	c := p.src[p.pos]
	if (c == '[' || c == '{') && depth >= maxValueDepth {
		p.fail()
		return
	}
	switch c {
	case 'n':
		p.literal("null", lib0.TagNull)
	case 't':
		p.literal("true", lib0.TagTrue)
	case 'f':
		p.literal("false", lib0.TagFalse)
	case '"':
		if s := p.string(); !p.only {
			p.out.dst = lib0.AppendBytes(lib0.AppendTag(p.out.dst, lib0.TagString), s)
		}
	case '[':
		p.list(depth)
	case '{':
		p.object(depth)
	default:
		p.number()
	}
}

func (p *jsonParser) list(depth int) {
	p.pos++
	count, n := 0, 0
	if !p.only {
		count, _ = p.out.open(lib0.TagArray)
	}
	if !p.next(']') {
		for {
			p.space()
			p.value(depth + 1)
			n++
			if p.next(']') {
				break
			}
			if !p.next(',') {
				p.fail()
				return
			}
		}
	}
	if !p.only {
		p.out.closeList(count, n)
	}
}

func (p *jsonParser) object(depth int) {
	p.pos++
	count, first := 0, 0
	if !p.only {
		count, first = p.out.open(lib0.TagObject)
	}
	if !p.next('}') {
		for {
			p.space()
			if p.pos >= len(p.src) || p.src[p.pos] != '"' {
				p.fail()
				return
			}
			if key := p.string(); !p.only {
				p.out.property(key)
			}
			if !p.next(':') {
				p.fail()
				return
			}
			p.space()
			p.value(depth + 1)
			if p.next('}') {
				break
			}
			if !p.next(',') {
				p.fail()
				return
			}
		}
	}
	if !p.only {
		p.out.closeObject(count, first)
	}
}

// string reads a quoted string; p.pos is at the opening quote. The result is good until the next one.
func (p *jsonParser) string() []byte {
	p.pos++
	start := p.pos
	for p.pos < len(p.src) && p.src[p.pos] != '"' && p.src[p.pos] != '\\' && p.src[p.pos] >= 0x20 {
		p.pos++
	}
	if p.pos < len(p.src) && p.src[p.pos] == '"' {
		p.pos++
		return p.src[start : p.pos-1]
	}
	p.buf = append(p.buf[:0], p.src[start:p.pos]...)
	halves := false
	for p.pos < len(p.src) {
		c := p.src[p.pos]
		p.pos++
		switch {
		case c == '"':
			if halves && !p.only {
				return []byte(toWTF8(string(p.buf)))
			}
			return p.buf
		case c == '\\':
			u, ok := p.escape()
			if !ok {
				p.fail()
				return nil
			}
			halves = halves || utf16.IsSurrogate(rune(u))
			p.buf = lib0.AppendUnit(p.buf, u)
		case c < 0x20:
			p.fail()
			return nil
		default:
			p.buf = append(p.buf, c)
		}
	}
	p.fail()
	return nil
}

// escape reads what follows a backslash.
func (p *jsonParser) escape() (uint16, bool) {
	if p.pos >= len(p.src) {
		return 0, false
	}
	c := p.src[p.pos]
	p.pos++
	switch c {
	case '"', '\\', '/':
		return uint16(c), true
	case 'b':
		return '\b', true
	case 'f':
		return '\f', true
	case 'n':
		return '\n', true
	case 'r':
		return '\r', true
	case 't':
		return '\t', true
	case 'u':
		if p.pos+4 > len(p.src) {
			return 0, false
		}
		var u uint16
		for _, h := range p.src[p.pos : p.pos+4] {
			d := bytes.IndexByte([]byte(hexDigits), h|0x20)
			if h >= '0' && h <= '9' {
				d = int(h - '0')
			}
			if d < 0 || (h < 'A' && (h < '0' || h > '9')) {
				return 0, false
			}
			u = u<<4 | uint16(d)
		}
		p.pos += 4
		return u, true
	}
	return 0, false
}

func (p *jsonParser) digits() int {
	start := p.pos
	for p.pos < len(p.src) && p.src[p.pos] >= '0' && p.src[p.pos] <= '9' {
		p.pos++
	}
	return p.pos - start
}

func (p *jsonParser) number() {
	start := p.pos
	if p.src[p.pos] == '-' {
		p.pos++
	}
	first := p.pos
	if n := p.digits(); n == 0 || (n > 1 && p.src[first] == '0') {
		p.fail()
		return
	}
	if p.pos < len(p.src) && p.src[p.pos] == '.' {
		p.pos++
		if p.digits() == 0 {
			p.fail()
			return
		}
	}
	if p.pos < len(p.src) && p.src[p.pos]|0x20 == 'e' {
		p.pos++
		if p.pos < len(p.src) && (p.src[p.pos] == '+' || p.src[p.pos] == '-') {
			p.pos++
		}
		if p.digits() == 0 {
			p.fail()
			return
		}
	}
	if p.only {
		return
	}
	// Out of range means an infinity, as in JavaScript.
	f, _ := strconv.ParseFloat(view(p.src[start:p.pos]), 64)
	p.out.dst = lib0.AppendAnyNumber(p.out.dst, f)
}
