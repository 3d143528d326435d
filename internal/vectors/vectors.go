// Package vectors holds recorded behaviour of the real Yjs and reads it for
// tests. testdata/README.md says what the files contain and what made them. It
// belongs to tests alone: nothing that ships imports it.
package vectors

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"embed"
	"encoding/json"
	"fmt"
)

//go:embed testdata/*.jsonl.gz
var files embed.FS

// Read returns the cases of a family, in the order of its file.
func Read(family string) ([]Case, error) { return Records[Case](family) }

// Records returns the lines of a family, in the order of its file, each decoded
// into a T; for families, or parts of them, that Case does not describe.
func Records[T any](family string) ([]T, error) {
	f, err := files.Open("testdata/" + family + ".jsonl.gz")
	if err != nil {
		return nil, fmt.Errorf("vectors: %w", err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("vectors: %s: %w", family, err)
	}
	var records []T
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		var r T
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return nil, fmt.Errorf("vectors: %s, line %d: %w", family, len(records)+1, err)
		}
		records = append(records, r)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("vectors: %s: %w", family, err)
	}
	return records, nil
}

// Case is one case of any kind; which fields are set depends on Kind.
type Case struct {
	Kind   string // doc, trace, malformed or conversation
	Family string
	Name   string

	GC       bool              // doc, malformed: the observer collects garbage
	Roots    map[string]string // root name → type
	Clients  []uint64          // doc: client IDs, by the index used elsewhere
	ClientGC []bool            // doc: which of the clients collect garbage
	Undo     bool              // doc: every client has an undo manager

	Updates     []Update      // doc: what the clients emitted, in order
	Expect      State         // doc: the observer after all updates
	Cleanup     []Cleanup     // doc: updates that the observer itself emitted
	Deliveries  []Delivery    // doc: other orders
	Script      []ScriptStep  // doc: what the clients did
	ClientState []ClientState // doc: the clients after the script
	Converged   *bool         // doc: false if Yjs itself ends in different states

	Steps []Step // trace

	Pre      []Update  // malformed: applied before each variant
	PreState Outcome   // malformed: the document before each variant
	Variants []Variant // malformed
}

// Update is one update event, in both formats.
type Update struct {
	C      int // index of the client that made it
	V1, V2 []byte
}

// Bytes returns the update in format 1 or 2.
func (u Update) Bytes(version int) []byte {
	if version == 2 {
		return u.V2
	}
	return u.V1
}

// State is what a document must hold. In the Expect of a Delivery only what
// differs is set.
type State struct {
	Roots      map[string]Root
	SV         map[string]uint64
	SVBytes    []byte `json:"sv_bytes"`
	DS         map[string][][2]uint64
	StateV1    []byte `json:"state_v1"`
	StateV2    []byte `json:"state_v2"`
	SnapshotV1 []byte `json:"snapshot_v1"`
	SnapshotV2 []byte `json:"snapshot_v2"`
	Pending    *Pending
}

// Pending is what a document has received and cannot integrate yet.
type Pending struct {
	Missing map[string]uint64 // client → clock that is waited for
	DS      bool              // deletes wait too
}

// Root is the content of one root in the forms that Yjs offers.
type Root struct {
	Type   string
	JSON   *Value
	Deep   *Value
	Delta  *Value
	String *Value
}

// Cleanup is an update that the observer emitted by itself while it applied
// the update of index After.
type Cleanup struct {
	After  int
	V1, V2 []byte
}

// Delivery is another way to apply the updates of a case.
type Delivery struct {
	Name string
	V    int
	// Groups lists indices of updates; those of one group are merged before
	// they are applied.
	Groups [][]int `json:"-"`
	Expect *State
}

// UnmarshalJSON turns the three ways to state an order into groups; a nil
// Groups stands for the order of the updates.
func (d *Delivery) UnmarshalJSON(b []byte) error {
	type plain Delivery
	var aux struct {
		plain
		Order json.RawMessage
		Seq   [][]int
	}
	if err := json.Unmarshal(b, &aux); err != nil {
		return err
	}
	*d = Delivery(aux.plain)
	if aux.Seq != nil {
		d.Groups = aux.Seq
		return nil
	}
	if string(aux.Order) == `"seq"` {
		return nil
	}
	var order []int
	if err := json.Unmarshal(aux.Order, &order); err != nil {
		return fmt.Errorf("delivery %s: order: %w", d.Name, err)
	}
	d.Groups = [][]int{}
	for _, i := range order {
		d.Groups = append(d.Groups, []int{i})
	}
	return nil
}

// ClientState is a client's document at the end of its script.
type ClientState struct {
	StateV1 []byte `json:"state_v1"`
}

// ScriptStep is one action of one client: it edits (Ops), receives an update
// (Recv), synchronises with another client (SyncFrom), or undoes (Undo).
type ScriptStep struct {
	C        int
	Ops      []Op
	U        []int // indices of the updates emitted, in order
	Recv     *int
	V        int
	SyncFrom *int
	SU       []byte // the update that SyncFrom's client answers with
	Undo     string // undo or redo
	Popped   bool
}

// Op is one edit; see the README for the letters.
type Op struct {
	O        string
	At       []Value
	I        int
	N        int
	S        Value
	V        Value
	A        *Value
	D        Value
	K        string
	Ref      Value
	Sanitize *bool
	From     []Value // clone: the path of the original
}

// Step is one command of a trace, with the answer that Yjs gave.
type Step struct {
	Op       string
	Doc      string
	Root     string
	Type     string
	T        string // lib0enc, lib0dec: the type
	V        Value  // version of an update, or the value to encode
	B        []byte
	N        *int
	U        []byte
	Us       [][]byte
	SV       []byte
	S        []byte
	To       int
	ClientID uint64
	GC       *bool
	GUID     string
	Roots    map[string]string
	Ops      []Op
	Origin   Value
	Emit     bool
	Expect   Value
	Throws   bool
	Lenient  bool // rejecting what Yjs accepts is fine
	Note     string
	Mut      string // malformed: how the input was made

	// snapshots
	Into    string // fromSnapshot: the document to make
	Prev    []byte // deltaSnapshot: the earlier snapshot
	YChange bool   // deltaSnapshot: changes are marked with their type and ID
	A       []byte // snapEqual: with B
	UV      int    // snapContains: the format of the update

	// relative positions
	Path         []Value
	Index        int
	Assoc        int
	RP           []byte
	JSON         Value
	FollowUndone *bool

	// undo managers
	UM                     string   // undoNew, undo: the undo manager
	Scope                  []string // undoNew: names of roots
	Whole                  bool     // undoNew: the scope is the document
	CaptureTimeout         *int64   // undoNew: milliseconds
	TrackedOrigins         []string // undoNew
	IgnoreRemoteMapChanges bool     // undoNew
	Do                     string   // undo: undo, redo, stop or clear
	MS                     int64    // advance: by how many milliseconds
}

// Version is the update format that V states, 1 if it states none.
func (s *Step) Version() int {
	if s.V.Kind == Number {
		return int(s.V.Num)
	}
	return 1
}

// Variant is one hostile update.
type Variant struct {
	Kind      string
	V         int
	B         []byte
	Throws    bool // Yjs reports an error
	Unchanged bool // the document stays as it was
	After     *Outcome
	Corrupt   string // not "": Yjs leaves a document that it cannot encode
	Hang      string // not "": Yjs does not return
}

// Outcome is a document after a hostile update.
type Outcome struct {
	JSON    Value
	SV      map[string]uint64
	StateV1 []byte `json:"state_v1"`
	Pending Value
}
