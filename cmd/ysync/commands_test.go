package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ysync/crdt"
	"ysync/internal/audit"
)

// Every command does the same at any node, whichever owns the document: the
// client of another one sees it, a third node tells of it, and the audit log of
// one of them has one line, with the address of the caller.
func TestCommandsReachTheOwner(t *testing.T) {
	n := newNodes(t)
	var servers []*server
	var audits []string
	for _, name := range []string{"a", "b", "c"} {
		audits = append(audits, filepath.Join(t.TempDir(), name))
		servers = append(servers, n.start(name, "--audit", audits[len(audits)-1]))
	}
	for _, s := range servers {
		s.until("three nodes", members("a", "b", "c"))
	}
	p := servers[0].join("plan")
	p.edit("hey ")
	want := "hey "
	for i, s := range servers {
		run := func(at *server, args ...string) string {
			t.Helper()
			out, errs, code := ysync(t, append(args, "--server", "http://"+at.ops())...)
			if code != 0 {
				t.Fatalf("%v at %s: exit code %d: %s", args, at.serving["addr"], code, errs)
			}
			return out
		}
		has := func(out string, what ...string) {
			t.Helper()
			for _, w := range what {
				if !strings.Contains(out, w) {
					t.Errorf("node %d: %q lacks %q", i, out, w)
				}
			}
		}
		next := servers[(i+1)%3]
		label, into := fmt.Sprint("now", i), func(what string) string { return fmt.Sprintf("%s-%d", what, i) }

		run(s, "doc", "edit", "plan", fmt.Sprintf(`[{"op": "text", "path": ["t"], "at": %d, "insert": "%d "}]`, len(want), i))
		want += fmt.Sprint(i, " ")
		p.sees(want)
		has(run(s, "doc", "get", "plan"), `{"t":"`+want+`"}`)
		exported := crdt.New(crdt.Options{})
		if _, err := exported.Apply(nil, crdt.V1, []byte(run(s, "doc", "export", "plan"))); err != nil || exported.Text("t").String() != want {
			t.Errorf("node %d: the export is %q, %v", i, exported.Text("t"), err)
		}
		has(run(s, "doc", "explain", "plan", "--json"), `"owned":true`)
		has(run(s, "doc", "history", "plan", "--json"), `"entries":`)
		has(run(s, "doc", "authors", "plan", "--json"), `"added"`)
		has(run(s, "doc", "list", "plan", "--json"), `"plan"`)

		run(s, "snapshot", "create", "plan", "--label", label)
		has(run(next, "snapshot", "list", "plan"), label)
		has(run(s, "snapshot", "show", "plan", "label:"+label), want)
		p.edit("more ")
		has(run(s, "snapshot", "diff", "plan", "label:"+label), "more")
		run(s, "snapshot", "restore", "--in-place", "plan", "label:"+label)
		p.sees(want)
		run(s, "snapshot", "restore", "--into", into("restored"), "plan", "label:"+label)
		run(s, "doc", "copy", "plan", into("copied"))
		run(s, "doc", "import", into("imported"), updateFile(t, want))
		run(s, "doc", "seed", into("seeded"), updateFile(t, want), "--key", "k")
		run(s, "doc", "create", into("created"), `[{"op": "text", "path": ["t"], "insert": "`+want+`"}]`)
		for _, name := range []string{"restored", "copied", "imported", "seeded", "created"} {
			if late := next.join(into(name)); late.text() != want {
				t.Errorf("what node %d has %s is %q elsewhere, want %q", i, name, late.text(), want)
			}
		}
		run(s, "doc", "reset", into("created"), "--yes")
		has(run(next, "doc", "explain", into("created"), "--json"), `"generation":2`)
		run(s, "doc", "repair", into("copied"))
		run(s, "snapshot", "verify", "plan")
		run(s, "doc", "erase", into("created"), "--yes")
		if _, _, code := ysync(t, "doc", "get", into("created"), "--server", "http://"+next.ops()); code != exitNotFound {
			t.Errorf("what node %d erased is elsewhere: exit code %d", i, code)
		}
	}
	elsewhere := &http.Client{Transport: &http.Transport{
		DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}).DialContext, DisableKeepAlives: true,
	}}
	for _, s := range servers {
		answer, err := elsewhere.Post("http://"+s.ops()+"/api/v1/documents/far/updates", "", bytes.NewReader(newUpdate(t, "x")))
		if err != nil {
			t.Fatal(err)
		}
		if err := answer.Body.Close(); err != nil || answer.StatusCode != http.StatusOK {
			t.Errorf("%s, %v", answer.Status, err)
		}
	}
	told, from := map[string]int{}, map[string]int{}
	for _, name := range audits {
		for _, e := range auditOf(t, name) {
			told[e.Event+" "+e.Document]++
			host, _, _ := net.SplitHostPort(e.Remote)
			from[e.Document+" "+host]++
		}
	}
	for i := range servers {
		for _, event := range []string{"changed imported", "seeded seeded", "created created", "reset created", "erased created", "repaired copied"} {
			if got := told[fmt.Sprint(event, "-", i)]; got != 1 {
				t.Errorf("the audit logs tell %d times of %s-%d: %v", got, event, i, told)
			}
		}
	}
	if from["far 127.0.0.2"] != len(servers) || from["far 127.0.0.1"] != 0 {
		t.Errorf("the audit logs tell of callers at %v", from)
	}
}

func auditOf(t *testing.T, name string) (events []audit.Event) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		var e audit.Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	return events
}
