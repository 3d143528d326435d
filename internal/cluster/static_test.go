package cluster_test

import (
	"testing"

	"ysync/internal/cluster"
)

func TestStaticOwnsEverything(t *testing.T) {
	self := cluster.Node{Boot: "b", Weight: 1}
	var d cluster.Directory = cluster.Static(self)
	owner, err := d.Owner(t.Context(), "doc")
	if err != nil || owner != self || d.Self() != self {
		t.Fatalf("owner %v, %v; self %v", owner, err, d.Self())
	}
	if m := d.Members(); len(m) != 1 || m[0] != self {
		t.Fatalf("members %v", m)
	}
	d.Refused(self)
	d.Moved("doc")
	select {
	case <-d.Changed():
		t.Fatal("a node that is alone has changed")
	default:
	}
	if err := d.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}
