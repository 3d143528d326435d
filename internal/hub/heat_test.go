package hub

import (
	"testing"
	"time"
)

// The figures of a document are those of the time between two looks.
func TestHeat(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	d := &document{name: "hot"}
	d.sessions.Store(3)
	d.look(start)
	if d.heat.last.Load() != nil {
		t.Error("figures before there is anything to compare with")
	}
	d.heat.note(100, 200, time.Second)
	d.look(start.Add(10 * time.Second))
	want := HotDocument{Document: "hot", Busy: .1, Commands: 10, Deliveries: 20, Sessions: 3}
	if got := d.heat.last.Load(); got == nil || *got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	d.look(start.Add(20 * time.Second))
	if got := d.heat.last.Load(); got.Commands != 0 || got.Busy != 0 {
		t.Errorf("a quiet document: %+v", got)
	}
}
