package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"ysync/crdt"
)

// documents is how many documents a node has in memory.
func (s *server) documents() int {
	s.t.Helper()
	answer, err := http.Get("http://" + s.serving["ops"].(string) + "/status")
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	var st struct{ Documents int }
	if err := json.NewDecoder(answer.Body).Decode(&st); err != nil {
		s.t.Fatal(err)
	}
	return st.Documents
}

// sees waits until a peer has a text. After a failover what it lacks may come as
// an answer to its vector.
func (p *peer) sees(want string) {
	p.t.Helper()
	for p.text() != want {
		p.next()
	}
}

// owner returns the server that has the only document, and the others.
func owner(t *testing.T, all []*server) (*server, []*server) {
	t.Helper()
	var has *server
	var others []*server
	for _, s := range all {
		if s.documents() == 0 {
			others = append(others, s)
			continue
		}
		if has != nil {
			t.Fatal("two nodes have the document")
		}
		has = s
	}
	if has == nil {
		t.Fatal("no node has the document")
	}
	return has, others
}

// A document is edited through every node, wherever it is; its owner is killed,
// and the next one stops: who is connected elsewhere notices nothing.
func TestDocumentsThroughAnyNode(t *testing.T) {
	n := newNodes(t)
	a, b, c := n.three()
	all := []*server{a, b, c}
	peers := map[*server]*peer{}
	want := ""
	for i, s := range all {
		peers[s] = s.join("team/notes")
		text := string(rune('a'+i)) + " "
		peers[s].sees(want)
		peers[s].edit(text)
		want += text
	}
	for _, s := range all {
		peers[s].sees(want)
	}
	dead, rest := owner(t, all)
	start := time.Now()
	if err := dead.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	peers[rest[0]].edit("killed ")
	want += "killed "
	t.Logf("acknowledged %v after the kill", time.Since(start))
	peers[rest[1]].sees(want)

	next, last := owner(t, rest)
	start = time.Now()
	stopped := make(chan int, 1)
	go func() {
		code, _ := next.stop(syscall.SIGTERM)
		stopped <- code
	}()
	p := peers[last[0]]
	for range 20 {
		p.edit("x")
		want += "x"
	}
	t.Logf("20 edits acknowledged one by one in %v while the owner stops", time.Since(start))
	if code := <-stopped; code != 0 {
		t.Errorf("exit code %d", code)
	}
	p.edit("end")
	if late := last[0].join("team/notes"); late.text() != want+"end" {
		t.Errorf("the last node has %q, want %q", late.text(), want+"end")
	}
}

// order sends an order to a node's operations port and returns the answer.
func (s *server) order(method, path, body string) string {
	s.t.Helper()
	r, err := http.NewRequest(method, "http://"+s.serving["ops"].(string)+"/api/v1"+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}

// Orders go from node to node over the relay, whose secret only nodes have: a
// document whose owner has no operations port is reached as well.
func TestOrdersGoOverTheRelay(t *testing.T) {
	n := newNodes(t)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("0123456789abcdef0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	a, closed := n.start("a", "--relay-secret", secret), n.start("closed", "--relay-secret", secret, "--ops", "", "--node-weight", "1000")
	a.until("two nodes", members("a", "closed"))
	for i := range 6 {
		name := fmt.Sprint("plan-", i)
		closed.join(name).edit("text")
		if out := a.order(http.MethodGet, "/documents/"+name, ""); !strings.Contains(out, `"owned":true`) || !strings.Contains(out, `"memory"`) {
			t.Errorf("explain %s: %s", name, out)
		}
		if out := a.order(http.MethodPost, "/documents/"+name+"/copy", `{"into":"copy-`+name+`"}`); !strings.Contains(out, `"changed":true`) {
			t.Errorf("copy of %s: %s", name, out)
		}
	}
	if here := a.documents(); here >= 12 {
		t.Error("all documents are where the orders came in")
	}
}

// What operators order reaches the owner from every node.
func TestOrdersReachTheOwner(t *testing.T) {
	n := newNodes(t)
	a, b, c := n.three()
	all := []*server{a, b, c}
	p := all[0].join("team/notes")
	p.edit("text ")
	want := "text "
	for i, s := range all {
		from := s.join("team/notes")
		body := from.doc.Text("t")
		commit, err := from.doc.Transact(nil, func(tx *crdt.Txn) { body.Insert(tx, body.Len(), "more ") })
		if err != nil {
			t.Fatal(err)
		}
		want += "more "
		if out := s.order(http.MethodPost, "/documents/team%2Fnotes/updates", string(commit.AppendUpdate(nil, crdt.V1))); !strings.Contains(out, `"changed":true`) {
			t.Errorf("an update through node %d: %s", i, out)
		}
		p.sees(want)
		into := fmt.Sprint("copy", i)
		if out := s.order(http.MethodPost, "/documents/team%2Fnotes/restore", `{"at":"now","into":"`+into+`"}`); !strings.Contains(out, `"changed":true`) {
			t.Errorf("a restore through node %d: %s", i, out)
		}
		if late := all[(i+1)%3].join(into); late.text() != want {
			t.Errorf("the copy made through node %d is %q, want %q", i, late.text(), want)
		}
		if out := s.order(http.MethodGet, "/documents/team%2Fnotes", ""); !strings.Contains(out, `"memory"`) {
			t.Errorf("explain through node %d: %s", i, out)
		}
	}
}
