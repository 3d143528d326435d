package crashtest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/coder/websocket"

	"ysync/crdt"
	"ysync/internal/lib0"
	"ysync/syncproto"
)

// dialer connects to a document. What it starts ends with ctx or the link.
type dialer func(ctx context.Context, document string) (*link, error)

// link is one connection to one document, with what was asked on it.
type link struct {
	// write sends a frame, hangUp ends the connection without a goodbye. A failed
	// write says why the connection ended, and nothing arrives any more.
	write  func(ctx context.Context, frame []byte) error
	hangUp func()
	// frames yields what arrives; it closes when the connection ends, and then
	// err says why.
	frames chan []byte
	err    error

	// requests are the acknowledgements asked for and not yet given, by number.
	requests []request
	asked    uint64
}

// request asks for the acknowledgement of edits that went before it on the link.
type request struct {
	n     uint64
	edits []*edit
}

const maxFrameBytes = 64 << 20

// dial returns how to connect to the server at addr.
func dial(addr string) dialer {
	return func(ctx context.Context, document string) (*link, error) {
		return dialWithin(ctx, ctx, 0, addr, document)
	}
}

// dialWithin connects before soon ends. The link ends with ctx, and when nothing
// comes for as long as silence; 0 for never.
func dialWithin(soon, ctx context.Context, silence time.Duration, addr, document string) (*link, error) {
	u := url.URL{Scheme: "ws", Host: addr, Path: "/" + document}
	conn, _, err := websocket.Dial(soon, u.String(), nil)
	if err != nil {
		return nil, err
	}
	conn.SetReadLimit(maxFrameBytes)
	l := &link{frames: make(chan []byte, 64)}
	l.write = func(ctx context.Context, frame []byte) error {
		err := conn.Write(ctx, websocket.MessageBinary, frame)
		if err == nil {
			return nil
		}
		// Whoever writes while the server's goodbye arrives learns only that
		// the connection is closed; the reader learns why.
		for range l.frames {
		}
		return l.err
	}
	// Both ends are about to go; how the goodbye fares matters to nobody.
	l.hangUp = func() { _ = conn.CloseNow() }
	heard := func() {}
	if silence > 0 {
		quiet := time.AfterFunc(silence, l.hangUp)
		heard = func() { quiet.Reset(silence) }
	}
	go func() {
		defer close(l.frames)
		for {
			_, frame, err := conn.Read(ctx)
			if err != nil {
				l.err = err
				return
			}
			heard()
			select {
			case l.frames <- frame:
			case <-ctx.Done():
				l.err = ctx.Err()
				return
			}
		}
	}()
	return l, nil
}

// ask requests an acknowledgement of edits, all of which went before on l.
func (l *link) ask(ctx context.Context, edits []*edit) error {
	l.asked++
	l.requests = append(l.requests, request{l.asked, edits})
	return l.write(ctx, syncproto.AppendAck(nil, lib0.AppendUvarint(nil, l.asked)))
}

// awaits reports whether an acknowledgement of e was asked for and not yet given.
func (l *link) awaits(e *edit) bool {
	return slices.ContainsFunc(l.requests, func(r request) bool { return slices.Contains(r.edits, e) })
}

// answered returns the edits that an acknowledgement covers.
func (l *link) answered(payload []byte) ([]*edit, error) {
	r := lib0.NewReader(payload)
	n := r.Uvarint()
	if r.Err() != nil || n > l.asked {
		return nil, fmt.Errorf("acknowledgement %x of %d asked for", payload, l.asked)
	}
	var edits []*edit
	for len(l.requests) > 0 && l.requests[0].n <= n {
		edits = append(edits, l.requests[0].edits...)
		l.requests = l.requests[1:]
	}
	return edits, nil
}

// closedByServer reports whether the server sent a goodbye, which a killed one
// cannot.
func closedByServer(err error) bool {
	var c websocket.CloseError
	return errors.As(err, &c)
}

// messages yields the messages of a frame.
func messages(frame []byte, visit func(syncproto.Message) error) error {
	d := syncproto.NewDecoder(frame)
	for {
		m, ok := d.Next()
		if !ok {
			break
		}
		if err := visit(m); err != nil {
			return err
		}
	}
	if err := d.Err(); err != nil {
		return fmt.Errorf("a frame of the server does not decode: %w", err)
	}
	return nil
}

// fetch reads a document as a fresh client: everything up to and including the
// server's SyncStep2.
func fetch(ctx context.Context, dial dialer, document string) (*crdt.Doc, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l, err := dial(ctx, document)
	if err != nil {
		return nil, err
	}
	defer l.hangUp()
	doc := crdt.New(crdt.Options{})
	if err := l.write(ctx, syncproto.AppendSyncStep1(nil, crdt.AppendStateVector(nil, doc.StateVector()))); err != nil {
		return nil, err
	}
	for synced := false; !synced; {
		frame, ok := <-l.frames
		if !ok {
			return nil, fmt.Errorf("the connection ended before SyncStep2: %w", l.err)
		}
		err := messages(frame, func(m syncproto.Message) error {
			switch m.Kind {
			case syncproto.KindSyncStep2, syncproto.KindUpdate:
				synced = synced || m.Kind == syncproto.KindSyncStep2
				_, err := doc.Apply(nil, crdt.V1, m.Payload)
				return err
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if p := doc.Pending(); !p.Empty() {
		return nil, fmt.Errorf("a fresh client is left with %+v pending", p)
	}
	return doc, nil
}
