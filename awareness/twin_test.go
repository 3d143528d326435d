package awareness

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// twin is a Presence written for reading: one list of everyone, searched from
// end to end.
type twin struct {
	opts  Options
	spoke map[uint64]bool
	all   []*twinEntry // by the time of the last change of phase
}

type twinEntry struct {
	id, clock uint64
	state     string // "" if removed
	session   uint64 // 0 if it left
	subject   string
	at        time.Time
}

func (w *twin) find(id uint64) *twinEntry {
	for _, e := range w.all {
		if e.id == id {
			return e
		}
	}
	return nil
}

func (w *twin) last(e *twinEntry, now time.Time) {
	w.all = append(slices.DeleteFunc(w.all, func(o *twinEntry) bool { return o == e }), e)
	e.at = now
}

func (w *twin) apply(session uint64, subject string, entries []Entry, now time.Time) (relay, repair map[uint64]string) {
	relay, repair = map[uint64]string{}, map[uint64]string{}
	firstWord := !w.spoke[session]
	w.spoke[session] = len(entries) > 0 || w.spoke[session]
	for _, in := range entries {
		e, state := w.find(in.ClientID), string(in.State)
		mine := e != nil && (e.session == session || e.subject == subject || e.subject == "")
		switch {
		case e == nil:
			spokenFor := 0
			for _, o := range w.all {
				if o.session == session {
					spokenFor++
				}
			}
			if in.Clock > 0 && state != "null" && spokenFor < w.opts.MaxPerSession {
				e = &twinEntry{in.ClientID, in.Clock, state, session, subject, now}
				w.last(e, now)
				relay[e.id] = ""
			}
		case in.Clock > e.clock && mine && state == "null":
			e.clock = in.Clock
			if e.state != "" {
				e.state = ""
				relay[e.id] = ""
			}
			w.last(e, now)
		case in.Clock > e.clock && mine:
			spokenFor := 0
			for _, o := range w.all {
				if o.session == session && o != e {
					spokenFor++
				}
			}
			if e.session == session || spokenFor < w.opts.MaxPerSession {
				e.clock, e.state, e.session, e.subject = in.Clock, state, session, subject
				w.last(e, now)
				relay[e.id] = ""
			}
		case in.Clock > e.clock:
		case state == "null":
			if in.Clock == e.clock && e.session == session && e.state != "" {
				e.state = ""
				w.last(e, now)
				relay[e.id] = ""
			}
		case mine && (e.state == "" || e.session == 0 && firstWord && len(entries) == 1):
			repair[e.id] = ""
		}
	}
	for id := range relay {
		e := w.find(id)
		if relay[id] = fmt.Sprint(e.clock, e.state); e.state == "" {
			relay[id] = fmt.Sprint(e.clock, "null")
		}
	}
	for id := range repair {
		repair[id] = fmt.Sprint(w.find(id).clock, "null")
	}
	return relay, repair
}

func (w *twin) leave(session uint64, now time.Time) {
	for _, e := range slices.Clone(w.all) {
		if e.session == session {
			e.session = 0
			if e.state != "" {
				w.last(e, now)
			}
		}
	}
}

func (e *twinEntry) end(grace time.Duration) time.Time {
	switch {
	case e.state == "":
		return e.at.Add(ForgetAfter)
	case e.session == 0:
		return e.at.Add(grace)
	default:
		return e.at.Add(OutdatedAfter)
	}
}

func (w *twin) expire(now time.Time) map[uint64]string {
	relay := map[uint64]string{}
	for _, e := range slices.Clone(w.all) {
		if e.end(w.opts.Grace).After(now) {
			continue
		}
		if e.state == "" {
			w.all = slices.DeleteFunc(w.all, func(o *twinEntry) bool { return o == e })
			continue
		}
		relay[e.id] = fmt.Sprint(e.clock, "null")
		e.state = ""
		w.last(e, now)
	}
	return relay
}

func (w *twin) nextExpiry() time.Time {
	var next time.Time
	for _, e := range w.all {
		if end := e.end(w.opts.Grace); next.IsZero() || end.Before(next) {
			next = end
		}
	}
	return next
}

// contents turns an update into what the twin returns.
func contents(update []byte) map[uint64]string {
	out := map[uint64]string{}
	if update == nil {
		return out
	}
	d := NewDecoder(update)
	for e, ok := d.Next(); ok; e, ok = d.Next() {
		if _, twice := out[e.ClientID]; twice {
			out[e.ClientID] += " twice"
		}
		out[e.ClientID] += fmt.Sprint(e.Clock, string(e.State))
	}
	if d.Err() != nil {
		out[0] = d.Err().Error()
	}
	return out
}

func TestPresenceDoesWhatItsTwinDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		opts := Options{MaxPerSession: 3, Grace: 5 * time.Second}
		p := NewPresence(opts)
		w := &twin{opts: opts, spoke: map[uint64]bool{}}
		now := start
		subjects := []string{"", "ann", "bob"}
		alive := []uint64{1, 2, 3, 4}
		next := uint64(5)
		same := func(what string, got, want map[uint64]string) {
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("%s: %v, the twin says %v", what, got, want)
			}
		}
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			i := rapid.IntRange(0, len(alive)-1).Draw(t, "session")
			switch rapid.SampledFrom(strings.Fields("apply apply apply apply apply leave pass")).Draw(t, "act") {
			case "apply":
				var entries []Entry
				for range rapid.IntRange(1, 3).Draw(t, "entries") {
					entries = append(entries, entry1(
						rapid.Uint64Range(1, 6).Draw(t, "id"),
						rapid.Uint64Range(0, 8).Draw(t, "clock"),
						rapid.SampledFrom([]string{`{}`, `1`, `null`}).Draw(t, "state")))
				}
				subject := subjects[alive[i]%3]
				out, err := p.Apply(alive[i], subject, many(entries...), now)
				if err != nil {
					t.Fatal(err)
				}
				relay, repair := w.apply(alive[i], subject, entries, now)
				same("relay", contents(out.Relay), relay)
				same("repair", contents(out.Repair), repair)
				if len(out.Accepted) != len(relay) {
					t.Fatalf("accepted %v, relayed %v", out.Accepted, relay)
				}
				if len(relay) > 0 {
					same("states", contents(p.AppendStates(nil, out.Accepted...)), relay)
				}
			case "leave":
				p.Leave(alive[i], now)
				w.leave(alive[i], now)
				alive[i] = next
				next++
			case "pass":
				now = now.Add(time.Duration(rapid.IntRange(1, 40).Draw(t, "seconds")) * time.Second)
				same("expired", contents(p.Expire(now)), w.expire(now))
			}
			if !p.NextExpiry().Equal(w.nextExpiry()) {
				t.Fatalf("next expiry %v, the twin says %v", p.NextExpiry(), w.nextExpiry())
			}
			all := map[uint64]string{}
			for _, e := range w.all {
				if e.state != "" && e.end(opts.Grace).After(now) {
					all[e.id] = fmt.Sprint(e.clock, e.state)
				}
			}
			same("all", contents(p.AppendAll(nil, now)), all)
		}
	})
}
