package differential

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"

	"ysync/crdt"
	"ysync/internal/vectors"
	"ysync/internal/vectors/replica"
)

// TestAPI goes on histories through what the API offers beside edits and
// updates: several undo managers for a document, each with scopes, origins and a
// filter of its own and with a clock; copies of types; subdocuments that are
// loaded and destroyed; reads of all kinds at all depths; relative positions in
// nested types; what bytes alone tell. Events, updates and states are compared
// after every step.
func TestAPI(t *testing.T) {
	eachHistory(t, *runFor, runAPI)
}

// api is a history with all that can be asked of it.
type api struct {
	*live
	whole     bool // some undo managers are of the document
	now       int64
	managers  []*manager
	managed   []string // how each was made
	positions [][]byte
	snapshots [][]byte
}

// manager is an undo manager here and in Yjs.
type manager struct {
	*crdt.UndoManager
	name  string
	m     *member
	told  []vectors.Value
	items int
	gone  bool
}

func runAPI(p *peer, seed uint64) error {
	// An observer that reads the delta of a text begins a transaction in Yjs,
	// which managers of the whole document see.
	whole := seed%2 == 0
	l, err := openLive(p, plan{seed: seed}, !whole, false)
	if err != nil {
		return err
	}
	a := &api{live: l, whole: whole, now: 1}
	if _, err := p.call("tick", arg{"ms", 0}); err != nil {
		return err
	}
	for range 1 + a.IntN(4) {
		if err := a.manage(); err != nil {
			return err
		}
	}
	for step := range 30 + a.IntN(120) {
		a.draw(uint64(step+1) << 8)
		if err := a.act(step); err != nil {
			return fmt.Errorf("step %d: %w\n%s%s", step, err, a.managed, a.tail())
		}
	}
	if err := a.settle(); err != nil {
		return fmt.Errorf("%w\n%s", err, a.tail())
	}
	return nil
}

func (a *api) act(step int) error {
	m := a.replicas[a.IntN(len(a.replicas))]
	switch n := a.IntN(20); {
	case n < 5:
		return a.editAs(m)
	case n < 9:
		return a.steer(a.managers[a.IntN(len(a.managers))])
	case n < 12:
		return a.deliver(m)
	case n < 13:
		return a.sync(m, a.replicas[a.IntN(len(a.replicas))])
	case n < 15:
		return a.read(m)
	case n < 16:
		return a.position(m)
	case n < 17:
		return a.bytes(m)
	case n < 18:
		return a.subdoc(m)
	case n < 19:
		return a.compare(m)
	}
	ms := int64(a.IntN(900))
	a.now += ms
	_, err := a.peer.call("tick", arg{"ms", ms})
	return err
}

// origins are what transactions and undo managers name.
var origins = []any{"local", "other", nil}

// trackable is one of the origins, or all strings.
func (a *api) trackable() (ours any, theirs string) {
	switch o := origins[a.IntN(3)]; {
	case a.IntN(6) == 0:
		return reflect.TypeFor[string](), `"$String"`
	case o == nil:
		return nil, "null"
	default:
		return o, fmt.Sprintf("%q", o)
	}
}

var filters = map[string]func(crdt.UndoDeletion) bool{
	"all":   nil,
	"types": func(u crdt.UndoDeletion) bool { return u.Type().IsUndefined() },
	"keys":  func(u crdt.UndoDeletion) bool { _, ok := u.Key(); return !ok },
}

// somewhere is a type of a replica.
func (a *api) somewhere(m *member) place {
	name := a.names[a.IntN(len(a.names))]
	return a.random.place(name, m.root(name))
}

// scope is the path of one, or none for the document.
func (a *api) scope(m *member) []vectors.Value {
	if a.whole && a.IntN(2) == 0 {
		return []vectors.Value{}
	}
	return a.somewhere(m).path
}

// manage makes an undo manager.
func (a *api) manage() error {
	m := a.replicas[a.IntN(len(a.replicas))]
	u := &manager{m: m, name: fmt.Sprintf("u%d", len(a.managers))}
	o := crdt.UndoOptions{Now: func() int64 { return a.now }, CaptureWindow: int64(1 + a.IntN(600)), OverwriteRemote: a.IntN(3) == 0}
	filter := slices.Sorted(maps.Keys(filters))[a.IntN(len(filters))]
	o.DeleteFilter = filters[filter]
	o.Origins = []any{}
	var tracked []rawJSON
	for range a.IntN(3) {
		ours, theirs := a.trackable()
		o.Origins, tracked = append(o.Origins, ours), append(tracked, rawJSON(theirs))
	}
	var scopes []crdt.Scope
	var paths []rawJSON
	for range 1 + a.IntN(3) {
		path := a.scope(m)
		s, err := m.ours.Scope(path...)
		if err != nil {
			return err
		}
		scopes, paths = append(scopes, s), append(paths, rawJSON(vectors.MakeList(path...).JSON()))
	}
	var err error
	if u.UndoManager, err = crdt.NewUndoManager(m.ours.Doc, o, scopes...); err != nil {
		return err
	}
	u.Observe(func(e *crdt.StackEvent) { u.note(e, a) })
	a.managers = append(a.managers, u)
	args := []arg{
		{"doc", m.name()},
		{"um", u.name},
		{"scopes", list(paths)},
		{"origins", list(tracked)},
		{"window", o.CaptureWindow},
		{"overwrite", o.OverwriteRemote},
		{"filter", filter},
	}
	a.managed = append(a.managed, fmt.Sprintf("  %s\n", args))
	_, err = a.peer.call("undoNew", args...)
	return err
}

// note writes down an event as Yjs has it.
func (u *manager) note(e *crdt.StackEvent, a *api) {
	field := func(key string, v vectors.Value) vectors.Field { return vectors.Field{Key: key, Value: v} }
	if e.Kind == crdt.StackCleared {
		u.told = append(u.told, obj(field("e", str("stack-cleared")), field("undo", boolean(e.ClearedUndo)), field("redo", boolean(e.ClearedRedo))))
		return
	}
	name := map[crdt.StackEventKind]string{
		crdt.StackAdded: "stack-item-added", crdt.StackUpdated: "stack-item-updated", crdt.StackPopped: "stack-item-popped",
	}[e.Kind]
	if e.Kind == crdt.StackAdded {
		u.items++
		e.Item.SetMeta("n", u.items)
	}
	changed := vectors.MakeList()
	for _, n := range a.names {
		s, err := u.m.ours.Scope(str(n))
		if err == nil && e.Changed(s) {
			changed.List = append(changed.List, str(n))
		}
	}
	stack := map[crdt.StackKind]string{crdt.UndoStack: "undo", crdt.RedoStack: "redo"}[e.Stack]
	u.told = append(u.told, obj(field("e", str(name)), field("stack", str(stack)), field("meta", num(e.Item.Meta("n").(int))), field("changed", changed)))
}

// steer does something with an undo manager and compares its stacks.
func (a *api) steer(u *manager) error {
	what := []string{
		"undo", "undo", "undo", "undo", "redo", "redo", "redo", "stop", "clear", "clearUndo", "clearRedo", "scope", "origin", "noOrigin", "close",
	}[a.IntN(15)]
	if u.gone || what == "close" && a.IntN(3) > 0 {
		what = "undo"
	}
	args := []arg{{"um", u.name}, {"what", what}}
	var c *crdt.Commit
	var err error
	switch what {
	case "undo":
		c, err = u.Undo()
	case "redo":
		c, err = u.Redo()
	case "stop":
		u.StopCapturing()
	case "clear":
		u.Clear()
	case "clearUndo":
		u.ClearUndo()
	case "clearRedo":
		u.ClearRedo()
	case "scope":
		path := a.scope(u.m)
		s, err := u.m.ours.Scope(path...)
		if err != nil {
			return err
		}
		if err := u.AddToScope(s); err != nil {
			return err
		}
		args = append(args, arg{"path", rawJSON(vectors.MakeList(path...).JSON())})
	case "origin", "noOrigin":
		ours, theirs := a.trackable()
		if what == "origin" {
			u.AddTrackedOrigin(ours)
		} else {
			u.RemoveTrackedOrigin(ours)
		}
		args = append(args, arg{"o", rawJSON(theirs)})
	case "close":
		u.Close()
		u.gone = true
	}
	if err != nil {
		return fmt.Errorf("%s: %s: %w", u.name, what, err)
	}
	a.steps = append(a.steps, rawJSON(fmt.Sprintf("%q", u.name+" of "+u.m.name()+": "+what)))
	if err := a.did(u.m, c, "undo", args...); err != nil {
		return fmt.Errorf("%s: %s: %w", u.name, what, err)
	}
	return a.compareManagers()
}

// did compares what a commit emitted, here and in Yjs, and hands it to the others.
func (a *api) did(m *member, c *crdt.Commit, op string, args ...arg) error {
	es := m.ours.Emitted(c)
	for _, e := range es {
		a.updates = append(a.updates, update{e.V1, e.V2})
		for _, other := range a.replicas {
			if other != m {
				other.inbox = append(other.inbox, len(a.updates)-1)
			}
		}
	}
	return a.emitted(m, made{emitted: es}, op, args...)
}

func (a *api) compareManagers() error {
	for _, u := range a.managers {
		theirs, err := a.peer.call("stacks", arg{"um", u.name})
		if err != nil {
			return err
		}
		ours := obj(
			vectors.Field{Key: "undo", Value: stackValue(u.Stack(crdt.UndoStack))},
			vectors.Field{Key: "redo", Value: stackValue(u.Stack(crdt.RedoStack))},
			vectors.Field{Key: "can", Value: vectors.MakeList(boolean(u.CanUndo()), boolean(u.CanRedo()))},
			vectors.Field{Key: "told", Value: vectors.MakeList(u.told...)},
		)
		u.told = nil
		for _, f := range ours.Fields {
			if d := vectors.Diff(theirs.Get(f.Key), f.Value); d != "" {
				return fmt.Errorf("%s of %s: %s%s", u.name, u.m.name(), f.Key, d)
			}
		}
	}
	return nil
}

func stackValue(items []*crdt.StackItem) vectors.Value {
	out := vectors.MakeList()
	for _, s := range items {
		out.List = append(out.List, obj(
			vectors.Field{Key: "ins", Value: idSetValue(s.Insertions())},
			vectors.Field{Key: "del", Value: idSetValue(s.Deletions())},
			vectors.Field{Key: "meta", Value: num(s.Meta("n").(int))},
		))
	}
	return out
}

func idSetValue(s crdt.IDSet) vectors.Value {
	out := map[string]vectors.Value{}
	for c, r := range s.All() {
		name := fmt.Sprint(c)
		v := out[name]
		if v.Kind == vectors.Absent {
			v = vectors.MakeList()
		}
		v.List = append(v.List, vectors.MakeList(num(int(r.From)), num(int(r.To))))
		out[name] = v
	}
	return fromMap(out)
}

// editAs makes edits in a transaction of some origin.
func (a *api) editAs(m *member) error {
	origin := origins[a.IntN(3)]
	var ops []vectors.Op
	done, n := 0, 1+a.IntN(6)
	next := func() (vectors.Op, bool) {
		for ; done == len(ops) && n > 0; n-- {
			if a.IntN(6) == 0 {
				ops = a.appendCopy(ops, m)
			} else {
				ops = a.appendEdit(ops, a.somewhere(m))
			}
		}
		if done == len(ops) {
			return vectors.Op{}, false
		}
		done++
		return ops[done-1], true
	}
	emitted, err := m.ours.EditEach(origin, next)
	line := encodeOps(ops)
	a.steps = append(a.steps, rawJSON(fmt.Sprintf("[%q, %q, %s]", m.name(), fmt.Sprint(origin), line)))
	if err != nil {
		return fmt.Errorf("%s: %w", m.name(), err)
	}
	a.work.operations += len(ops)
	for _, e := range emitted {
		a.updates = append(a.updates, update{e.V1, e.V2})
		for _, other := range a.replicas {
			if other != m {
				other.inbox = append(other.inbox, len(a.updates)-1)
			}
		}
	}
	if err := a.emitted(m, made{emitted: emitted}, "edit", arg{"ops", line}, arg{"origin", origin}); err != nil {
		return err
	}
	return a.compareManagers()
}

// appendCopy draws the copy of a type, or something with a subdocument.
func (a *api) appendCopy(ops []vectors.Op, m *member) []vectors.Op {
	to := a.somewhere(m)
	op := vectors.Op{O: "clone", At: to.path}
	kind, _ := to.t.TypeKind()
	switch kind {
	case crdt.KindMap, crdt.KindXMLHook:
		op.K = a.key()
		if to.t.Map().At(op.K).Kind() == crdt.ValueSubdoc {
			return append(ops, vectors.Op{O: []string{"load", "destroy"}[a.IntN(2)], At: to.path, K: op.K})
		}
	case crdt.KindArray:
		op.I = a.IntN(to.t.Array().Len() + 1)
		if to.t.Array().At(op.I).Kind() == crdt.ValueSubdoc {
			return append(ops, vectors.Op{O: []string{"load", "destroy"}[a.IntN(2)], At: to.path, I: op.I})
		}
	case crdt.KindText, crdt.KindXMLText:
		return ops
	default:
		op.I = a.IntN(to.t.XMLFragment().Len() + 1)
	}
	from := a.somewhere(m)
	if len(from.path) == 1 || !copies(from.t) || (kind == crdt.KindXMLFragment || kind == crdt.KindXMLElement) && !isNode(from.t) {
		return ops
	}
	op.From = from.path
	return append(ops, op)
}

func isNode(t crdt.Value) bool {
	kind, _ := t.TypeKind()
	return kind == crdt.KindXMLElement || kind == crdt.KindXMLText || kind == crdt.KindXMLHook
}

// copies tells whether Yjs can clone a value: what stands in a text, an attribute
// or a hook it inserts again itself, and subdocuments too.
func copies(v crdt.Value) bool {
	if v.Kind() == crdt.ValueSubdoc {
		return false
	}
	kind, ok := v.TypeKind()
	if !ok {
		return true
	}
	plain := true
	all := func(_ string, e crdt.Value) bool {
		_, isType := e.TypeKind()
		plain = plain && copies(e) && (!isType || kind == crdt.KindMap)
		return plain
	}
	each := func(e crdt.Value) bool { return all("", e) }
	switch kind {
	case crdt.KindText, crdt.KindXMLText:
		for op := range v.Text().Chunks() {
			each(op.Insert)
		}
	case crdt.KindMap, crdt.KindXMLHook:
		v.Map().All()(all)
	case crdt.KindArray:
		kind = crdt.KindMap
		v.Array().Values()(each)
	default:
		if kind == crdt.KindXMLElement {
			v.XMLElement().Attrs()(all)
		}
		kind = crdt.KindMap
		v.XMLFragment().Children()(each)
	}
	return plain
}

// subdoc loads or destroys a subdocument outside of a transaction.
func (a *api) subdoc(m *member) error {
	answer, err := a.peer.call("subdocs", arg{"doc", m.name()})
	if err != nil {
		return err
	}
	guids := vectors.MakeList()
	for _, s := range m.ours.Doc.Subdocs() {
		guids.List = append(guids.List, str(s.GUID))
	}
	if d := vectors.Diff(answer.Get("guids"), vectors.MakeList(vectors.SortBy(guids.List)...)); d != "" {
		return fmt.Errorf("%s: subdocuments%s", m.name(), d)
	}
	at := a.somewhere(m)
	kind, _ := at.t.TypeKind()
	var key vectors.Value
	var v crdt.Value
	switch kind {
	case crdt.KindMap:
		k := a.key()
		key, v = str(k), at.t.Map().At(k)
	case crdt.KindArray:
		i := a.IntN(at.t.Array().Len() + 1)
		key, v = num(i), at.t.Array().At(i)
	}
	if v.Kind() != crdt.ValueSubdoc {
		return nil
	}
	what := []string{"load", "destroy"}[a.IntN(2)]
	var c *crdt.Commit
	if what == "destroy" || !v.Subdoc().ShouldLoad {
		c, err = m.ours.Doc.Transact(nil, func(tx *crdt.Txn) {
			if what == "load" {
				v.LoadSubdoc(tx)
			} else {
				v.ResetSubdoc(tx)
			}
		})
	}
	if err != nil {
		return err
	}
	a.steps = append(a.steps, rawJSON(fmt.Sprintf("%q", m.name()+": "+what)))
	if err := a.did(m, c, "subdoc", arg{"path", rawJSON(vectors.MakeList(at.path...).JSON())}, arg{"key", rawJSON(key.JSON())}, arg{"what", what}); err != nil {
		return err
	}
	return a.compareManagers()
}

// position makes a relative position somewhere and finds one again.
func (a *api) position(m *member) error {
	if at := a.somewhere(m); !at.t.Map().Valid() {
		rp, err := a.placeIn(m, at.path)
		if err != nil {
			return err
		}
		a.positions = append(a.positions, rp)
	}
	if len(a.positions) == 0 {
		return nil
	}
	return a.resolve(m, a.positions[a.IntN(len(a.positions))])
}

// bytes asks what bytes tell without a document.
func (a *api) bytes(m *member) error {
	s := m.ours.Snapshot(1)
	a.snapshots = append(a.snapshots, s)
	if len(a.updates) == 0 {
		return nil
	}
	u := a.updates[a.IntN(len(a.updates))]
	for version := 1; version <= 2; version++ {
		theirs, err := a.peer.call("meta", arg{"v", version}, arg{"u", b64(u.bytes(version))})
		if err != nil {
			return err
		}
		from, to, err := replica.Meta(version, u.bytes(version))
		if err != nil {
			return err
		}
		clocks := func(m map[string]uint64) vectors.Value {
			out := map[string]vectors.Value{}
			for c, n := range m {
				out[c] = num(int(n))
			}
			return fromMap(out)
		}
		if d := vectors.Diff(theirs.Get("from"), clocks(from)) + vectors.Diff(theirs.Get("to"), clocks(to)); d != "" {
			return fmt.Errorf("meta of an update%s", d)
		}
		sv, err := replica.SVFromUpdate(version, u.bytes(version))
		if err != nil {
			return err
		}
		if err := differs("state vector of an update", theirs.Get("sv").Str, sv); err != nil {
			return err
		}
	}
	other := a.snapshots[a.IntN(len(a.snapshots))]
	theirs, err := a.peer.call("snapshots", arg{"s", b64(s)}, arg{"t", b64(other)}, arg{"u", b64(u.v1)})
	if err != nil {
		return err
	}
	one, err := crdt.DecodeSnapshot(crdt.V1, s)
	if err != nil {
		return err
	}
	two, err := crdt.DecodeSnapshot(crdt.V1, other)
	if err != nil {
		return err
	}
	contains, err := one.ContainsUpdate(crdt.V1, u.v1)
	if err != nil {
		return err
	}
	if theirs.Get("equal").Bool != one.Equal(two) || theirs.Get("contains").Bool != contains {
		return fmt.Errorf("snapshots: Yjs says %s, we equal %v, contains %v", theirs, one.Equal(two), contains)
	}
	return nil
}
