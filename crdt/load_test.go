package crdt

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"ysync/internal/vectors"
)

// What is loaded in one pass is what the long way makes of it, and an update
// that has to go the long way leaves the document empty.
func TestLoad(t *testing.T) {
	cases, err := vectors.Short()
	if err != nil {
		t.Fatal(err)
	}
	loaded, refused := 0, 0
	try := func(name string, v Version, update []byte) {
		for _, opts := range []Options{{ClientID: 1, NoFormatCleanup: true}, {ClientID: 1, KeepDeleted: true}} {
			if compareLoad(t, name, opts, v, update) {
				loaded++
			} else {
				refused++
			}
		}
	}
	for i := range cases {
		c := &cases[i]
		try(c.Name, V1, c.Expect.StateV1)
		try(c.Name, V2, c.Expect.StateV2)
		for j := range c.Updates {
			try(c.Name, V1, c.Updates[j].Bytes(1))
			try(c.Name, V2, c.Updates[j].Bytes(2))
		}
	}
	for _, name := range []string{"b4", "tiny"} {
		whole := readTestdata(t, name+".state.v1.bin")
		try(name, V1, whole)
		try(name, V2, readTestdata(t, name+".state.v2.bin"))
		try(name, V1, whole[:len(whole)-1])
	}
	rng := rand.New(rand.NewPCG(8, 9))
	for _, name := range []string{"b4", "friendsforever"} {
		whole := readTestdata(t, name+".state.v1.bin")
		for range 40 {
			damaged := bytes.Clone(whole)
			damaged[rng.IntN(len(damaged))] ^= 1 << rng.IntN(8)
			try(name+", damaged", V1, damaged)
		}
	}
	t.Logf("%d loaded, %d not", loaded, refused)
	if loaded == 0 || refused == 0 {
		t.Error("the updates are all of one sort")
	}
}

// What is inserted after collected content is collected as well (Yjs:
// Item.getMissing), of whatever content it is.
func TestLoadAfterGC(t *testing.T) {
	for name, content := range map[string][]byte{
		"text":    {0x84, 1, 0, 1, 'x'},
		"deleted": {0x81, 1, 0, 1},
		"values":  {0x88, 1, 0, 1, 0x7e},
		"type":    {0x87, 1, 0, 0},
	} {
		// One section of two blocks of client 1: a gc block of one unit, then content
		// whose origin is that unit. Nothing is deleted.
		v1 := append([]byte{1, 2, 1, 0, 0, 1}, content...)
		v1 = append(v1, 0)
		v2, err := Convert(V1, V2, v1)
		if err != nil {
			t.Fatal(err)
		}
		for v, update := range map[Version][]byte{V1: v1, V2: v2} {
			if !compareLoad(t, name, Options{ClientID: 1}, v, update) {
				t.Errorf("%s in V%d: not loaded", name, v)
			}
			d := New(Options{ClientID: 1})
			if d.load(nil, v, update); !bytes.Equal(d.AppendState(nil, V1), []byte{1, 1, 1, 0, 0, 2, 1, 1, 1, 0, 2}) {
				t.Errorf("%s in V%d: the state is %x", name, v, d.AppendState(nil, V1))
			}
		}
	}
}

func compareLoad(t *testing.T, name string, opts Options, v Version, update []byte) bool {
	t.Helper()
	short, long := New(opts), New(opts)
	c := short.load(nil, v, update)
	if c == nil {
		if got := short.AppendState(nil, V1); !short.fresh() || !bytes.Equal(got, New(opts).AppendState(nil, V1)) {
			t.Fatalf("%s, V%d %x: not loaded, and the document is not empty", name, v, update)
		}
		return false
	}
	want, err := long.take(nil, v, update)
	if err != nil {
		t.Fatalf("%s, V%d %x: loaded, though %v", name, v, update, err)
	}
	if err := short.Check(); err != nil {
		t.Fatalf("%s, V%d %x: %v", name, v, update, err)
	}
	for _, enc := range []Version{V1, V2} {
		if !bytes.Equal(short.AppendState(nil, enc), long.AppendState(nil, enc)) {
			t.Fatalf("%s, V%d %x: the states in V%d differ", name, v, update, enc)
		}
		if got, want := c.AppendUpdate(nil, enc), want.AppendUpdate(nil, enc); !bytes.Equal(got, want) {
			t.Fatalf("%s, V%d %x: the commits in V%d differ:\ngot  %x\nwant %x", name, v, update, enc, got, want)
		}
	}
	if c.Relayable() != want.Relayable() || c.LeftPending() || c.Empty() != want.Empty() {
		t.Fatalf("%s, V%d %x: relayable %v, want %v", name, v, update, c.Relayable(), want.Relayable())
	}
	if got, want := short.AppendJSON(nil, nil), long.AppendJSON(nil, nil); !bytes.Equal(got, want) {
		t.Fatalf("%s, V%d %x:\ngot  %s\nwant %s", name, v, update, got, want)
	}
	return true
}
