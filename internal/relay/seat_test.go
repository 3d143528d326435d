package relay

import (
	"testing"

	"ysync/syncproto"
)

// What a client answers to an owner that is none any more tells of that one's
// memory: the next owner must not take it for all that it lacks.
func TestAnswersToTheOwnerBefore(t *testing.T) {
	s, r := &Seat{}, &route{}
	question := syncproto.AppendSyncStep1(nil, []byte{0})
	kindOf := func(want syncproto.Kind) {
		t.Helper()
		if got := s.kindOf(syncproto.KindSyncStep2); got != want {
			t.Errorf("an answer counts as %v, want %v", got, want)
		}
	}
	s.answered(question)
	kindOf(syncproto.KindSyncStep2)
	s.answered(question)
	s.answered(question)
	r.unseat(s)
	s.answered(question) // of the next owner
	kindOf(syncproto.KindUpdate)
	kindOf(syncproto.KindUpdate)
	kindOf(syncproto.KindSyncStep2)
	s.kept.add(syncproto.Message{Kind: syncproto.KindSyncStep2, Payload: []byte{0, 0}}, true)
	if got := s.kept.messages[0].Kind; got != syncproto.KindUpdate {
		t.Errorf("an answer is kept as %v", got)
	}
}
