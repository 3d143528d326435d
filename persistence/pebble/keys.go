package pebble

import (
	"encoding/binary"
	"errors"

	"ysync/persistence"
)

// The first byte of a key says what it is the key of.
const (
	keyMeta   = 'm'
	keyRecord = 'r'
	keyEntry  = 'e'
)

const (
	escape     = 0x00
	escapeZero = 0xff // 00 ff stands for a zero byte of the name
	escapeEnd  = 0x01 // 00 01 ends the name
)

var formatKey = []byte{keyMeta, 'f', 'o', 'r', 'm', 'a', 't'}

// appendName appends a name such that two names compare as their encodings do,
// and no encoding is a prefix of another.
func appendName(dst []byte, name string) []byte {
	for i := range len(name) {
		dst = append(dst, name[i])
		if name[i] == escape {
			dst = append(dst, escapeZero)
		}
	}
	return append(dst, escape, escapeEnd)
}

var errKey = errors.New("malformed key")

// cutName undoes appendName and returns what follows the name.
func cutName(b []byte) (name string, rest []byte, err error) {
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] != escape {
			out = append(out, b[i])
			continue
		}
		if i++; i == len(b) {
			break
		}
		switch b[i] {
		case escapeZero:
			out = append(out, 0)
		case escapeEnd:
			return string(out), b[i+1:], nil
		default:
			return "", nil, errKey
		}
	}
	return "", nil, errKey
}

func appendRecordKey(dst []byte, name string) []byte {
	return appendName(append(dst, keyRecord), name)
}

// appendEntryPrefix appends what the keys of all entries of a document begin with.
func appendEntryPrefix(dst []byte, name string) []byte {
	return appendName(append(dst, keyEntry), name)
}

func appendEntryKey(dst []byte, name string, g persistence.Generation, p persistence.Position) []byte {
	return appendPlace(appendEntryPrefix(dst, name), g, p)
}

// keyPosition is the position at the end of a group's key: that of its last entry.
func keyPosition(key []byte) persistence.Position {
	return persistence.Position(binary.BigEndian.Uint64(key[len(key)-8:]))
}

// lastPosition is past every position.
const lastPosition = ^persistence.Position(0)

// entryBounds are a key before those of all entries of one generation, and one
// after them.
func entryBounds(name string, g persistence.Generation) (lower, upper []byte) {
	return appendEntryKey(nil, name, g, 0), appendEntryKey(nil, name, g, lastPosition)
}

// documentBounds are the keys of all entries of all generations.
func documentBounds(name string) (lower, upper []byte) {
	lower = appendEntryPrefix(nil, name)
	upper = appendEntryPrefix(nil, name)
	upper[len(upper)-1]++ // 00 02: after every key of the name, before the next name
	return lower, upper
}

// appendPlace appends a generation and a position to a document's entry prefix.
func appendPlace(dst []byte, g persistence.Generation, p persistence.Position) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(g))
	return binary.BigEndian.AppendUint64(dst, uint64(p))
}
