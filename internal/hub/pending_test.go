package hub

import (
	"testing"

	"ysync/syncproto"
)

// TestPendingOfEqualSizeIsLogged sends two pairs of updates, each the second
// half first. What waits of the second pair has the size of what waited of the
// first, and is something else: it has to be in the log too.
func TestPendingOfEqualSizeIsLogged(t *testing.T) {
	run(t, Options{}, func(t *testing.T, w *world) {
		a := join(t, w.hub, "d", 1)
		settle(a)
		for _, pair := range [][2]string{{"one ", "two "}, {"uno ", "due "}} {
			first, second := a.write(pair[0]), a.write(pair[1])
			a.send(syncproto.KindUpdate, second)
			a.send(syncproto.KindUpdate, first)
		}
		settle(a)
		a.send(syncproto.KindAck, ackRequest(1))
		settle(a)
		if len(a.acks) != 1 {
			t.Fatalf("acknowledged: %v", a.acks)
		}
		if got, want := w.durable("d"), a.text(); got != want {
			t.Errorf("the log holds %q, acknowledged was %q", got, want)
		}
	})
}
