package awareness

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
)

// equalJSON compares two valid JSON values as lib0 function.js equalityDeep
// compares what JavaScript reads from them: the order of keys, the spelling of
// numbers and strings, and space don't count.
func equalJSON(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	va, errA := readJSON(a)
	vb, errB := readJSON(b)
	return errA == nil && errB == nil && equalValues(va, vb)
}

func readJSON(b []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	err := d.Decode(&v)
	return v, err
}

func equalValues(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for k, v := range a {
			if w, ok := b[k]; !ok || !equalValues(v, w) {
				return false
			}
		}
		return true
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, equalValues)
	case json.Number:
		b, ok := b.(json.Number)
		return ok && float(a) == float(b)
	default:
		return a == b
	}
}

// float reads a number as JavaScript does: out of range is infinite.
func float(n json.Number) float64 {
	f, _ := strconv.ParseFloat(string(n), 64)
	return f
}
