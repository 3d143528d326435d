package relay

import (
	"bytes"
	"slices"

	"ysync/awareness"
	"ysync/syncproto"
)

// kept is what a session has sent and nobody has acknowledged. Another owner is
// sent it again.
type kept struct {
	messages []syncproto.Message // updates and requests for acknowledgements
	// sent is how many of them the owner of now has been sent.
	sent  int
	bytes int // of updates
	// dropped: updates were dropped because there were too many. The client has
	// to be asked what it has.
	dropped bool
}

const (
	// keptBytes bounds the updates kept for one session, keptCost is what one
	// costs beside its bytes, keptAcks bounds the requests.
	keptBytes = 128 << 10
	keptCost  = 64
	keptAcks  = 1024
)

// add keeps a message. sent tells that it goes to the owner now.
func (k *kept) add(m syncproto.Message, sent bool) {
	if m.Kind != syncproto.KindAck {
		k.bytes += len(m.Payload) + keptCost
		if k.bytes > keptBytes {
			k.drop()
			k.dropped = true
			return
		}
	} else if n := len(k.messages); n >= keptAcks && k.messages[n-1].Kind == syncproto.KindAck {
		// A later request stands for what was sent before it.
		k.messages[n-1] = m
		return
	}
	if m.Kind == syncproto.KindSyncStep2 {
		// To another owner it is no answer.
		m.Kind = syncproto.KindUpdate
	}
	k.messages = append(k.messages, m)
	if sent {
		k.sent = len(k.messages)
	}
}

// drop drops the updates. The requests stay: they are answered when the client
// has said what it has.
func (k *kept) drop() {
	before := k.messages[:min(k.sent, len(k.messages))]
	sent := 0
	for i := range before {
		if before[i].Kind == syncproto.KindAck {
			sent++
		}
	}
	k.messages = slices.DeleteFunc(k.messages, func(m syncproto.Message) bool { return m.Kind != syncproto.KindAck })
	k.sent, k.bytes = sent, 0
}

// acked forgets all up to a request that was answered.
func (k *kept) acked(payload []byte) {
	i := slices.IndexFunc(k.messages, func(m syncproto.Message) bool {
		return m.Kind == syncproto.KindAck && bytes.Equal(m.Payload, payload)
	})
	if i < 0 {
		return
	}
	for _, m := range k.messages[:i] {
		if m.Kind != syncproto.KindAck {
			k.bytes -= len(m.Payload) + keptCost
		}
	}
	k.messages = slices.Delete(k.messages, 0, i+1)
	k.sent = max(0, k.sent-i-1)
	k.dropped = false
	if len(k.messages) == 0 {
		k.messages = nil
	}
}

// ownPresence is what a client last showed of itself. The first thing that it
// sends of presence is its own; what it sends of others it only passes on.
type ownPresence struct {
	ids  []uint64
	last []byte
}

const (
	maxOwnIDs   = awareness.DefaultMaxPerSession
	maxPresence = 64 << 10
)

func (p *ownPresence) note(update []byte) {
	if len(update) > maxPresence {
		return
	}
	var ids []uint64
	d := awareness.NewDecoder(update)
	for e, ok := d.Next(); ok; e, ok = d.Next() {
		if len(ids) == maxOwnIDs || p.ids != nil && !slices.Contains(p.ids, e.ClientID) {
			return
		}
		ids = append(ids, e.ClientID)
	}
	if d.Err() != nil || len(ids) == 0 {
		return
	}
	if p.ids == nil {
		p.ids = ids
	}
	p.last = update
}
