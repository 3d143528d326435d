package session

import (
	"testing"
	"time"

	"ysync/internal/auth"
)

func TestRates(t *testing.T) {
	limits := Limits{MessagesPerSecond: 10, BytesPerSecond: 1000, FairUnitsPerSecond: 2}.WithDefaults()
	for _, c := range []struct {
		name  string
		load  Load
		sizes []int
		wait  time.Duration
		over  Over
	}{
		{"within the burst", Calm, []int{10, 10, 10}, 0, OverNothing},
		{"bytes", Calm, []int{5000, 1000}, time.Second, OverBytes},
		{"one large message is taken whole", Calm, []int{32_000}, 27 * time.Second, OverBytes},
		{"a fair share", Pressed, []int{0, 0, 0, 0, 0}, time.Second / 2, OverFair},
	} {
		s := New(&limits, auth.Grant{Scope: auth.Write}, start)
		var wait time.Duration
		var over Over
		for _, n := range c.sizes {
			wait, over = s.Spend(n, 0, c.load, start)
		}
		if over != c.over || wait != c.wait {
			t.Errorf("%s: %v for %v, want %v for %v", c.name, wait, over, c.wait, c.over)
		}
	}
	s := New(&limits, auth.Grant{Scope: auth.Write}, start)
	for range 50 {
		s.Spend(1, 0, Calm, start)
	}
	if wait, over := s.Spend(1, 0, Calm, start); wait != 100*time.Millisecond || over != OverMessages {
		t.Errorf("after the burst: %v for %v", wait, over)
	}
	if wait, _ := s.Spend(1, 0, Calm, start.Add(time.Minute)); wait != 0 {
		t.Errorf("a minute later: %v", wait)
	}
}

// What was paid while a message came is not paid again with the whole.
func TestSpendPart(t *testing.T) {
	limits := Limits{BytesPerSecond: 1000}.WithDefaults()
	s := New(&limits, auth.Grant{Scope: auth.Write}, start)
	if wait := s.SpendPart(5000, start); wait != 0 {
		t.Errorf("within the burst: %v", wait)
	}
	if wait := s.SpendPart(500, start); wait != time.Second/2 {
		t.Errorf("half a second's worth beyond it: %v", wait)
	}
	if wait, over := s.Spend(5500, 5500, Calm, start.Add(time.Second/2)); wait != 0 || over != OverNothing {
		t.Errorf("the whole, all paid: %v for %v", wait, over)
	}
	if wait, over := s.Spend(6000, 5500, Calm, start.Add(time.Second/2)); wait != time.Second/2 || over != OverBytes {
		t.Errorf("the whole, but for 500 bytes: %v for %v", wait, over)
	}
}

func BenchmarkSpend(b *testing.B) {
	limits := Limits{}.WithDefaults()
	s := New(&limits, auth.Grant{Scope: auth.Write}, start)
	b.ReportAllocs()
	for i := range b.N {
		s.Spend(40, 0, Pressed, start.Add(time.Duration(i)*time.Second))
	}
}
