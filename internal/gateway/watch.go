package gateway

import (
	"sync"
	"time"

	"ysync/internal/session"
	"ysync/syncproto"
)

// Event is one thing that happened on a session: a message by its kind and size,
// never by its content, or what became of it.
type Event struct {
	Time time.Time `json:"time"`
	// Way is "in", "out" or "note".
	Way string `json:"way"`
	// Kind is that of a message, or of the note.
	Kind  string `json:"kind"`
	Bytes int    `json:"bytes,omitempty"`
	// Note is in words of the server; it quotes nothing that a client sent.
	Note string `json:"note,omitempty"`
}

// The ways of events.
const (
	wayIn   = "in"
	wayOut  = "out"
	wayNote = "note"
)

// maxEvents bounds what is kept for one who watches and does not keep up: then
// the oldest go.
const maxEvents = 1024

// watch collects the events of one session while somebody watches it. Its
// methods may be called from any goroutine, on nil too.
type watch struct {
	more chan struct{} // of capacity 1

	mu     sync.Mutex
	events []Event
	lost   int // events that had to go
	over   bool
}

func newWatch() *watch { return &watch{more: make(chan struct{}, 1)} }

func (w *watch) add(events ...Event) {
	if w == nil {
		return
	}
	w.mu.Lock()
	w.events = append(w.events, events...)
	if n := len(w.events) - maxEvents; n > 0 {
		w.events = append(w.events[:0], w.events[n:]...)
		w.lost += n
	}
	w.mu.Unlock()
	w.signal()
}

func (w *watch) signal() {
	select {
	case w.more <- struct{}{}:
	default:
	}
}

// take returns what has come since the last time, and whether no more will.
func (w *watch) take() (events []Event, lost int, over bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	events, lost, over = w.events, w.lost, w.over
	w.events, w.lost = nil, 0
	return events, lost, over
}

func (w *watch) end() {
	if w == nil {
		return
	}
	w.mu.Lock()
	w.over = true
	w.mu.Unlock()
	w.signal()
}

// received notes a frame of the client and what was made of it.
func (w *watch) received(frame []byte, step *session.Step, now time.Time) {
	if w == nil {
		return
	}
	events := messagesOf(wayIn, frame, now)
	note := func(kind, text string) {
		events = append(events, Event{Time: now, Way: wayNote, Kind: kind, Note: text})
	}
	if step.Malformed != nil {
		note("malformed", "the frame does not decode and was set aside whole: "+step.Malformed.Error())
	}
	if step.Unknown > 0 {
		note("unknown", "a message of unknown type was ignored, with the rest of its frame")
	}
	if step.Refused > 0 {
		note("refused", "the session has no right to send this: it was dropped")
	}
	if step.Attach {
		note("attached", "the session subscribes to its document")
	}
	if step.Close != nil {
		note("close", step.Close.Error())
	}
	w.add(events...)
}

// sent notes a frame for the client.
func (w *watch) sent(frame []byte, now time.Time) {
	if w == nil {
		return
	}
	w.add(messagesOf(wayOut, frame, now)...)
}

// messagesOf are the messages of a frame.
func messagesOf(way string, frame []byte, now time.Time) (events []Event) {
	d := syncproto.NewDecoder(frame)
	for m, ok := d.Next(); ok; m, ok = d.Next() {
		events = append(events, Event{Time: now, Way: way, Kind: m.Kind.String(), Bytes: len(m.Payload)})
	}
	if d.Err() != nil && len(events) == 0 {
		events = append(events, Event{Time: now, Way: way, Kind: syncproto.KindUnknown.String(), Bytes: len(frame)})
	}
	return events
}
