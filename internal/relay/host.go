package relay

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"ysync/internal/hub"
	"ysync/internal/tracing"
	"ysync/syncproto"
)

// host is a channel at the node with the document: it is to the hub what the
// connections of the other node are.
type host struct {
	// Static.
	channel *channel
	relay   *Relay
	ctx     context.Context
	cancel  context.CancelFunc

	mu sync.Mutex
	// Guarded by mu.
	inbox   []inFrame
	running bool
	over    bool
	group   *hub.Group // nil before it is known that the document is here

	// Owned by the goroutine that serves the inbox.
	subs map[uint64]*hub.Subscription
}

type inFrame struct {
	frame frame
	bytes int
}

func newHost(c *channel) *host {
	h := &host{channel: c, relay: c.link.relay, subs: map[uint64]*hub.Subscription{}}
	h.ctx, h.cancel = context.WithCancel(h.relay.ctx)
	return h
}

// The names of relayed sessions at the hub: no other session of the document
// has the same, as each link has a number and sessions never use one twice.
const (
	relayedSession = 1 << 63
	sessionBits    = 40
	sessionMask    = 1<<sessionBits - 1
)

func (h *host) name(session uint64) uint64 {
	return relayedSession | h.channel.link.number<<sessionBits | session&sessionMask
}

// receive implements receiver: frames are served one after the other, by a
// goroutine that exists while there are any.
func (h *host) receive(f frame, bytes int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over {
		return
	}
	h.inbox = append(h.inbox, inFrame{f, bytes})
	if !h.running {
		h.running = true
		h.relay.work.Go(h.run)
	}
}

// broken implements receiver.
func (h *host) broken() { h.receive(frame{kind: frameClose}, 0); h.cancel() }

func (h *host) run() {
	for {
		h.mu.Lock()
		if len(h.inbox) == 0 {
			h.running = false
			h.mu.Unlock()
			return
		}
		in := h.inbox
		h.inbox = nil
		h.mu.Unlock()
		for i := range in {
			h.serve(&in[i].frame)
			h.channel.took(in[i].bytes)
		}
	}
}

func (h *host) serve(f *frame) {
	switch f.kind {
	case frameOpen:
		h.open(f)
	case frameJoin:
		h.join(f)
	case frameLeave:
		if s := h.subs[f.session]; s != nil {
			delete(h.subs, f.session)
			s.Close()
		}
	case frameMessage:
		h.message(f)
	case frameLag:
		if s := h.subs[f.session]; s != nil {
			h.group.Lag(s)
		}
	case frameDrained:
		if s := h.subs[f.session]; s != nil {
			h.group.Drained(s)
		}
	case frameClose:
		h.close()
	default:
		h.channel.link.fail(errBroken)
	}
}

// open attaches the channel if this node is the one with the document.
func (h *host) open(f *frame) {
	if h.group != nil || f.text == "" {
		h.channel.link.fail(errBroken)
		return
	}
	ctx, cancel := context.WithTimeout(h.ctx, ownerWait)
	defer cancel()
	owner, err := h.relay.opt.Directory.Owner(ctx, f.text)
	if err != nil || owner.Boot != h.relay.self {
		h.relay.opt.Metrics.RelayRefusedTotal.Inc()
		h.channel.hurry(frame{kind: frameRefused, text: owner.Boot})
		return
	}
	g, err := h.relay.opt.Hub.Join(f.text, f.body, h.channel.poke)
	if err != nil {
		h.channel.hurry(frame{kind: frameRefused})
		return
	}
	h.mu.Lock()
	h.group = g
	h.mu.Unlock()
	h.channel.hurry(frame{kind: frameOpened})
	h.channel.poke()
}

// ownerWait bounds how long the directory may take to say who has a document.
const ownerWait = 5 * time.Second

// The rights of a session, as frameJoin carries them.
const (
	rightWrite = 1 << iota
	rightPresence
	rightEcho
)

func rightsOf(p hub.Peer) (bits uint64) {
	if p.CanWrite {
		bits |= rightWrite
	}
	if p.CanPresence {
		bits |= rightPresence
	}
	if p.Echo {
		bits |= rightEcho
	}
	return bits
}

func (h *host) join(f *frame) {
	if h.group == nil {
		return
	}
	if h.subs[f.session] != nil || f.session&^sessionMask != 0 {
		h.channel.link.fail(errBroken)
		return
	}
	s, err := h.group.Subscribe(hub.Peer{
		Session:     h.name(f.session),
		Subject:     f.text,
		User:        string(f.body),
		CanWrite:    f.a&rightWrite != 0,
		CanPresence: f.a&rightPresence != 0,
		Echo:        f.a&rightEcho != 0,
		Generation:  f.generation(),
		Join:        hub.Join(f.b & 0xff),
	})
	if err != nil {
		// The group has ended, and tells so.
		return
	}
	h.subs[f.session] = s
}

// generation is the only one that a joining session is let in for; 0 for any.
func (f *frame) generation() uint64 {
	if len(f.list) == 0 {
		return 0
	}
	return f.list[0]
}

func (h *host) message(f *frame) {
	s := h.subs[f.session]
	if s == nil {
		return
	}
	if f.a == kindRights {
		if len(f.body) == 1 {
			s.Allow(hub.Rights(f.body[0]))
		}
		return
	}
	h.relay.opt.Metrics.RelayMessagesTotal.Inc()
	span := h.relay.opt.Tracer.Remote(f.text, tracing.Message)
	err := s.Send(tracing.With(h.ctx, span), syncproto.Message{Kind: syncproto.Kind(f.a), Payload: f.body})
	span.Fail(err).End()
	if err != nil && !errors.Is(err, hub.ErrEnded) && h.ctx.Err() == nil {
		h.relay.opt.Logger.Error("a relayed message", zap.Error(err))
	}
}

func (h *host) close() {
	h.mu.Lock()
	h.over = true
	h.mu.Unlock()
	h.cancel()
	for _, s := range h.subs {
		s.Close()
	}
	h.subs = nil
	if h.group != nil {
		h.group.Close()
	}
}

// next makes a frame of the next thing that the group wants done.
func (h *host) next() (frame, bool) {
	h.mu.Lock()
	g := h.group
	h.mu.Unlock()
	if g == nil {
		return frame{}, false
	}
	c, ok := g.Next()
	if !ok {
		return frame{}, false
	}
	session := c.Session & sessionMask
	switch c.Kind {
	case hub.CastUpdate, hub.CastPresence, hub.CastVector:
		if c.Kind == hub.CastUpdate {
			h.relay.opt.Metrics.RelayCastsTotal.Inc()
		}
		f := frame{kind: frameCast, a: uint64(c.Kind), b: uint64(c.Version), body: c.Frame}
		if len(c.Except) > 0 {
			f.list = make([]uint64, len(c.Except))
			for i, s := range c.Except {
				f.list[i] = s & sessionMask
			}
		}
		return f, true
	case hub.CastAudience:
		return frame{kind: frameAudience, session: session, a: uint64(c.Audience)}, true
	case hub.CastEnd:
		return endFrame(frameEnd, session, c.Why), true
	case hub.CastGone:
		f := endFrame(frameGone, 0, g.Why())
		f.body = g.Known()
		return f, true
	default:
		return frame{kind: frameSingle, session: session, a: uint64(c.Kind), body: c.Frame}, true
	}
}

func endFrame(kind frameKind, session uint64, why *hub.EndError) frame {
	return frame{kind: kind, session: session, a: uint64(why.Code), text: why.Reason}
}
