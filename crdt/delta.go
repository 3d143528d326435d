package crdt

// DeltaKind says what an operation of a Delta does.
type DeltaKind uint8

// The operations of a Delta.
const (
	DeltaInsert DeltaKind = iota + 1
	DeltaRetain
	DeltaDelete
)

// DeltaOp is one operation of a Delta. Use InsertText, InsertValue, Retain and Remove to make one.
type DeltaOp struct {
	Kind DeltaKind
	// Insert is what DeltaInsert inserts: a string, or a value or shared type embedded as one unit.
	Insert Value
	// Len is what DeltaRetain skips or DeltaDelete deletes, in UTF-16 code units.
	Len int
	// Attrs are the attributes of inserted content, or the changes to retained content.
	Attrs Attrs
}

// Delta describes text with attributes, or a change to it, in Quill's Delta format.
type Delta []DeltaOp

// InsertText is an operation that inserts a string with exactly these attributes.
func InsertText(s string, attrs ...Field) DeltaOp {
	return DeltaOp{Kind: DeltaInsert, Insert: String(s), Attrs: attrs}
}

// InsertValue is an operation that inserts a value with exactly these attributes. A string is
// inserted as text, any other value as one embed.
func InsertValue(v Value, attrs ...Field) DeltaOp {
	return DeltaOp{Kind: DeltaInsert, Insert: v, Attrs: attrs}
}

// Retain is an operation that skips n UTF-16 code units and applies attrs to them.
func Retain(n int, attrs ...Field) DeltaOp {
	return DeltaOp{Kind: DeltaRetain, Len: n, Attrs: attrs}
}

// Remove is an operation that deletes n UTF-16 code units.
func Remove(n int) DeltaOp { return DeltaOp{Kind: DeltaDelete, Len: n} }

// Equal reports whether two deltas have equal operations in the same order.
func (d Delta) Equal(e Delta) bool {
	if len(d) != len(e) {
		return false
	}
	for i := range d {
		a, b := &d[i], &e[i]
		if a.Kind != b.Kind || a.Len != b.Len || !a.Insert.Equal(b.Insert) || !a.Attrs.Equal(b.Attrs) {
			return false
		}
	}
	return true
}
