package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
	"unicode/utf16"

	"ysync/crdt"
	"ysync/internal/api"
	"ysync/internal/testyjs"
	"ysync/syncproto"
)

var revertedMoments = flag.Int("reverts", 3, "to how many random moments of a session it is reverted, then back, then there again")

// TestRevertToAnyMomentUnderTypists gives a server a real editing session of two
// authors, edit by edit, and then lets twenty clients type into it without a
// pause. Meanwhile it is reverted to random moments, and each revert is reverted.
// The moment is what a real Yjs had then, and the entry that a revert makes gives
// it, byte for byte; what lives in both the moment and the document before keeps
// its IDs; and what is typed meanwhile stays.
func TestRevertToAnyMomentUnderTypists(t *testing.T) {
	on(t, func(t *testing.T, s *site) {
		server := s.serveFor(bound + time.Duration(*revertedMoments)*20*time.Second)
		session := testyjs.Session(t, "friendsforever")
		feeder := server.join("d")
		for _, u := range session {
			feeder.send(syncproto.AppendUpdate(nil, u))
		}
		feeder.send(syncproto.AppendAck(nil, []byte{1}))
		feeder.until(syncproto.KindAck)
		rng := rand.New(rand.NewPCG(4, 20))
		positions := make([]uint64, *revertedMoments)
		for i := range positions {
			positions[i] = 1 + rng.Uint64N(uint64(len(session)))
		}
		yjs := map[string]testyjs.Shown{}
		if next, ok := testyjs.Moments(t, "friendsforever", slices.Sorted(slices.Values(positions))); ok {
			for range positions {
				m := next()
				yjs[momentOf(m.Position)] = m
			}
		}

		typists := make([]*typist, 20)
		for i := range typists {
			typists[i] = server.typist("d")
		}
		typed := make(chan struct{})
		stop := make(chan struct{})
		var typing sync.WaitGroup
		for i, p := range typists {
			places := rand.New(rand.NewPCG(uint64(i), 20))
			typing.Go(func() { p.typeOn(i, places, typed, stop) })
		}
		pass := func(n int) {
			for range n {
				<-typed
			}
		}
		pass(100)
		taken := map[string]bool{} // by reverts
		moment := ""
		for i, p := range positions {
			if i%50 == 49 {
				t.Logf("%d moments", i+1)
			}
			moment = momentOf(p)
			if was, ok := yjs[moment]; ok && testyjs.Of(p, s.at(server, moment)) != was {
				t.Errorf("the moment %s is not what Yjs had", moment)
			}
			undo := s.revert(server, moment, taken)
			pass(20)
			s.revert(server, undo, taken)
			pass(20)
			s.revert(server, moment, taken)
			pass(20)
		}
		close(stop)
		typing.Wait()

		settled(t, s, server, "d", typists)
		text := s.at(server, "now").Text("text").String()
		then := s.at(server, moment).Text("text").String()
		if rest := word.ReplaceAllString(text, ""); rest != then {
			t.Errorf("beside the words the document is\n%.200q, want\n%.200q", rest, then)
		}
		want := map[string]bool{}
		for _, p := range typists {
			for _, w := range p.typed {
				if !taken[w] {
					want[w] = true
				}
			}
		}
		if got := words(text); !maps.Equal(got, want) {
			t.Errorf("%d words are there, want the %d that no revert took", len(got), len(want))
		}
		if len(want) < 20 || len(taken) < 200 {
			t.Errorf("the reverts took %d words, and %d came after them", len(taken), len(want))
		}
		t.Logf("%d reverts to %d moments and back, %d of them compared with Yjs; %d words taken by reverts, %d typed since the last",
			3*len(positions), len(positions), len(yjs), len(taken), len(want))
	})
}

// typeOn types words, each after a line break somewhere, until it is stopped, fifty
// a second at most: people leave the machine time for reverts.
func (p *typist) typeOn(name int, places *rand.Rand, typed chan<- struct{}, stop <-chan struct{}) {
	place := func(text crdt.Text) int {
		at := []int{0}
		for i, u := range utf16.Encode([]rune(text.String())) {
			if u == '\n' {
				at = append(at, i+1)
			}
		}
		return at[places.IntN(len(at))]
	}
	pace := time.NewTicker(20 * time.Millisecond)
	defer pace.Stop()
	for n := 0; ; n++ {
		<-pace.C
		if err := p.insert("text", fmt.Sprintf("<%d.%d>", name, n), place); err != nil {
			p.t.Error(err)
			return
		}
		p.send(syncproto.AppendAck(nil, []byte{1}))
		<-p.acked
		select {
		case <-stop:
			return
		case typed <- struct{}{}:
		default:
		}
	}
}

func momentOf(position uint64) string { return "#" + strconv.FormatUint(position, 10) }

// at is the document at a moment.
func (s *site) at(server *server, moment string) *crdt.Doc {
	s.t.Helper()
	r := onDocument(http.MethodGet, "d", "content")
	r.query = url.Values{"at": {moment}, "format": {"v1"}}
	state, _, err := server.remote().bytes(s.t.Context(), r)
	if err != nil {
		s.t.Fatal(err)
	}
	doc := crdt.New(crdt.Options{})
	if _, err := doc.Apply(nil, crdt.V1, state); err != nil {
		s.t.Fatal(err)
	}
	doc.Text("text")
	return doc
}

// revert reverts the document in place, checks the entry that this makes, and
// returns the moment before it. It takes the words that were there then, but for
// those of the moment, which it brings back.
func (s *site) revert(server *server, moment string, taken map[string]bool) (undo string) {
	s.t.Helper()
	var made api.Restored
	out := s.must(server, "snapshot", "restore", "d", moment, "--in-place", "--json")
	if err := json.Unmarshal([]byte(out), &made); err != nil || !made.Changed || made.Undo == "" {
		s.t.Fatalf("%s: %s: %v", moment, out, err)
	}
	then, before := s.at(server, moment), s.at(server, made.Undo)
	maps.Copy(taken, words(before.Text("text").String()))
	for w := range words(then.Text("text").String()) {
		delete(taken, w)
	}
	after := s.at(server, momentOf(made.Position))
	if got, want := after.AppendJSON(nil, nil), then.AppendJSON(nil, nil); string(got) != string(want) {
		s.t.Errorf("reverted to %s the document is\n%.200s, want\n%.200s", moment, got, want)
	}
	kept, live, now := living(then), living(before), living(after)
	gone := kept.Clone()
	gone.Subtract(&live)
	kept.Subtract(&gone)
	if kept.Empty() {
		s.t.Errorf("nothing lives both at %s and before the revert", moment)
	}
	lost := kept.Clone()
	lost.Subtract(&now)
	if !lost.Empty() {
		s.t.Errorf("reverted to %s the document lacks IDs that live in both moments", moment)
	}
	return made.Undo
}

// living are the units of the text.
func living(d *crdt.Doc) crdt.IDSet {
	var s crdt.IDSet
	for r := range d.Text("text").Authors() {
		s.Add(r.Client, r.Clocks)
	}
	return s
}
