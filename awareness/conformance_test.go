package awareness

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"ysync/internal/vectors"
)

type protocolStep struct {
	Op       string
	Aw       string
	ClientID uint64
	State    json.RawMessage
	K        string
	V        json.RawMessage
	U        []byte
	Clients  []uint64
	MS       int
	Add      json.RawMessage
	Throws   bool
	Expect   struct {
		Ev     []protocolEvent
		U      []byte
		States map[string]json.RawMessage
		Clocks map[string]uint64
		Local  json.RawMessage
	}
}

type protocolEvent struct {
	E                       string
	Added, Updated, Removed []uint64
	Origin                  string
}

func (e protocolEvent) String() string {
	for _, ids := range [][]uint64{e.Added, e.Updated, e.Removed} {
		slices.Sort(ids)
	}
	return fmt.Sprint(e.E, " ", e.Added, e.Updated, e.Removed, " ", e.Origin)
}

func events(c Change, origin string) []string {
	var out []string
	if c.IsChange() {
		out = append(out, protocolEvent{"change", c.Added, c.Changed, c.Removed, origin}.String())
	}
	if c.IsUpdate() {
		out = append(out, protocolEvent{"update", c.Added, c.Updated, c.Removed, origin}.String())
	}
	return out
}

// TestConformanceProtocol replays every awareness step that y-protocols 1.0.7
// was recorded with: events, states, clocks and bytes, and what is left behind
// by malformed updates.
func TestConformanceProtocol(t *testing.T) {
	cases, err := vectors.Records[struct {
		Name  string
		Steps []protocolStep
	}]("protocol")
	if err != nil {
		t.Fatal(err)
	}
	steps := 0
	for _, c := range cases {
		if !strings.HasPrefix(c.Name, "awareness") {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			w := &world{now: time.Unix(1_700_000_000, 0), peers: map[string]*Awareness{}}
			for i, s := range c.Steps {
				if err := w.step(s); err != nil {
					t.Fatalf("step %d, %s: %v", i, s.Op, err)
				}
				steps++
			}
		})
	}
	if steps < 400 {
		t.Fatalf("only %d steps ran", steps)
	}
}

type world struct {
	now   time.Time
	peers map[string]*Awareness
}

func (w *world) step(s protocolStep) error {
	a := w.peers[s.Aw]
	var got []string
	var update []byte
	var err error
	switch s.Op {
	case "awNew":
		w.peers[s.Aw] = New(s.ClientID, w.now)
		return nil
	case "awSet":
		var c Change
		c, err = a.SetLocalState(s.State, w.now)
		got = events(c, "local")
	case "awSetField":
		var c Change
		c, err = a.SetLocalStateField(s.K, s.V, w.now)
		got = events(c, "local")
	case "awApply":
		var c Change
		c, err = a.Apply(s.U, w.now)
		got = events(c, "remote")
	case "awRemove":
		got = events(a.Remove(s.Clients, w.now), "remote")
	case "awTick":
		w.now = w.now.Add(time.Duration(s.MS) * time.Millisecond)
		renewal, timeout := a.Check(w.now)
		got = append(events(renewal, "local"), events(timeout, "timeout")...)
	case "awEncode":
		update, err = a.AppendUpdate(nil, s.Clients...)
	case "awModify":
		update, err = Modify(s.U, addFields(s.Add))
	case "awStates":
		return checkStates(a, s)
	default:
		return fmt.Errorf("unknown operation")
	}
	if (err != nil) != s.Throws {
		return fmt.Errorf("error %v, want one: %v", err, s.Throws)
	}
	var want []string
	for _, e := range s.Expect.Ev {
		want = append(want, e.String())
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("events %q, want %q", got, want)
	}
	if !bytes.Equal(update, s.Expect.U) {
		return fmt.Errorf("update %q, want %q", update, s.Expect.U)
	}
	return nil
}

func addFields(add json.RawMessage) func(uint64, []byte) ([]byte, error) {
	return func(_ uint64, state []byte) ([]byte, error) {
		fields, err := readFields(add)
		for _, f := range fields {
			if err == nil {
				state, err = SetField(state, f.key, f.value)
			}
		}
		return state, err
	}
}

func checkStates(a *Awareness, s protocolStep) error {
	states := map[string]json.RawMessage{}
	for id, state := range a.States() {
		states[strconv.FormatUint(id, 10)] = state
	}
	clocks := map[string]uint64{}
	for id, clock := range a.Clocks() {
		clocks[strconv.FormatUint(id, 10)] = clock
	}
	if len(states) != len(s.Expect.States) || fmt.Sprint(clocks) != fmt.Sprint(s.Expect.Clocks) {
		return fmt.Errorf("states %s clocks %v, want %s %v", states, clocks, s.Expect.States, s.Expect.Clocks)
	}
	for id, want := range s.Expect.States {
		if !bytes.Equal(states[id], want) {
			return fmt.Errorf("state of %s is %s, want %s", id, states[id], want)
		}
	}
	local := a.LocalState()
	if local == nil {
		local = null
	}
	if !bytes.Equal(local, s.Expect.Local) {
		return fmt.Errorf("own state is %s, want %s", local, s.Expect.Local)
	}
	return nil
}
