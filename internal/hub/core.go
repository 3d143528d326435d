package hub

import (
	"time"

	"ysync/crdt"
	"ysync/internal/metrics"
	"ysync/persistence"
)

// coreOptions are what a core needs to know of the hub.
type coreOptions struct {
	metrics          *metrics.Metrics
	snapshotInterval time.Duration // 0: not by time
	segmentInterval  time.Duration
	idleUnload       time.Duration
}

// mark is what a reader that fell behind is known to have.
type mark struct {
	version persistence.Position
}

// ackWait is an acknowledgement that was asked for.
type ackWait struct {
	payload []byte
}

// core is one document.
type core struct {
	subs []*Subscription
}

func newCore(limits *Limits, opt coreOptions, doc *crdt.Doc, rec persistence.Record, tail persistence.Tail, now time.Time) *core {
	return &core{}
}

func (c *core) step(in input, fx *effects) {}

func (c *core) lagging(s *Subscription) {}
