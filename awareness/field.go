package awareness

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"unicode/utf8"
)

// ErrNotObject: a field was to be set in a state that is not a JSON object.
var ErrNotObject = errors.New("awareness: state is not an object")

// field is one entry of an object, its key decoded and its value as it is.
type field struct {
	key   string
	value []byte
}

// SetField returns the JSON object state with the field key set to the JSON
// value, as JavaScript prints {...state, [key]: value}: a key that is there
// keeps its place, a new one comes last, and keys that are array indexes come
// first in ascending order.
func SetField(state []byte, key string, value []byte) ([]byte, error) {
	if err := checkJSON(value); err != nil {
		return nil, &Error{Err: err}
	}
	fields, err := readFields(state)
	if err != nil {
		return nil, err
	}
	fields = putField(fields, key, value)
	slices.SortStableFunc(fields, func(a, b field) int {
		i, aIndex := arrayIndex(a.key)
		j, bIndex := arrayIndex(b.key)
		switch {
		case aIndex && bIndex:
			return int(i - j)
		case aIndex:
			return -1
		case bIndex:
			return 1
		default:
			return 0
		}
	})
	dst := make([]byte, 0, len(state)+len(key)+len(value)+4)
	dst = append(dst, '{')
	for i, f := range fields {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendQuoted(dst, f.key), ':')
		dst = append(dst, f.value...)
	}
	return append(dst, '}'), nil
}

func putField(fields []field, key string, value []byte) []field {
	for i := range fields {
		if fields[i].key == key {
			fields[i].value = value
			return fields
		}
	}
	return append(fields, field{key, value})
}

func readFields(state []byte) ([]field, error) {
	if err := checkJSON(state); err != nil {
		return nil, &Error{Err: err}
	}
	s := scanner{b: state}
	if s.peek() != '{' {
		return nil, ErrNotObject
	}
	var fields []field
	s.container('}', 1, func() {
		s.space()
		start := s.i
		s.str()
		var key string
		if err := json.Unmarshal(state[start:s.i], &key); err != nil {
			s.fail(ErrJSON)
		}
		s.expect(':')
		s.space()
		start = s.i
		s.value(MaxDepth)
		fields = putField(fields, key, state[start:s.i])
	})
	if s.err != nil {
		return nil, &Error{Offset: s.i, Err: s.err}
	}
	return fields, nil
}

// arrayIndex says whether JavaScript sorts the key as a number: 0 to 2^32-2,
// without leading zeros.
func arrayIndex(key string) (int64, bool) {
	if len(key) > 10 {
		return 0, false
	}
	i, err := strconv.ParseUint(key, 10, 32)
	if err != nil || i == 1<<32-1 || strconv.FormatUint(i, 10) != key {
		return 0, false
	}
	return int64(i), true
}

// appendQuoted appends s as JSON.stringify prints it.
func appendQuoted(dst []byte, s string) []byte {
	const short = "btn\x00fr" // the letters of 0x08 to 0x0d
	dst = append(dst, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r >= 0x08 && r <= 0x0d && r != 0x0b:
			dst = append(dst, '\\', short[r-0x08])
		case r < 0x20:
			const hex = "0123456789abcdef"
			dst = append(dst, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}
