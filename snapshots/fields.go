package snapshots

import (
	"encoding/binary"
	"time"
)

// appendString appends a uvarint length and the bytes of s.
func appendString[S ~string | ~[]byte](dst []byte, s S) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

// appendTime appends t in whole milliseconds.
func appendTime(dst []byte, t time.Time) []byte {
	return binary.AppendVarint(dst, t.UnixMilli())
}

// fields reads the fields of a header or an entry. The first fault sticks: all
// later reads return zero values, and err tells what was wrong.
type fields struct {
	rest []byte
	err  error
}

func (f *fields) fail(what string) {
	if f.err == nil {
		f.err = corrupt("%s", what)
	}
	f.rest = nil
}

func (f *fields) uvarint() uint64 {
	v, n := binary.Uvarint(f.rest)
	if n <= 0 {
		f.fail("a number is cut short or too long")
		return 0
	}
	f.rest = f.rest[n:]
	return v
}

func (f *fields) time() time.Time {
	v, n := binary.Varint(f.rest)
	if n <= 0 {
		f.fail("a time is cut short or too long")
		return time.Time{}
	}
	f.rest = f.rest[n:]
	return time.UnixMilli(v).UTC()
}

// bytes returns the next n bytes, sharing the input's memory.
func (f *fields) bytes(n uint64) []byte {
	if n > uint64(len(f.rest)) {
		f.fail("a field is longer than what is left")
		return nil
	}
	b := f.rest[:n:n]
	f.rest = f.rest[n:]
	return b
}

// string returns a length-prefixed field, sharing the input's memory.
func (f *fields) string() []byte { return f.bytes(f.uvarint()) }

// end reports the first fault, or bytes that no field claims.
func (f *fields) end() error {
	if f.err == nil && len(f.rest) != 0 {
		f.fail("bytes are left over after the last field")
	}
	return f.err
}

// size reads a body size; one beyond the format's bounds is a fault.
func (f *fields) size() int64 {
	v := f.uvarint()
	if v > maxFileBytes {
		f.fail("a size is beyond the format's bound")
		return 0
	}
	return int64(v)
}
