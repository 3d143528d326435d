package crdt

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"
)

type goldenMalformed struct {
	Kind     string            `json:"kind"`
	Name     string            `json:"name"`
	GC       bool              `json:"gc"`
	Roots    map[string]string `json:"roots"`
	Pre      []goldenUpdate    `json:"pre"`
	PreState goldenExpect      `json:"preState"`
	Variants []struct {
		Kind      string          `json:"kind"`
		V         int             `json:"v"`
		B         []byte          `json:"b"`
		Throws    bool            `json:"throws"`
		Unchanged bool            `json:"unchanged"`
		After     *goldenExpect   `json:"after"`
		Corrupt   json.RawMessage `json:"corrupt"`
		Hang      json.RawMessage `json:"hang"`
	} `json:"variants"`
}

// Every malformed update is refused, leaving the document as it was, or has
// exactly the effect that it has in Yjs; within bounds of time and memory.
func TestMalformedUpdates(t *testing.T) {
	total, refused := 0, 0
	goldenLines(t, "malformed", func(line []byte) {
		var c goldenMalformed
		if err := json.Unmarshal(line, &c); err != nil {
			t.Fatal(err)
		}
		if c.Kind != "malformed" {
			return
		}
		for i, v := range c.Variants {
			total++
			name := fmt.Sprintf("%s/%d %s v%d", c.Name, i, v.Kind, v.V)
			d := newGoldenDoc(c.GC, c.Roots)
			for _, u := range c.Pre {
				if _, err := d.Apply(nil, V1, u.V1); err != nil {
					t.Fatal(err)
				}
			}
			before := d.AppendState(nil, V1)
			if c.PreState.StateV1 != nil && !bytes.Equal(before, c.PreState.StateV1) {
				t.Fatalf("%s: the state before differs", name)
			}
			var m0, m1 runtime.MemStats
			runtime.ReadMemStats(&m0)
			start := cpuTime()
			_, err := d.Apply(nil, Version(v.V), v.B)
			took := cpuTime() - start
			runtime.ReadMemStats(&m1)
			if alloc := m1.TotalAlloc - m0.TotalAlloc; alloc > uint64(64<<10+8*len(v.B)+len(before)) {
				t.Errorf("%s: %d bytes allocated for an update of %d (%v)", name, alloc, len(v.B), err)
			}
			if took > 50*time.Millisecond {
				t.Errorf("%s: took %v", name, took)
			}
			if cerr := d.Check(); cerr != nil {
				t.Errorf("%s: %v", name, cerr)
			}
			after := d.AppendState(nil, V1)
			if err != nil {
				refused++
				var ue *UpdateError
				if !errors.As(err, &ue) || !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrLimit) {
					t.Errorf("%s: error %v has no class", name, err)
				}
				if !bytes.Equal(before, after) {
					t.Errorf("%s: refused, but the document changed", name)
				}
				continue
			}
			switch {
			case v.Corrupt != nil || v.Hang != nil:
			case v.Throws:
				t.Errorf("%s: Yjs refuses this", name)
			case v.Unchanged:
				if !bytes.Equal(after, before) {
					t.Errorf("%s: Yjs changes nothing", name)
				}
			case v.After != nil:
				if err := compareState(d, *v.After); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
	})
	t.Logf("%d inputs, %d refused", total, refused)
}
