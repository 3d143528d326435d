package crdt

import (
	"iter"
	"math"
	"slices"
	"strconv"

	"ysync/internal/lib0"
)

// ValueKind tells what a Value holds.
type ValueKind uint8

// The kinds of values. Those before ValueType are plain data.
const (
	ValueUndefined ValueKind = iota
	ValueNull
	ValueBool
	ValueNumber
	ValueBigInt
	ValueString
	ValueBytes
	ValueList
	ValueObject
	ValueType
	ValueSubdoc
)

var valueKindNames = [...]string{
	"undefined", "null", "bool", "number", "bigint", "string", "bytes", "list", "object", "type", "subdoc",
}

// String gives the kind's name in lower case.
func (k ValueKind) String() string {
	if int(k) < len(valueKindNames) {
		return valueKindNames[k]
	}
	return "kind(" + strconv.Itoa(int(k)) + ")"
}

// Value is one JavaScript value as Yjs stores it: plain data, a shared type, or a subdocument.
// The zero Value is undefined. Values are immutable; copying one is cheap. A Value may be shared
// between goroutines unless it holds a shared type, which belongs to its Doc.
//
// Strings are WTF-8: UTF-8, except that a lone UTF-16 surrogate, which JavaScript strings may
// contain, is kept as its three-byte form. Such a half becomes U+FFFD where it meets the wire.
type Value struct {
	// num is: bool: 0 or 1; number: float64 bits; bigint: int64 bits; type in a document: its branch;
	// value of a format item while its text is edited: Doc.formatToken.
	num  uint64
	str  string // string, bytes
	ref  *compound
	doc  *Doc // type in a document
	kind ValueKind
}

// compound is what does not fit in a Value. Two values with the same compound are the same
// JavaScript object, which the rules of text formatting can tell from an equal one.
type compound struct {
	keys   []string // object: its keys
	vals   []Value  // object: values of keys; list: its elements
	prelim *prelim  // type that is not in a document yet
	sub    *Subdoc
}

// Field is one entry of an object, a map, or a set of attributes.
type Field struct {
	Key   string
	Value Value
}

// Undefined is JavaScript's undefined; it differs from Null.
func Undefined() Value { return Value{} }

// Null is JavaScript's null. As the value of a text attribute it means "no such attribute".
func Null() Value { return Value{kind: ValueNull} }

// Bool is a boolean.
func Bool(b bool) Value {
	if b {
		return Value{kind: ValueBool, num: 1}
	}
	return Value{kind: ValueBool}
}

// Number is a JavaScript number: any float64, with -0, the infinities and NaN.
func Number(f float64) Value {
	if f != f {
		f = math.NaN()
	}
	return Value{kind: ValueNumber, num: math.Float64bits(f)}
}

// Int is a JavaScript number of integral value. Beyond ±2^53 it loses precision, as in JavaScript.
func Int(i int) Value { return Number(float64(i)) }

// BigInt is a JavaScript bigint in the 64 bits that the wire format has for it.
func BigInt(i int64) Value { return Value{kind: ValueBigInt, num: uint64(i)} }

// String is a string. Bytes that are not WTF-8 become U+FFFD.
func String(s string) Value { return Value{kind: ValueString, str: toWTF8(s)} }

// StringUTF16 is a string given as UTF-16 code units, which may hold lone surrogates.
func StringUTF16(units []uint16) Value {
	return Value{kind: ValueString, str: lib0.FromUTF16(units)}
}

// Bytes is a Uint8Array. It keeps a copy of b.
func Bytes(b []byte) Value { return Value{kind: ValueBytes, str: string(b)} }

// List is a plain JavaScript array; for the shared type see NewArray. It keeps vals.
func List(vals ...Value) Value { return Value{kind: ValueList, ref: &compound{vals: vals}} }

// Object is a plain JavaScript object; for the shared type see NewMap. The keys come in the order
// of JavaScript: integer-like keys first and ascending, then the others as given. Of equal keys the
// last value counts, at the place of the first.
func Object(fields ...Field) Value {
	var b objectBuilder
	for _, f := range fields {
		b.set(toWTF8(f.Key), f.Value)
	}
	return b.value()
}

// objectBuilder collects the properties of an object in JavaScript's order.
type objectBuilder struct {
	keys []string
	vals []Value
	// index is built once there are many keys, so that hostile objects cost no quadratic search.
	index    map[string]int
	integers int // how many keys are integer-like
}

const objectIndexFrom = 16

func (b *objectBuilder) find(key string) int {
	if b.index != nil {
		if i, ok := b.index[key]; ok {
			return i
		}
		return -1
	}
	return slices.Index(b.keys, key)
}

func (b *objectBuilder) set(key string, v Value) {
	if i := b.find(key); i >= 0 {
		b.vals[i] = v
		return
	}
	if _, ok := arrayIndex(key); ok {
		b.integers++
	}
	b.keys = append(b.keys, key)
	b.vals = append(b.vals, v)
	switch {
	case b.index != nil:
		b.index[key] = len(b.keys) - 1
	case len(b.keys) == objectIndexFrom:
		b.index = make(map[string]int, 2*objectIndexFrom)
		for i, k := range b.keys {
			b.index[k] = i
		}
	}
}

func (b *objectBuilder) value() Value {
	if b.integers > 0 {
		b.sortIntegersFirst()
	}
	return Value{kind: ValueObject, ref: &compound{keys: b.keys, vals: b.vals}}
}

func (b *objectBuilder) sortIntegersFirst() {
	order := make([]int, len(b.keys))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(x, y int) int {
		nx, okx := arrayIndex(b.keys[x])
		ny, oky := arrayIndex(b.keys[y])
		switch {
		case okx && oky:
			return int(int64(nx) - int64(ny))
		case okx:
			return -1
		case oky:
			return 1
		}
		return 0
	})
	keys, vals := make([]string, len(order)), make([]Value, len(order))
	for i, j := range order {
		keys[i], vals[i] = b.keys[j], b.vals[j]
	}
	b.keys, b.vals = keys, vals
}

// arrayIndex reports whether key is the canonical decimal form of 0 to 2^32-2. JavaScript orders
// such property names before all others.
func arrayIndex(key string) (uint32, bool) {
	if key == "" || len(key) > 10 || (key[0] == '0' && len(key) > 1) {
		return 0, false
	}
	var n uint64
	for i := range len(key) {
		c := key[i]
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return uint32(n), n < math.MaxUint32
}

// Kind tells what the value is.
func (v Value) Kind() ValueKind { return v.kind }

// IsUndefined reports whether v is undefined: what a missing key or index reads as.
func (v Value) IsUndefined() bool { return v.kind == ValueUndefined }

// IsNull reports whether v is null.
func (v Value) IsNull() bool { return v.kind == ValueNull }

// Bool is the boolean v holds, else false.
func (v Value) Bool() bool { return v.kind == ValueBool && v.num != 0 }

// Number is the number v holds, else 0.
func (v Value) Number() float64 {
	if v.kind != ValueNumber {
		return 0
	}
	return math.Float64frombits(v.num)
}

// BigInt is the bigint v holds, else 0.
func (v Value) BigInt() int64 {
	if v.kind != ValueBigInt {
		return 0
	}
	return int64(v.num)
}

// Str is the string v holds, in WTF-8, else "".
func (v Value) Str() string {
	if v.kind != ValueString {
		return ""
	}
	return v.str
}

// Bytes is a copy of the bytes v holds, else nil.
func (v Value) Bytes() []byte {
	if v.kind != ValueBytes {
		return nil
	}
	return []byte(v.str)
}

// Len is the number of elements of a list, of entries of an object, of UTF-16 code units of a
// string, of bytes of a Uint8Array; else 0.
func (v Value) Len() int {
	switch v.kind {
	case ValueString:
		return lib0.UTF16Len(v.str)
	case ValueBytes:
		return len(v.str)
	case ValueList, ValueObject:
		return len(v.ref.vals)
	}
	return 0
}

// Index is element i of a list; undefined when there is none.
func (v Value) Index(i int) Value {
	if v.kind != ValueList || i < 0 || i >= len(v.ref.vals) {
		return Value{}
	}
	return v.ref.vals[i]
}

// Field is the value of an object's key; undefined when there is none.
func (v Value) Field(key string) Value {
	if v.kind == ValueObject {
		if i := slices.Index(v.ref.keys, key); i >= 0 {
			return v.ref.vals[i]
		}
	}
	return Value{}
}

// Elements yields the elements of a list in order.
func (v Value) Elements() iter.Seq[Value] {
	return func(yield func(Value) bool) {
		if v.kind != ValueList {
			return
		}
		for _, e := range v.ref.vals {
			if !yield(e) {
				return
			}
		}
	}
}

// Fields yields the entries of an object in JavaScript's order.
func (v Value) Fields() iter.Seq2[string, Value] {
	return func(yield func(string, Value) bool) {
		if v.kind != ValueObject {
			return
		}
		for i, k := range v.ref.keys {
			if !yield(k, v.ref.vals[i]) {
				return
			}
		}
	}
}

// Equal reports deep equality of plain data: lists by element, objects by key whatever the order,
// numbers by value except that NaN equals NaN and -0 differs from 0. Shared types are equal when
// they are the same one, and so are references to documents.
func (v Value) Equal(w Value) bool {
	if v.kind != w.kind {
		return false
	}
	switch v.kind {
	case ValueList:
		return slices.EqualFunc(v.ref.vals, w.ref.vals, Value.Equal)
	case ValueObject:
		if len(v.ref.keys) != len(w.ref.keys) {
			return false
		}
		for i, k := range v.ref.keys {
			j := i
			if w.ref.keys[i] != k {
				j = slices.Index(w.ref.keys, k)
			}
			if j < 0 || !v.ref.vals[i].Equal(w.ref.vals[j]) {
				return false
			}
		}
		return true
	case ValueSubdoc, ValueType:
		if v.kind == ValueSubdoc && v.doc != nil {
			return v.doc == w.doc && v.num == w.num
		}
		return v.ref == w.ref && v.doc == w.doc && v.num == w.num
	}
	return v.num == w.num && v.str == w.str
}

// same is JavaScript's ===: identity for objects, NaN unequal to itself, -0 equal to 0.
func (v Value) same(w Value) bool {
	if v.kind != w.kind {
		return false
	}
	switch v.kind {
	case ValueNumber:
		return v.Number() == w.Number()
	case ValueString, ValueBool, ValueBigInt, ValueUndefined, ValueNull:
		return v.num == w.num && v.str == w.str
	}
	if v.isJSObject() && v.num != 0 {
		return v.num == w.num
	}
	return v.ref != nil && v.ref == w.ref
}

// sameFlat is how Yjs compares attribute values (YText.js equalAttrs): === or, for two objects,
// the same keys with values that are ===. Nested objects are thus equal only if they are identical.
func (v Value) sameFlat(w Value) bool {
	if v.same(w) {
		return true
	}
	if !v.isJSObject() || !w.isJSObject() {
		return false
	}
	if v.Len() != w.Len() {
		return false
	}
	for key, val := range v.properties() {
		other, ok := w.property(key)
		if !ok || !other.same(val) {
			return false
		}
	}
	return true
}

// isJSObject reports whether JavaScript's typeof gives "object" for plain data other than null.
func (v Value) isJSObject() bool {
	return v.kind == ValueBytes || v.kind == ValueList || v.kind == ValueObject
}

// properties yields what a for-in loop of JavaScript visits: an object's entries, a list's elements
// and a string's code units and a byte array's bytes by their index.
func (v Value) properties() iter.Seq2[string, Value] {
	return func(yield func(string, Value) bool) {
		switch v.kind {
		case ValueObject:
			v.Fields()(yield)
		case ValueList:
			for i, e := range v.ref.vals {
				if !yield(strconv.Itoa(i), e) {
					return
				}
			}
		case ValueBytes:
			for i := range len(v.str) {
				if !yield(strconv.Itoa(i), Int(int(v.str[i]))) {
					return
				}
			}
		case ValueString:
			for i, u := range lib0.AppendUTF16(nil, v.str) {
				if !yield(strconv.Itoa(i), StringUTF16([]uint16{u})) {
					return
				}
			}
		}
	}
}

func (v Value) property(key string) (Value, bool) {
	if v.kind == ValueObject {
		i := slices.Index(v.ref.keys, key)
		if i < 0 {
			return Value{}, false
		}
		return v.ref.vals[i], true
	}
	i, ok := arrayIndex(key)
	if !ok || int(i) >= v.Len() {
		return Value{}, false
	}
	if v.kind == ValueBytes {
		return Int(int(v.str[i])), true
	}
	return v.ref.vals[i], true
}
