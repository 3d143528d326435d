package vectors

import (
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"ysync/internal/lib0"
)

// UnmarshalJSON keeps the order of object keys.
func (v *Value) UnmarshalJSON(b []byte) error {
	p := parser{b: b}
	got, err := p.value()
	if err != nil {
		return err
	}
	*v = got
	return nil
}

// parser reads JSON that encoding/json has found to be valid.
type parser struct {
	b []byte
	i int
}

func (p *parser) peek() byte {
	for p.i < len(p.b) {
		switch c := p.b[p.i]; c {
		case ' ', '\t', '\n', '\r', ',', ':':
			p.i++
		default:
			return c
		}
	}
	return 0
}

func (p *parser) value() (Value, error) {
	switch p.peek() {
	case 'n':
		p.i += len("null")
		return Value{Kind: Null}, nil
	case 't':
		p.i += len("true")
		return Value{Kind: Bool, Bool: true}, nil
	case 'f':
		p.i += len("false")
		return Value{Kind: Bool}, nil
	case '"':
		s, err := p.str()
		return Value{Kind: String, Str: s}, err
	case '[':
		return p.list()
	case '{':
		return p.object()
	}
	start := p.i
	for p.i < len(p.b) && isNumeral(p.b[p.i]) {
		p.i++
	}
	f, err := strconv.ParseFloat(string(p.b[start:p.i]), 64)
	return Value{Kind: Number, Num: f}, err
}

func isNumeral(c byte) bool {
	return c >= '0' && c <= '9' || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E'
}

func (p *parser) list() (Value, error) {
	v := Value{Kind: List, List: []Value{}}
	for p.i++; ; {
		switch p.peek() {
		case 0:
			return v, fmt.Errorf("vectors: list without end")
		case ']':
			p.i++
			return v, nil
		}
		e, err := p.value()
		if err != nil {
			return v, err
		}
		v.List = append(v.List, e)
	}
}

func (p *parser) object() (Value, error) {
	v := Value{Kind: Object}
	for p.i++; ; {
		switch p.peek() {
		case 0:
			return v, fmt.Errorf("vectors: object without end")
		case '}':
			p.i++
			return v, nil
		}
		key, err := p.str()
		if err != nil {
			return v, err
		}
		e, err := p.value()
		if err != nil {
			return v, err
		}
		v.Fields = append(v.Fields, Field{key, e})
	}
}

func (p *parser) str() (string, error) {
	start := p.i
	escaped := false
	for p.i++; p.i < len(p.b) && p.b[p.i] != '"'; p.i++ {
		if p.b[p.i] == '\\' {
			escaped = true
			p.i++
		}
	}
	p.i++
	if p.i > len(p.b) {
		return "", fmt.Errorf("vectors: string without end")
	}
	if raw := p.b[start+1 : p.i-1]; !escaped && utf8.Valid(raw) {
		return string(raw), nil
	}
	return unescape(p.b[start+1 : p.i-1])
}

var escapes = map[byte]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// unescape reads what stands between quotes. Lone surrogates stay, as Value.Text spells them.
func unescape(b []byte) (string, error) {
	var units []uint16
	for i := 0; i < len(b); {
		switch {
		case b[i] != '\\':
			r, n := utf8.DecodeRune(b[i:])
			units = utf16.AppendRune(units, r)
			i += n
		case b[i+1] != 'u':
			units = append(units, uint16(escapes[b[i+1]]))
			i += 2
		default:
			u, err := strconv.ParseUint(string(b[i+2:i+6]), 16, 16)
			if err != nil {
				return "", fmt.Errorf("vectors: %w", err)
			}
			units = append(units, uint16(u))
			i += 6
		}
	}
	return lib0.FromUTF16(units), nil
}
