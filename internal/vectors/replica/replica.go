package replica

import (
	"slices"
	"strconv"

	"ysync/crdt"
	"ysync/internal/vectors"
)

// Options say how a replica starts.
type Options struct {
	ClientID        uint64
	KeepDeleted     bool
	NoFormatCleanup bool
	Roots           map[string]string // root name → recorded type
	Versions        []int             // in which updates are emitted; both if nil
}

// Replica is a document and the types of its roots.
type Replica struct {
	Doc      *crdt.Doc
	roots    map[string]string
	versions []int
	watched  watched
}

// New makes a replica with an empty document whose roots are defined.
func New(o Options) *Replica {
	r := &Replica{
		Doc: crdt.New(crdt.Options{
			ClientID:        crdt.ClientID(o.ClientID),
			KeepDeleted:     o.KeepDeleted,
			NoFormatCleanup: o.NoFormatCleanup,
		}),
		roots:    o.Roots,
		versions: o.Versions,
	}
	r.Doc.OnSubdocs(r.noteSubdocs)
	for name := range o.Roots {
		// Defining a root fails only for an unknown type, and then every use of
		// the root says so.
		_, _ = r.root(name, "")
	}
	return r
}

// Emitted is an update that a transaction emitted.
type Emitted struct {
	V1, V2 []byte
	// Local is false for what an update that was applied brought in.
	Local bool
}

// Apply applies an update and returns what the document emitted: what the
// update brought in and what was cleaned up after it.
func (r *Replica) Apply(version int, update []byte) ([]Emitted, error) {
	c, err := r.Doc.Apply("remote", crdt.Version(version), update)
	if err != nil {
		return nil, err
	}
	return r.emitted(c, false), nil
}

// ApplyOnly applies an update.
func (r *Replica) ApplyOnly(version int, update []byte) error {
	_, err := r.Doc.Apply(nil, crdt.Version(version), update)
	return err
}

// Edit does recorded edits in one transaction of origin "local".
func (r *Replica) Edit(ops []vectors.Op) ([]Emitted, error) { return r.EditAs("local", ops) }

// EditAs is Edit with another origin.
func (r *Replica) EditAs(origin any, ops []vectors.Op) ([]Emitted, error) {
	i := 0
	return r.EditEach(origin, func() (vectors.Op, bool) {
		if i == len(ops) {
			return vectors.Op{}, false
		}
		i++
		return ops[i-1], true
	})
}

// EditEach does one edit after the other in one transaction. Next, which may
// read the document, says what to do until it returns false.
func (r *Replica) EditEach(origin any, next func() (vectors.Op, bool)) ([]Emitted, error) {
	var bad error
	c, err := r.Doc.Transact(origin, func(tx *crdt.Txn) {
		for op, more := next(); more && bad == nil; op, more = next() {
			bad = r.edit(tx, op)
		}
	})
	if bad != nil {
		return nil, bad
	}
	if err != nil {
		return nil, err
	}
	return r.emitted(c, true), nil
}

// Emitted is what the document emits for a local commit, nil for none, and for
// those that follow from it.
func (r *Replica) Emitted(c *crdt.Commit) []Emitted { return r.emitted(c, true) }

func (r *Replica) emitted(c *crdt.Commit, local bool) []Emitted {
	var out []Emitted
	for ; c != nil; c, local = c.Next(), true {
		if !c.Empty() {
			e := Emitted{Local: local}
			if r.versions == nil || slices.Contains(r.versions, 1) {
				e.V1 = c.AppendUpdate(nil, crdt.V1)
			}
			if r.versions == nil || slices.Contains(r.versions, 2) {
				e.V2 = c.AppendUpdate(nil, crdt.V2)
			}
			out = append(out, e)
		}
	}
	return out
}

// Check verifies the invariants of the document.
func (r *Replica) Check() error { return r.Doc.Check() }

// State is the whole document with what is pending.
func (r *Replica) State(version int) []byte { return r.Doc.AppendState(nil, crdt.Version(version)) }

// StateDiff is the document without what an encoded state vector knows.
func (r *Replica) StateDiff(version int, sv []byte) ([]byte, error) {
	known, err := crdt.DecodeStateVector(sv)
	if err != nil {
		return nil, err
	}
	return r.Doc.AppendStateDiff(nil, crdt.Version(version), known), nil
}

// SV is the encoded state vector.
func (r *Replica) SV() []byte { return crdt.AppendStateVector(nil, r.Doc.StateVector()) }

// SVMap is the state vector by client.
func (r *Replica) SVMap() map[string]uint64 { return svMap(r.Doc.StateVector()) }

// DS is the delete set by client, as pairs of clock and length.
func (r *Replica) DS() map[string][][2]uint64 {
	ds := r.Doc.Deletes()
	return dsMap(&ds)
}

// Snapshot is the encoded moment that the document is at.
func (r *Replica) Snapshot(version int) []byte {
	return crdt.AppendSnapshot(nil, crdt.Version(version), r.Doc.Snapshot())
}

// Pending is what the document waits for, nil for nothing.
func (r *Replica) Pending() *vectors.Pending {
	p := r.Doc.Pending()
	if p.Empty() {
		return nil
	}
	out := &vectors.Pending{DS: p.Deletes > 0}
	for c, clock := range p.Missing.All() {
		if out.Missing == nil {
			out.Missing = map[string]uint64{}
		}
		// Recorded is the missing unit, not the state that is waited for.
		out.Missing[name(c)] = uint64(clock) - 1
	}
	return out
}

func name(c crdt.ClientID) string { return strconv.FormatUint(uint64(c), 10) }

func svMap(sv crdt.StateVector) map[string]uint64 {
	out := map[string]uint64{}
	for c, clock := range sv.All() {
		out[name(c)] = uint64(clock)
	}
	return out
}

func dsMap(ds *crdt.IDSet) map[string][][2]uint64 {
	out := map[string][][2]uint64{}
	for c, r := range ds.All() {
		out[name(c)] = append(out[name(c)], [2]uint64{uint64(r.From), uint64(r.Len())})
	}
	return out
}
