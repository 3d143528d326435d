package gateway

import (
	"context"

	"ysync/internal/hub"
	"ysync/syncproto"
)

// Documents is where sessions find their documents, here or at another node.
type Documents interface {
	// Subscribe is that of hub.Hub.
	Subscribe(document string, p hub.Peer, wake func()) (Subscription, error)
}

// Subscription is a session's place at its document, as hub.Subscription is
// one. The methods are as described there.
type Subscription interface {
	SendInTurn(ctx context.Context, m syncproto.Message, t *hub.Turn) error
	Next() ([]byte, bool)
	Progress(bytes int)
	Allow(r hub.Rights)
	End() error
	Close()
}

// here are the documents of a node that owns them all.
type here struct{ hub *hub.Hub }

func (h here) Subscribe(document string, p hub.Peer, wake func()) (Subscription, error) {
	s, err := h.hub.Subscribe(document, p, wake)
	if err != nil {
		return nil, err
	}
	return s, nil
}
