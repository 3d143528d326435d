package differential

import (
	"iter"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"

	"ysync/crdt"
	"ysync/internal/lib0"
	"ysync/internal/vectors"
)

// random draws edits that fit a document.
type random struct {
	*rand.Rand
	// plainText leaves out characters outside the basic plane, so that no
	// surrogate pair can be cut.
	plainText bool
}

func num(n int) vectors.Value { return vectors.MakeNumber(float64(n)) }

// str joins the surrogate halves that meet in s.
func str(s string) vectors.Value {
	return vectors.MakeString(lib0.FromUTF16(lib0.AppendUTF16(nil, s)))
}

func obj(fs ...vectors.Field) vectors.Value { return vectors.MakeObject(fs...) }

// place is a shared type in a document.
type place struct {
	path []vectors.Value
	t    crdt.Value
}

// place draws a shared type: a root, or one somewhere below it.
func (r random) place(name string, root crdt.Value) place {
	at := place{[]vectors.Value{str(name)}, root}
	for depth := 0; depth < 12 && r.IntN(5) > 1; depth++ {
		step, child := r.child(at.t)
		if step.Kind == vectors.Absent {
			break
		}
		at.path, at.t = append(at.path, step), child
	}
	return at
}

// child draws a shared type directly below one, with the step that leads there.
func (r random) child(t crdt.Value) (vectors.Value, crdt.Value) {
	kind, _ := t.TypeKind()
	switch kind {
	case crdt.KindText, crdt.KindXMLText:
		switch r.IntN(8) {
		case 0, 1:
			return r.embedded(t.Text())
		case 2:
			return r.keyed(t.Text().Attrs())
		}
	case crdt.KindArray:
		return r.listed(t.Array().Len(), t.Array().At)
	case crdt.KindMap, crdt.KindXMLHook:
		return r.keyed(t.Map().All())
	case crdt.KindXMLFragment, crdt.KindXMLElement:
		if kind == crdt.KindXMLElement && r.IntN(8) == 0 {
			return r.keyed(t.XMLElement().Attrs())
		}
		return r.listed(t.XMLFragment().Len(), t.XMLFragment().At)
	}
	return vectors.Value{}, t
}

func (r random) listed(n int, at func(int) crdt.Value) (vectors.Value, crdt.Value) {
	for range min(n, 3) {
		i := r.IntN(n)
		if e := at(i); e.Kind() == crdt.ValueType {
			return num(i), e
		}
	}
	return vectors.Value{}, crdt.Value{}
}

func (r random) keyed(all iter.Seq2[string, crdt.Value]) (step vectors.Value, child crdt.Value) {
	n := 0
	for key, e := range all {
		if e.Kind() != crdt.ValueType {
			continue
		}
		if n++; r.IntN(n) == 0 {
			step, child = str(key), e
		}
	}
	return step, child
}

func (r random) embedded(t crdt.Text) (step vectors.Value, child crdt.Value) {
	i, n := 0, 0
	for op := range t.Chunks() {
		switch op.Insert.Kind() {
		case crdt.ValueString:
			continue
		case crdt.ValueType:
			if n++; r.IntN(n) == 0 {
				step, child = num(i), op.Insert
			}
		}
		i++
	}
	return step, child
}

// appendEdit draws an edit of a type, or some typing.
func (r random) appendEdit(ops []vectors.Op, at place) []vectors.Op {
	if kind, _ := at.t.TypeKind(); (kind == crdt.KindText || kind == crdt.KindXMLText) && r.IntN(3) == 0 {
		return r.typing(ops, at)
	}
	op := r.op(at.t)
	op.At = at.path
	return append(ops, op)
}

// typing is characters typed one after the other, some of them taken back.
func (r random) typing(ops []vectors.Op, at place) []vectors.Op {
	i := r.IntN(at.t.Text().Len() + 1)
	var a *vectors.Value
	if r.IntN(8) == 0 {
		a = r.maybeAttrs()
	}
	typed := 0
	for range 1 + r.IntN(40) {
		if typed > 0 && r.IntN(8) == 0 {
			typed--
			ops = append(ops, vectors.Op{O: "del", At: at.path, I: i + typed, N: 1})
			continue
		}
		ops = append(ops, vectors.Op{O: "ins", At: at.path, I: i + typed, S: str(string(rune('a' + r.IntN(26)))), A: a})
		typed++
	}
	return ops
}

func (r random) op(t crdt.Value) vectors.Op {
	kind, _ := t.TypeKind()
	switch kind {
	case crdt.KindText, crdt.KindXMLText:
		return r.textOp(t.Text().Len())
	case crdt.KindArray:
		return r.listOp(t.Array().Len(), r.element)
	case crdt.KindMap, crdt.KindXMLHook:
		return r.mapOp()
	}
	if kind == crdt.KindXMLElement && r.IntN(3) == 0 {
		return r.attribute()
	}
	return r.xmlOp(t.XMLFragment().Len())
}

func (r random) textOp(n int) vectors.Op {
	i := r.IntN(n + 1)
	switch r.IntN(12) {
	case 0, 1, 2, 3:
		return vectors.Op{O: "ins", I: i, S: str(r.text()), A: r.maybeAttrs()}
	case 4, 5, 6:
		return vectors.Op{O: "del", I: i, N: r.IntN(min(n-i, 8) + 1)}
	case 7, 8:
		a := r.attrs()
		return vectors.Op{O: "fmt", I: i, N: r.IntN(n - i + 1), A: &a}
	case 9:
		v := obj(vectors.Field{Key: "image", Value: r.jsonValue()})
		if r.IntN(3) == 0 {
			v = r.shared(0)
		}
		return vectors.Op{O: "emb", I: i, V: v, A: r.maybeAttrs()}
	case 10:
		return r.attribute()
	}
	return vectors.Op{O: "delta", D: r.delta(n)}
}

func (r random) delta(n int) vectors.Value {
	var d []vectors.Value
	for range 1 + r.IntN(4) {
		var fs []vectors.Field
		switch k := r.IntN(4); {
		case k == 0 && n > 0:
			m := 1 + r.IntN(n)
			n -= m
			fs = append(fs, vectors.Field{Key: "delete", Value: num(m)})
		case k == 1 && n > 0:
			m := 1 + r.IntN(n)
			n -= m
			fs = append(fs, vectors.Field{Key: "retain", Value: num(m)})
			if a := r.maybeAttrs(); a != nil {
				fs = append(fs, vectors.Field{Key: "attributes", Value: *a})
			}
		default:
			insert := str(r.text())
			switch r.IntN(12) {
			case 0, 1:
				insert = obj(vectors.Field{Key: "image", Value: r.jsonValue()})
			case 2:
				insert = r.shared(1)
			}
			fs = append(fs, vectors.Field{Key: "insert", Value: insert})
			if a := r.maybeAttrs(); a != nil {
				fs = append(fs, vectors.Field{Key: "attributes", Value: *a})
			}
		}
		d = append(d, obj(fs...))
	}
	return vectors.MakeList(d...)
}

// text draws text to insert.
func (r random) text() string {
	s := r.words()
	if r.IntN(60) == 0 {
		s = strings.Repeat(s, 1+r.IntN(300))
	}
	return s + r.halves()
}

// halves are halves of surrogate pairs, or nothing.
func (r random) halves() string {
	if r.plainText || r.IntN(8) > 0 {
		return ""
	}
	return []string{"\xed\xa0\xbd", "\xed\xb8\x80x", "\xed\xb8\x80\xed\xa0\xbd"}[r.IntN(3)]
}

// key draws a key of a map or an object, or the name of an attribute.
func (r random) key() string { return keys[r.IntN(len(keys))] + r.halves() }

func (r random) words() string {
	all := []string{"a", "bc", " the quick", "ß", "漢字", "\n", "é", "שלום", "x y z", "0"}
	if !r.plainText {
		all = append(all, "😀", "👩‍👩‍👧", "a😀b")
	}
	var b strings.Builder
	for range 1 + r.IntN(3) {
		b.WriteString(all[r.IntN(len(all))])
	}
	return b.String()
}

var formats = []string{"bold", "italic", "link", "color", "2", "1", ""}

func (r random) attrs() vectors.Value {
	var fs []vectors.Field
	for _, i := range r.Perm(len(formats))[:1+r.IntN(2)] {
		v := vectors.Value{Kind: vectors.Bool, Bool: true}
		switch r.IntN(5) {
		case 0, 1:
			v = vectors.MakeNull()
		case 2:
			v = str("#0f0" + r.halves())
		case 3:
			v = obj(vectors.Field{Key: "href" + r.halves(), Value: str("u" + strconv.Itoa(r.IntN(2)))})
		case 4:
			if r.IntN(3) == 0 {
				v = r.jsonValue()
			}
		}
		fs = append(fs, vectors.Field{Key: formats[i], Value: v})
	}
	return obj(fs...)
}

func (r random) maybeAttrs() *vectors.Value {
	switch r.IntN(4) {
	case 0:
		a := r.attrs()
		return &a
	case 1:
		a := obj()
		return &a
	}
	return nil
}

var keys = []string{"a", "b", "key", "länge", "0", "7", "", "4294967295", "😀"}

func (r random) attribute() vectors.Op {
	k := r.key()
	if r.IntN(4) == 0 {
		return vectors.Op{O: "rmattr", K: k}
	}
	switch r.IntN(12) {
	case 0:
		return vectors.Op{O: "attr", K: k, V: r.plain()}
	case 1:
		return vectors.Op{O: "attr", K: k, V: r.shared(1)}
	}
	return vectors.Op{O: "attr", K: k, V: str("v" + strconv.Itoa(r.IntN(20)))}
}

func (r random) listOp(n int, element func() vectors.Value) vectors.Op {
	vals := func() vectors.Value {
		var vs []vectors.Value
		for range 1 + r.IntN(3) {
			vs = append(vs, element())
		}
		return vectors.MakeList(vs...)
	}
	i := r.IntN(n + 1)
	switch r.IntN(8) {
	case 0, 1, 2:
		if i < n {
			return vectors.Op{O: "del", I: i, N: 1 + r.IntN(min(n-i, 4))}
		}
	case 3:
		return vectors.Op{O: "push", V: vals()}
	case 4:
		return vectors.Op{O: "unshift", V: vals()}
	}
	return vectors.Op{O: "ains", I: i, V: vals()}
}

func (r random) mapOp() vectors.Op {
	k := r.key()
	switch r.IntN(12) {
	case 0, 1, 2:
		return vectors.Op{O: "unset", K: k}
	case 3:
		return vectors.Op{O: "clear"}
	}
	v := r.element()
	switch r.IntN(20) {
	case 0:
		v = vectors.MakeUndefined()
	case 1:
		v = vectors.MakeBigInt(int64(r.Uint64()))
	case 2:
		v = r.subdoc()
	case 3:
		v = vectors.MakeNumber(numbers[r.IntN(len(numbers))])
	}
	return vectors.Op{O: "set", K: k, V: v}
}

func (r random) subdoc() vectors.Value {
	fs := []vectors.Field{{Key: "guid", Value: str("guid-" + strconv.Itoa(r.IntN(5)))}}
	if r.IntN(2) == 0 {
		fs = append(fs, vectors.Field{Key: "autoLoad", Value: vectors.Value{Kind: vectors.Bool, Bool: true}})
	}
	if r.IntN(2) == 0 {
		fs = append(fs, vectors.Field{Key: "meta", Value: obj(vectors.Field{Key: "x", Value: r.nested(0)})})
	}
	return obj(vectors.Field{Key: "$doc", Value: obj(fs...)})
}

func (r random) xmlOp(n int) vectors.Op {
	if n > 0 && r.IntN(8) == 0 {
		ref := num(r.IntN(n))
		if r.IntN(8) == 0 {
			ref = vectors.MakeNull()
		}
		return vectors.Op{O: "after", Ref: ref, V: vectors.MakeList(r.xmlNode(1))}
	}
	return r.listOp(n, func() vectors.Value { return r.xmlNode(1) })
}

func (r random) xmlNode(depth int) vectors.Value {
	if depth > 2 || r.IntN(2) == 0 {
		if r.IntN(3) == 0 {
			return obj(vectors.Field{Key: "$y", Value: str("xmltext")}, vectors.Field{Key: "d", Value: r.content()})
		}
		return obj(vectors.Field{Key: "$y", Value: str("xmltext")}, vectors.Field{Key: "s", Value: str(r.words())})
	}
	if r.IntN(8) == 0 {
		return obj(vectors.Field{Key: "$y", Value: str("xmlhook")}, vectors.Field{Key: "tag", Value: str("hook")},
			vectors.Field{Key: "v", Value: obj(vectors.Field{Key: "k", Value: num(1)})})
	}
	var children []vectors.Value
	for range r.IntN(3) {
		children = append(children, r.xmlNode(depth+1))
	}
	fs := []vectors.Field{
		{Key: "$y", Value: str("xmlelement")},
		{Key: "tag", Value: str([]string{"p", "h1", "LI"}[r.IntN(3)])},
		{Key: "c", Value: vectors.MakeList(children...)},
	}
	if r.IntN(2) == 0 {
		fs = append(fs, vectors.Field{Key: "attrs", Value: obj(vectors.Field{Key: keys[r.IntN(len(keys))], Value: str("1")})})
	}
	return obj(fs...)
}

// element draws a value for an array or a map.
func (r random) element() vectors.Value {
	switch r.IntN(24) {
	case 0, 1, 2, 3, 4, 5:
		return r.shared(0)
	case 6:
		return vectors.MakeBytes([]byte{byte(r.IntN(256)), byte(r.IntN(256))}[:r.IntN(3)])
	case 7:
		if r.IntN(4) == 0 {
			return r.subdoc()
		}
	}
	return r.plain()
}

var numbers = []float64{
	0, math.Copysign(0, -1), math.NaN(), math.Inf(1), math.Inf(-1), 1<<31 - 1, 1 << 31, -1 << 31, -1<<31 - 1,
	1<<53 - 1, 1 << 53, -1<<53 + 1, 0.1, 1.5, math.MaxFloat32, math.SmallestNonzeroFloat64, 63, 64, -64, 8191, 1e21,
}

// plain draws data.
func (r random) plain() vectors.Value {
	switch r.IntN(14) {
	case 0:
		return vectors.MakeNull()
	case 1:
		return vectors.Value{Kind: vectors.Bool, Bool: r.IntN(2) == 0}
	case 2:
		return vectors.MakeNumber(r.Float64() * 1e6)
	case 3:
		return vectors.MakeNumber(float64(float32(r.Float64())))
	case 4:
		return num(r.IntN(1<<40) - 1<<39)
	case 5:
		return vectors.MakeNumber(numbers[r.IntN(len(numbers))])
	case 6:
		return obj(vectors.Field{Key: "z", Value: r.nested(0)}, vectors.Field{Key: "10", Value: str("x")}, vectors.Field{Key: "2", Value: vectors.MakeNull()})
	case 7:
		return vectors.MakeList(num(r.IntN(9)), r.nested(0), vectors.MakeList([]vectors.Value{}...))
	case 8:
		return str("")
	case 9, 10:
		return num(r.IntN(200) - 100)
	}
	return str(r.words() + r.halves())
}

// nested draws data within data, which may be what no list or map holds itself.
func (r random) nested(depth int) vectors.Value {
	switch n := r.IntN(12); {
	case n == 0:
		return vectors.MakeUndefined()
	case n == 1:
		return vectors.MakeBigInt(int64(r.Uint64()) >> r.IntN(64))
	case n == 2:
		return vectors.MakeBytes([]byte{byte(r.IntN(256))})
	case n == 3 && depth < 4:
		return obj(vectors.Field{Key: r.key(), Value: r.nested(depth + 1)})
	case n == 4 && depth < 4:
		return vectors.MakeList(r.nested(depth+1), r.nested(depth+1))
	}
	return r.plain()
}

// shared draws a type to insert.
func (r random) shared(depth int) vectors.Value {
	y := func(kind string, fs ...vectors.Field) vectors.Value {
		return obj(append([]vectors.Field{{Key: "$y", Value: str(kind)}}, fs...)...)
	}
	inner := func() vectors.Value {
		if depth < 3 && r.IntN(3) == 0 {
			return r.shared(depth + 1)
		}
		return r.plain()
	}
	switch r.IntN(8) {
	case 0, 1:
		return y("text", vectors.Field{Key: "s", Value: str(r.words())})
	case 2:
		return y("text", vectors.Field{Key: "d", Value: r.content()})
	case 3, 4:
		return y("array", vectors.Field{Key: "v", Value: vectors.MakeList(inner(), inner())})
	case 5:
		return r.xmlNode(1)
	}
	return y("map", vectors.Field{Key: "v", Value: obj(
		vectors.Field{Key: "k", Value: num(1)}, vectors.Field{Key: keys[r.IntN(5)] + "t", Value: inner()})})
}

// content draws a delta for an empty text.
func (r random) content() vectors.Value {
	var d []vectors.Value
	for range r.IntN(4) {
		fs := []vectors.Field{{Key: "insert", Value: str(r.words())}}
		if r.IntN(4) == 0 {
			fs[0].Value = obj(vectors.Field{Key: "image", Value: r.jsonValue()})
		}
		if a := r.maybeAttrs(); a != nil {
			fs = append(fs, vectors.Field{Key: "attributes", Value: *a})
		}
		d = append(d, obj(fs...))
	}
	return vectors.MakeList(d...)
}

// jsonValue draws data that JSON.stringify takes.
func (r random) jsonValue() vectors.Value {
	switch r.IntN(6) {
	case 0:
		return vectors.MakeNumber(numbers[r.IntN(len(numbers))])
	case 1:
		return obj(vectors.Field{Key: "u", Value: vectors.MakeUndefined()}, vectors.Field{Key: "7", Value: vectors.MakeList(vectors.MakeUndefined(), str(r.words()+r.halves()))})
	case 2:
		return str(r.words() + r.halves())
	}
	return num(r.IntN(9))
}
