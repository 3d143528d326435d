package replica

import (
	"fmt"

	"ysync/crdt"
	"ysync/internal/vectors"
)

// edit does one recorded edit in a transaction.
func (r *Replica) edit(tx *crdt.Txn, op vectors.Op) error {
	t, err := r.Resolve(op.At)
	if err != nil {
		return err
	}
	kind, ok := t.TypeKind()
	if !ok {
		return fmt.Errorf("replica: no type at %s", vectors.MakeList(op.At...))
	}
	switch op.O {
	case "load":
		child(t, op).LoadSubdoc(tx)
		return nil
	case "destroy":
		child(t, op).ResetSubdoc(tx)
		return nil
	case "clone":
		return r.clone(tx, t, op)
	}
	switch kind {
	case crdt.KindText, crdt.KindXMLText:
		return editText(tx, t.Text(), op)
	case crdt.KindArray:
		return editArray(tx, t.Array(), op)
	case crdt.KindMap, crdt.KindXMLHook:
		return editMap(tx, t.Map(), op)
	case crdt.KindXMLFragment, crdt.KindXMLElement:
		return editXML(tx, t, op)
	}
	return fmt.Errorf("replica: cannot edit a type of kind %d", kind)
}

func child(t crdt.Value, op vectors.Op) crdt.Value {
	if m := t.Map(); m.Valid() {
		return m.At(op.K)
	}
	return t.Array().At(op.I)
}

// clone inserts a copy of the type at op.From.
func (r *Replica) clone(tx *crdt.Txn, t crdt.Value, op vectors.Op) error {
	from, err := r.Resolve(op.From)
	if err != nil {
		return err
	}
	switch {
	case t.Map().Valid():
		t.Map().Set(tx, op.K, from.Clone())
	case t.Array().Valid():
		t.Array().Insert(tx, op.I, from.Clone())
	default:
		t.XMLFragment().Insert(tx, op.I, from.Clone())
	}
	return nil
}

// Resolve follows a path: the name of a root, then indices, keys and names of
// attributes. An index into a text counts its embedded values.
func (r *Replica) Resolve(path []vectors.Value) (crdt.Value, error) {
	if len(path) == 0 {
		return crdt.Undefined(), fmt.Errorf("replica: empty path")
	}
	t, err := r.root(path[0].Text(), "")
	for _, step := range path[1:] {
		if err != nil {
			return t, err
		}
		kind, _ := t.TypeKind()
		switch {
		case step.Kind == vectors.Number && kind == crdt.KindArray:
			t = t.Array().At(int(step.Num))
		case step.Kind == vectors.Number && (kind == crdt.KindText || kind == crdt.KindXMLText):
			t = embedded(t.Text(), int(step.Num))
		case step.Kind == vectors.Number:
			t = t.XMLFragment().At(int(step.Num))
		case kind == crdt.KindMap || kind == crdt.KindXMLHook:
			t = t.Map().At(step.Text())
		case kind == crdt.KindXMLElement:
			t = t.XMLElement().Attr(step.Text())
		default:
			t = t.Text().Attr(step.Text())
		}
	}
	return t, err
}

func embedded(t crdt.Text, n int) crdt.Value {
	for op := range t.Chunks() {
		if op.Insert.Kind() == crdt.ValueString {
			continue
		}
		if n == 0 {
			return op.Insert
		}
		n--
	}
	return crdt.Undefined()
}

func editText(tx *crdt.Txn, t crdt.Text, op vectors.Op) error {
	var attrs crdt.Attrs
	if op.A != nil {
		fields, err := toFields(*op.A)
		if err != nil {
			return err
		}
		attrs = fields
	}
	switch op.O {
	case "ins":
		if op.A == nil {
			t.Insert(tx, op.I, op.S.Text())
		} else {
			t.InsertWith(tx, op.I, op.S.Text(), attrs)
		}
	case "emb":
		v, err := toValue(op.V)
		if err != nil {
			return err
		}
		if attrs == nil {
			attrs = crdt.Attrs{}
		}
		t.InsertEmbed(tx, op.I, v, attrs)
	case "del":
		t.Delete(tx, op.I, op.N)
	case "fmt":
		t.Format(tx, op.I, op.N, attrs)
	case "delta":
		d, err := toDelta(op.D)
		if err != nil {
			return err
		}
		t.ApplyDelta(tx, d, crdt.DeltaOptions{TrimFinalNewline: op.Sanitize != nil && !*op.Sanitize})
	case "attr":
		v, err := toValue(op.V)
		if err != nil {
			return err
		}
		t.SetAttr(tx, op.K, v)
	case "rmattr":
		t.RemoveAttr(tx, op.K)
	default:
		return unknown(op)
	}
	return nil
}

func editArray(tx *crdt.Txn, a crdt.Array, op vectors.Op) error {
	vals, err := toValues(op.V.List)
	if err != nil {
		return err
	}
	switch op.O {
	case "ains":
		a.Insert(tx, op.I, vals...)
	case "push":
		a.Push(tx, vals...)
	case "unshift":
		a.Insert(tx, 0, vals...)
	case "del":
		a.Delete(tx, op.I, op.N)
	default:
		return unknown(op)
	}
	return nil
}

func editMap(tx *crdt.Txn, m crdt.Map, op vectors.Op) error {
	switch op.O {
	case "set":
		v, err := toValue(op.V)
		if err != nil {
			return err
		}
		m.Set(tx, op.K, v)
	case "unset":
		m.Delete(tx, op.K)
	case "clear":
		m.Clear(tx)
	default:
		return unknown(op)
	}
	return nil
}

func editXML(tx *crdt.Txn, t crdt.Value, op vectors.Op) error {
	f := t.XMLFragment()
	switch op.O {
	case "attr":
		v, err := toValue(op.V)
		if err != nil {
			return err
		}
		t.XMLElement().SetAttr(tx, op.K, v)
		return nil
	case "rmattr":
		t.XMLElement().RemoveAttr(tx, op.K)
		return nil
	case "del":
		f.Delete(tx, op.I, op.N)
		return nil
	}
	vals, err := toValues(op.V.List)
	if err != nil {
		return err
	}
	switch op.O {
	case "ains":
		f.Insert(tx, op.I, vals...)
	case "push":
		f.Push(tx, vals...)
	case "unshift":
		f.Insert(tx, 0, vals...)
	case "after":
		ref := crdt.Null()
		if op.Ref.Kind == vectors.Number {
			ref = f.At(int(op.Ref.Num))
		}
		f.InsertAfter(tx, ref, vals...)
	default:
		return unknown(op)
	}
	return nil
}

func unknown(op vectors.Op) error { return fmt.Errorf("replica: unknown edit %q", op.O) }
