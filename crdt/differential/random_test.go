package differential

import (
	"math/rand/v2"
	"strconv"
	"strings"

	"ysync/internal/lib0"
	"ysync/internal/vectors"
)

// random makes edits that fit a document, from its dump alone.
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

// target is a shared type in a dump.
type target struct {
	path []vectors.Value
	dump vectors.Value
}

// targets lists a type and all types in it.
func targets(path []vectors.Value, dump vectors.Value) []target {
	out := []target{{path, dump}}
	below := func(step vectors.Value, v vectors.Value) {
		if v.Has("$y") {
			p := append(append([]vectors.Value(nil), path...), step)
			out = append(out, targets(p, v)...)
		}
	}
	for i, v := range dump.Get("v").List {
		below(num(i), v)
	}
	for _, f := range dump.Get("v").Fields {
		below(str(f.Key), f.Value)
	}
	for i, v := range dump.Get("c").List {
		below(num(i), v)
	}
	return out
}

// edit draws the edits of one transaction: each in another root, so that none
// changes what another one relies on.
func (r random) edit(roots []string, dump func(root string) vectors.Value) []vectors.Op {
	n := 1 + r.IntN(min(3, len(roots)))
	var ops []vectors.Op
	for _, i := range r.Perm(len(roots))[:n] {
		ts := targets([]vectors.Value{str(roots[i])}, dump(roots[i]))
		t := ts[r.IntN(len(ts))]
		op := r.op(t.dump)
		op.At = t.path
		ops = append(ops, op)
	}
	return ops
}

func (r random) op(dump vectors.Value) vectors.Op {
	switch dump.Get("$y").Str {
	case "text", "xmltext":
		return r.textOp(dump)
	case "array":
		return r.listOp(len(dump.Get("v").List), r.element)
	case "map", "xmlhook":
		return r.mapOp(dump)
	}
	if dump.Get("$y").Str == "xmlelement" && r.IntN(3) == 0 {
		return r.attribute()
	}
	return r.xmlOp(len(dump.Get("c").List))
}

// textLength is the length of a dumped text in UTF-16 code units.
func textLength(dump vectors.Value) int {
	n := 0
	for _, op := range dump.Get("d").List {
		ins := op.Get("insert")
		switch {
		case ins.Kind == vectors.String:
			for _, c := range ins.Str {
				n++
				if c >= 0x10000 {
					n++
				}
			}
		case ins.Has("$utf16"):
			n += len(ins.Get("$utf16").List)
		default:
			n++
		}
	}
	return n
}

func (r random) textOp(dump vectors.Value) vectors.Op {
	n := textLength(dump)
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
		v := obj(vectors.Field{Key: "image", Value: num(r.IntN(9))})
		if r.IntN(3) == 0 {
			v = r.shared()
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
			fs = append(fs, vectors.Field{Key: "insert", Value: str(r.text())})
			if a := r.maybeAttrs(); a != nil {
				fs = append(fs, vectors.Field{Key: "attributes", Value: *a})
			}
		}
		d = append(d, obj(fs...))
	}
	return vectors.MakeList(d...)
}

// text draws text to insert. It may hold halves of surrogate pairs, which
// values may not: here they are replaced as soon as a value is stored, in Yjs
// when it is sent.
func (r random) text() string {
	s := r.words()
	if !r.plainText && r.IntN(8) == 0 {
		s += []string{"\xed\xa0\xbd", "\xed\xb8\x80x", "\xed\xb8\x80\xed\xa0\xbd"}[r.IntN(3)]
	}
	return s
}

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

var formats = []string{"bold", "italic", "link", "color", "2", "1"}

func (r random) attrs() vectors.Value {
	var fs []vectors.Field
	for _, i := range r.Perm(len(formats))[:1+r.IntN(2)] {
		v := vectors.Value{Kind: vectors.Bool, Bool: true}
		switch r.IntN(5) {
		case 0, 1:
			v = vectors.MakeNull()
		case 2:
			v = str("#0f0")
		case 3:
			v = obj(vectors.Field{Key: "href", Value: str("u" + strconv.Itoa(r.IntN(2)))})
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

var keys = []string{"a", "b", "key", "länge", "0", "7"}

func (r random) attribute() vectors.Op {
	k := keys[r.IntN(len(keys))]
	if r.IntN(4) == 0 {
		return vectors.Op{O: "rmattr", K: k}
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

func (r random) mapOp(dump vectors.Value) vectors.Op {
	k := keys[r.IntN(len(keys))]
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
	}
	return vectors.Op{O: "set", K: k, V: v}
}

func (r random) subdoc() vectors.Value {
	fs := []vectors.Field{{Key: "guid", Value: str("guid-" + strconv.Itoa(r.IntN(5)))}}
	if r.IntN(2) == 0 {
		fs = append(fs, vectors.Field{Key: "autoLoad", Value: vectors.Value{Kind: vectors.Bool, Bool: true}})
	}
	if r.IntN(2) == 0 {
		fs = append(fs, vectors.Field{Key: "meta", Value: obj(vectors.Field{Key: "x", Value: num(1)})})
	}
	return obj(vectors.Field{Key: "$doc", Value: obj(fs...)})
}

func (r random) xmlOp(n int) vectors.Op {
	if n > 0 && r.IntN(8) == 0 {
		return vectors.Op{O: "after", Ref: num(r.IntN(n)), V: vectors.MakeList(r.xmlNode(1))}
	}
	return r.listOp(n, func() vectors.Value { return r.xmlNode(1) })
}

func (r random) xmlNode(depth int) vectors.Value {
	if depth > 2 || r.IntN(2) == 0 {
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
	switch r.IntN(16) {
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
		return vectors.MakeBytes([]byte{byte(r.IntN(256)), byte(r.IntN(256))})
	case 6:
		return obj(vectors.Field{Key: "z", Value: num(1)}, vectors.Field{Key: "10", Value: str("x")}, vectors.Field{Key: "2", Value: vectors.MakeNull()})
	case 7:
		return vectors.MakeList(num(r.IntN(9)), str("in"), vectors.MakeList([]vectors.Value{}...))
	case 8, 9, 10:
		return r.shared()
	case 11, 12:
		return num(r.IntN(200) - 100)
	}
	return str(r.words())
}

// shared draws a type to insert.
func (r random) shared() vectors.Value {
	switch r.IntN(3) {
	case 0:
		return obj(vectors.Field{Key: "$y", Value: str("text")}, vectors.Field{Key: "s", Value: str(r.words())})
	case 1:
		return obj(vectors.Field{Key: "$y", Value: str("array")}, vectors.Field{Key: "v", Value: vectors.MakeList(num(1), str("e"))})
	}
	return obj(vectors.Field{Key: "$y", Value: str("map")}, vectors.Field{Key: "v", Value: obj(
		vectors.Field{Key: "k", Value: num(1)}, vectors.Field{Key: "t", Value: obj(
			vectors.Field{Key: "$y", Value: str("text")}, vectors.Field{Key: "s", Value: str("deep")})})})
}
