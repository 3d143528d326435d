package api

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"

	"ysync/crdt"
	"ysync/internal/auth"
	"ysync/internal/hub"
	"ysync/snapshots"
)

// EditOrder changes a document in one transaction: all of it happens, or
// nothing. Under If-Match it happens only at that position.
type EditOrder struct {
	Ops []EditOp `json:"ops"`
}

// EditOp is one step of an EditOrder. Its path leads from the name of a root
// over keys and indices to the place.
type EditOp struct {
	// Op is "set" (the value of a key), "remove" (a key, or an element), "insert"
	// (elements, the path ends with where) or "text" (the path leads to a text).
	Op   string `json:"op"`
	Path []any  `json:"path"`
	// Value is what set sets, Values what insert inserts: plain JSON, unless As
	// says otherwise.
	Value  any   `json:"value,omitempty"`
	Values []any `json:"values,omitempty"`
	// As makes a shared type of the value of set: "map", "array" or "text".
	As string `json:"as,omitempty"`
	// At is where in a text, Delete how much goes there, both in UTF-16 code
	// units, Insert what comes.
	At     int    `json:"at,omitempty"`
	Delete int    `json:"delete,omitempty"`
	Insert string `json:"insert,omitempty"`
	// Attributes format what Insert brings.
	Attributes map[string]any `json:"attributes,omitempty"`
}

// maxOps bounds the steps of an order.
const maxOps = 1000

// edit changes a document by an EditOrder.
func (a *API) edit(w http.ResponseWriter, c *call) error {
	var o EditOrder
	if err := order(w, c, &o); err != nil {
		return err
	}
	t, err := terms(c)
	if err != nil {
		return err
	}
	if len(o.Ops) == 0 || len(o.Ops) > maxOps {
		return invalid("ops: want 1 to %d", maxOps)
	}
	return a.editOr(w, c, http.StatusOK, t, &o)
}

// create makes a document that does not exist yet by an EditOrder.
func (a *API) create(w http.ResponseWriter, c *call) error {
	var o EditOrder
	if err := order(w, c, &o); err != nil {
		return err
	}
	if len(o.Ops) == 0 || len(o.Ops) > maxOps {
		return invalid("ops: want 1 to %d: a document exists from its first content on", maxOps)
	}
	return a.editOr(w, c, http.StatusCreated, hub.Terms{Author: c.grant.Subject, New: true}, &o)
}

// editOr edits, or tells what that would do.
func (a *API) editOr(w http.ResponseWriter, c *call, status int, t hub.Terms, o *EditOrder) error {
	return a.change(w, c, status,
		func() (hub.Outcome, error) { return a.editUnder(c.ctx, c.document, t, o) },
		func() (Applied, error) { return a.rehearse(c, t, o.rehearse) })
}

// editTries is how often an edit is tried on a document that others change.
const editTries = 8

// editUnder rehearses an order on a copy, and makes the change at the position
// of the copy: a transaction that fails half way is not undone.
func (a *API) editUnder(ctx context.Context, document string, t hub.Terms, o *EditOrder) (hub.Outcome, error) {
	for try := 1; ; try++ {
		copied, at, err := a.copyUnder(ctx, document, t)
		if err != nil {
			return hub.Outcome{}, err
		}
		if _, err := o.rehearse(copied); err != nil {
			return hub.Outcome{}, err
		}
		now := t
		now.At = &at
		out, err := a.opt.Hub.Edit(ctx, document, now, func(tx *crdt.Txn) {
			for i := range o.Ops {
				_ = o.Ops[i].run(tx) // it went well on the copy
			}
		})
		if !errors.Is(err, hub.ErrChanged) || t.At != nil || try == editTries {
			return out, err
		}
	}
}

// rehearse runs the order on a copy.
func (o *EditOrder) rehearse(doc *crdt.Doc) (*crdt.Commit, error) {
	var fault error
	commit, err := doc.Transact(nil, func(tx *crdt.Txn) {
		for i := range o.Ops {
			if fault = o.Ops[i].run(tx); fault == nil {
				fault = tx.Err()
			}
			if fault != nil {
				fault = invalid("ops[%d]: %v", i, fault)
				return
			}
		}
	})
	if fault != nil {
		return nil, fault
	}
	return commit, err
}

var (
	errPath = errors.New("the path does not lead to such a place")
	errOp   = errors.New("op: want set, remove, insert or text")
	errAs   = errors.New("as: want map, array or text, with a value of its kind")
)

// run makes one step.
func (op *EditOp) run(tx *crdt.Txn) error {
	if len(op.Path) == 0 || op.At < 0 || op.Delete < 0 {
		return errPath
	}
	name, ok := op.Path[0].(string)
	if !ok {
		return errPath
	}
	if op.Op == "text" {
		return op.text(tx, name)
	}
	if len(op.Path) < 2 {
		return errPath
	}
	last := op.Path[len(op.Path)-1]
	key, isKey := last.(string)
	index, isIndex := indexOf(last)
	m, l, err := containerAt(tx.Doc(), name, op.Path[1:len(op.Path)-1], isKey)
	switch {
	case err != nil:
		return err
	case op.Op == "set" && isKey:
		v, err := op.value()
		if err != nil {
			return err
		}
		m.Set(tx, key, v)
	case op.Op == "remove" && isKey:
		if !m.Has(key) {
			return errPath
		}
		m.Delete(tx, key)
	case op.Op == "remove" && isIndex:
		if index >= l.Len() {
			return errPath
		}
		l.Delete(tx, index, 1)
	case op.Op == "insert" && isIndex:
		if index > l.Len() {
			return errPath
		}
		values := make([]crdt.Value, len(op.Values))
		for i, v := range op.Values {
			values[i] = valueOf(v)
		}
		l.Insert(tx, index, values...)
	case op.Op == "set", op.Op == "insert", op.Op == "remove":
		return errPath
	default:
		return errOp
	}
	return nil
}

// holds refuses a root that is of other kinds than the one wanted, as far as
// its content tells.
func holds(doc *crdt.Doc, name string, kind crdt.TypeKind) error {
	for root := range doc.Roots() {
		if root.Name == name && len(root.Inferred) > 0 && !slices.Contains(root.Inferred, kind) {
			return errPath
		}
	}
	return nil
}

// text changes a text.
func (op *EditOp) text(tx *crdt.Txn, name string) error {
	t := crdt.Text{}
	if len(op.Path) == 1 {
		if err := holds(tx.Doc(), name, crdt.KindText); err != nil {
			return err
		}
		t = tx.Doc().Text(name)
	} else {
		v, err := valueAt(tx.Doc(), name, op.Path[1:])
		if err != nil {
			return err
		}
		if v.Kind() != crdt.ValueType || !v.Text().Valid() {
			return errPath
		}
		t = v.Text()
	}
	if op.At+op.Delete > t.Len() {
		return errPath
	}
	if op.Delete > 0 {
		t.Delete(tx, op.At, op.Delete)
	}
	switch {
	case op.Insert == "":
	case len(op.Attributes) == 0:
		t.Insert(tx, op.At, op.Insert)
	default:
		t.InsertWith(tx, op.At, op.Insert, fieldsOf(op.Attributes))
	}
	return nil
}

// containerAt is the map, or the list, at the end of a path below a root.
func containerAt(doc *crdt.Doc, name string, path []any, wantMap bool) (m crdt.Map, l crdt.Array, err error) {
	if len(path) == 0 {
		if wantMap {
			return doc.Map(name), l, holds(doc, name, crdt.KindMap)
		}
		return m, doc.Array(name), holds(doc, name, crdt.KindArray)
	}
	v, err := valueAt(doc, name, path)
	switch {
	case err != nil:
		return m, l, err
	case v.Kind() != crdt.ValueType:
		return m, l, errPath
	}
	m, l = v.Map(), v.Array()
	if wantMap && !m.Valid() || !wantMap && !l.Valid() {
		return m, l, errPath
	}
	return m, l, nil
}

// valueAt is the value at the end of a path, which is not empty, below a root.
func valueAt(doc *crdt.Doc, name string, path []any) (crdt.Value, error) {
	var v crdt.Value
	for i, step := range path {
		key, isKey := step.(string)
		index, isIndex := indexOf(step)
		var m crdt.Map
		var l crdt.Array
		switch {
		case i == 0 && isKey:
			m = doc.Map(name)
		case i == 0:
			l = doc.Array(name)
		case v.Kind() != crdt.ValueType:
			return v, errPath
		default:
			m, l = v.Map(), v.Array()
		}
		switch {
		case isKey && m.Valid() && m.Has(key):
			v = m.At(key)
		case isIndex && l.Valid() && index < l.Len():
			v = l.At(index)
		default:
			return v, errPath
		}
	}
	return v, nil
}

func indexOf(step any) (int, bool) {
	f, ok := step.(float64)
	return int(f), ok && f >= 0 && f == float64(int(f))
}

// value is what set sets.
func (op *EditOp) value() (crdt.Value, error) {
	switch op.As {
	case "":
		return valueOf(op.Value), nil
	case "text":
		if s, ok := op.Value.(string); ok || op.Value == nil {
			return crdt.NewText(s), nil
		}
	case "array":
		if vs, ok := op.Value.([]any); ok || op.Value == nil {
			values := make([]crdt.Value, len(vs))
			for i, v := range vs {
				values[i] = valueOf(v)
			}
			return crdt.NewArray(values...), nil
		}
	case "map":
		if fs, ok := op.Value.(map[string]any); ok || op.Value == nil {
			return crdt.NewMap(fieldsOf(fs)...), nil
		}
	}
	return crdt.Value{}, errAs
}

// CopyOrder says where a document is copied to.
type CopyOrder struct {
	// Into names a document that does not exist yet.
	Into string `json:"into"`
}

// copy makes a new document of the present state of another. Its history begins
// with it.
func (a *API) copy(w http.ResponseWriter, c *call) error {
	var o CopyOrder
	if err := order(w, c, &o); err != nil {
		return err
	}
	dry, err := flag(c, "dry_run")
	if err != nil {
		return err
	}
	if err := a.checkTarget(c, o.Into); err != nil {
		return err
	}
	if _, err := a.known(c); err != nil {
		return err
	}
	past, point, err := a.opt.Keeper.At(c.ctx, c.document, snapshots.Now(), snapshots.AtOptions{})
	if err != nil {
		return err
	}
	answer := Restored{Applied: Applied{DryRun: dry}, From: momentOf(point)}
	if err := a.restoreInto(c, o.Into, past, &answer); err != nil {
		return err
	}
	status := http.StatusCreated
	if dry {
		status = http.StatusOK
	}
	return writeJSON(w, status, answer)
}

// checkTarget refuses a document to be made that the caller may not make.
func (a *API) checkTarget(c *call, into string) error {
	if err := a.checkName(into); err != nil {
		return err
	}
	grant, now := c.grant, a.opt.Now()
	if a.opt.Rulings != nil {
		grant.Scope = a.opt.Rulings.Left(grant, into, now)
	}
	if grant.Check(auth.Operate, into, now) != nil {
		return problem(http.StatusForbidden, CodeDenied, "the token does not grant admin on the new document")
	}
	return nil
}

// fieldsOf are the members of a JSON object, by name.
func fieldsOf(members map[string]any) []crdt.Field {
	fields := make([]crdt.Field, 0, len(members))
	for _, name := range slices.Sorted(maps.Keys(members)) {
		fields = append(fields, crdt.Field{Key: name, Value: valueOf(members[name])})
	}
	return fields
}

// valueOf is plain JSON as a value.
func valueOf(v any) crdt.Value {
	switch v := v.(type) {
	case bool:
		return crdt.Bool(v)
	case float64:
		return crdt.Number(v)
	case string:
		return crdt.String(v)
	case []any:
		values := make([]crdt.Value, len(v))
		for i := range v {
			values[i] = valueOf(v[i])
		}
		return crdt.List(values...)
	case map[string]any:
		return crdt.Object(fieldsOf(v)...)
	}
	return crdt.Null()
}
