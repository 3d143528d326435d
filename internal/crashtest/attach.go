package crashtest

import (
	"context"
	"sync/atomic"

	"ysync/internal/hub"
	"ysync/syncproto"
)

// attach returns how to connect to a hub in this process.
func attach(h *hub.Hub) dialer {
	var sessions atomic.Uint64
	return func(ctx context.Context, document string) (*link, error) {
		wake := make(chan struct{}, 1)
		peer := hub.Peer{Session: sessions.Add(1), CanWrite: true, CanPresence: true}
		sub, err := h.Subscribe(document, peer, func() {
			select {
			case wake <- struct{}{}:
			default:
			}
		})
		if err != nil {
			return nil, err
		}
		l := &link{frames: make(chan []byte, 64), hangUp: sub.Close}
		l.write = func(ctx context.Context, frame []byte) error {
			return messages(frame, func(m syncproto.Message) error { return sub.Send(ctx, m) })
		}
		go func() {
			defer close(l.frames)
			l.err = pump(ctx, sub, wake, l.frames)
		}()
		return l, nil
	}
}

// pump passes on what the hub has for a subscription, until one of them ends.
func pump(ctx context.Context, sub *hub.Subscription, wake <-chan struct{}, frames chan<- []byte) error {
	for {
		frame, ok := sub.Next()
		if ok {
			select {
			case frames <- frame:
				continue
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if err := sub.End(); err != nil {
			return err
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
