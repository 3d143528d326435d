package hub

import "testing"

// A document with short turns waits for one long turn, however many wait for theirs, and
// long ones are not kept waiting for ever.
func TestShortTurnsDoNotWaitForAllLongOnes(t *testing.T) {
	var q runQueue
	q.init()
	long, short := new(document), new(document)
	long.long.Store(true)
	for range 100 {
		q.push(long)
	}
	q.push(short)
	if q.pop() != short {
		t.Fatal("a long turn went first")
	}
	q.pop()
	q.push(short)
	if q.pop() != short {
		t.Fatal("a second long turn went before a short one")
	}
	// Those with short turns come as fast as they are served.
	gap := 0
	for range 10 * maxPassed {
		q.push(short)
		if d := q.pop(); d == long {
			gap = 0
		} else if gap++; gap > maxPassed {
			t.Fatalf("a long turn waited for %d short ones", gap)
		}
	}
	for !q.empty() {
		q.pop()
	}
	q.close()
	if q.pop() != nil {
		t.Error("a document from a closed queue")
	}
}
