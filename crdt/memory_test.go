package crdt

import (
	"runtime"
	"testing"
)

// heapAfterGC collects twice, so that what pools keep is gone as well.
func heapAfterGC() (bytes, objects uint64) {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc, m.HeapObjects
}

// What an open document that a server was given whole takes of the heap.
func TestMemoryOfOpenDocuments(t *testing.T) {
	for _, c := range []struct {
		state          string
		docs           int
		bytes, objects uint64
	}{
		{"tiny.state.v1.bin", 2000, 2000, 12},
		{"b4.state.v1.bin", 20, 800_000, 16},
	} {
		state := readTestdata(t, c.state)
		open := func() *Doc {
			d := serverDoc()
			if _, err := d.Apply(nil, V1, state); err != nil {
				t.Fatal(err)
			}
			return d
		}
		open()
		docs := make([]*Doc, c.docs)
		bytes, objects := heapAfterGC()
		for i := range docs {
			docs[i] = open()
		}
		bytesThen, objectsThen := heapAfterGC()
		n := uint64(c.docs)
		bytes, objects = (bytesThen-bytes)/n, (objectsThen-objects)/n
		t.Logf("%s: %d bytes, %d objects", c.state, bytes, objects)
		if bytes > c.bytes || objects > c.objects {
			t.Errorf("%s: %d bytes and %d objects, at most %d and %d allowed", c.state, bytes, objects, c.bytes, c.objects)
		}
		for _, d := range docs[:min(20, len(docs))] {
			if err := d.Check(); err != nil {
				t.Error(err)
			}
		}
		runtime.KeepAlive(docs)
	}
}
