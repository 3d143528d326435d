package main

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"unicode/utf16"

	"ysync/crdt"
	"ysync/internal/api"
	"ysync/internal/lib0"
	"ysync/syncproto"
)

// TestRevertToAnyMomentUnderTypists gives a server a real editing session of two
// authors, edit by edit, and then lets twenty clients type into it without a
// pause. Meanwhile it is reverted to random moments, and each revert is reverted.
// The entry that a revert makes gives the moment, byte for byte; what lives in
// both the moment and the document before keeps its IDs; and what is typed
// meanwhile stays.
func TestRevertToAnyMomentUnderTypists(t *testing.T) {
	on(t, func(t *testing.T, s *site) {
		server := s.serve()
		session := editingSession(t)
		feeder := server.join("d")
		for _, u := range session {
			feeder.send(syncproto.AppendUpdate(nil, u))
		}
		feeder.send(syncproto.AppendAck(nil, []byte{1}))
		feeder.until(syncproto.KindAck)
		rng := rand.New(rand.NewPCG(4, 20))

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
		for range 3 {
			moment = "#" + strconv.Itoa(1+rng.IntN(len(session)))
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
		t.Logf("%d words taken by reverts, %d typed since the last", len(taken), len(want))
	})
}

// typeOn types words, each after a line break somewhere, until it is stopped.
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
	for n := 0; ; n++ {
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

// at is the document at a moment.
func (s *site) at(server *server, moment string) *crdt.Doc {
	s.t.Helper()
	doc := crdt.New(crdt.Options{})
	if _, err := doc.Apply(nil, crdt.V1, []byte(s.must(server, "doc", "export", "d", "--at", moment))); err != nil {
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
	after := s.at(server, "#"+strconv.FormatUint(made.Position, 10))
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

// editingSession are the updates of two authors who wrote at the same time.
func editingSession(t *testing.T) [][]byte {
	t.Helper()
	f, err := os.Open("../../crdt/testdata/friendsforever.updates.v1.bin.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	var updates [][]byte
	for r := lib0.NewReader(b); r.Len() > 0; {
		updates = append(updates, r.Bytes())
	}
	return updates
}
