package gateway

import (
	"runtime"
	"testing"
)

// Two goroutines run at once on one processor while many sessions are slowed down, and
// ten seconds longer.
func TestSecondP(t *testing.T) {
	usual := runtime.GOMAXPROCS(1)
	t.Cleanup(func() { runtime.GOMAXPROCS(usual) })
	var p secondP
	p.take(manySlowed - 1)
	if n := runtime.GOMAXPROCS(0); n != 1 {
		t.Errorf("%d with few", n)
	}
	p.take(manySlowed)
	for range secondFor - 1 {
		p.take(0)
	}
	if n := runtime.GOMAXPROCS(0); n != 2 {
		t.Errorf("%d with many, a while later", n)
	}
	p.take(0)
	if p.on {
		t.Error("still two long after")
	}

	runtime.GOMAXPROCS(1)
	named := secondP{fixed: true}
	named.take(manySlowed)
	if n := runtime.GOMAXPROCS(0); n != 1 {
		t.Errorf("%d where the operator named one", n)
	}
}
