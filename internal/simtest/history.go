package simtest

import (
	"encoding/json"
	"fmt"

	"ysync/crdt"
)

// History is what a document's log came to, to be replayed by others. It encodes
// as JSON.
type History struct {
	Name string `json:"name"`
	// Updates are the entries (update V1) in order, after Base, the state with
	// which the generation began (update V2), nil for none.
	Base    []byte   `json:"base,omitempty"`
	Updates [][]byte `json:"updates"`
	// The rest is what this engine makes of them.
	Vector map[crdt.ClientID]crdt.Clock `json:"vector"`
	Text   string                       `json:"text"`
	Map    json.RawMessage              `json:"map"`
	Array  json.RawMessage              `json:"array"`
	Waits  bool                         `json:"waits"`
}

// histories are those of all documents, as they are now.
func (w *world) histories() []History {
	w.database.effect.Lock()
	defer w.database.effect.Unlock()
	var all []History
	for _, document := range w.names {
		g := w.database.shadow.of(document).now()
		d := g.replay
		h := History{
			Name: fmt.Sprintf("seed %d, %s", w.config.Seed, document), Base: g.base, Updates: [][]byte{},
			Vector: clocks(d.StateVector()), Text: d.Text(textRoot).String(),
			Map: d.Map(mapRoot).JSON().AppendJSON(nil), Array: d.Array(arrayRoot).JSON().AppendJSON(nil), Waits: !d.Pending().Empty(),
		}
		for _, e := range g.entries {
			h.Updates = append(h.Updates, e.update)
		}
		all = append(all, h)
	}
	return all
}
