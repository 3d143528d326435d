package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"ysync/crdt"
	"ysync/internal/api"
	"ysync/syncproto"
)

// TestRefusedUpdateOutlivesTheServer: an update that is too large for its document
// ends the session of its author, is there after a restart, and can be written to a
// file, applied where the limit was raised, and removed; from a running server and
// from the stores.
func TestRefusedUpdateOutlivesTheServer(t *testing.T) {
	on(t, func(t *testing.T, s *site) {
		server := s.serve("--max-document", "64KiB")
		p := server.join("team")
		p.edit("small")
		large := strings.Repeat("large ", 20_000)
		c, err := p.doc.Transact(nil, func(tx *crdt.Txn) { p.doc.Text("t").Insert(tx, 0, large) })
		if err != nil {
			t.Fatal(err)
		}
		p.send(syncproto.AppendUpdate(nil, c.AppendUpdate(nil, crdt.V1)))
		if code := p.closed(); code/100 != 44 {
			t.Errorf("the author was closed with %d", code)
		}
		server.stop(syscall.SIGTERM)

		list := func() (all []api.Refused) {
			t.Helper()
			for line := range strings.Lines(s.must(nil, "doc", "refused", "--json")) {
				var r api.Refused
				if err := json.Unmarshal([]byte(line), &r); err != nil {
					t.Fatalf("%s: %v", line, err)
				}
				all = append(all, r)
			}
			return all
		}
		all := list()
		if len(all) != 1 || all[0].Document != "team" || all[0].Waiting || all[0].Bytes < int64(len(large)) || all[0].Reason == "" {
			t.Fatalf("kept are %+v", all)
		}
		id := all[0].ID
		again := s.serve()
		if out := s.must(again, "doc", "refused", "team"); !strings.Contains(out, id) || !strings.Contains(out, "size limit") {
			t.Errorf("listed: %s", out)
		}
		if out := s.must(again, "doc", "explain", "team"); !strings.Contains(out, "refused update") {
			t.Errorf("explained: %s", out)
		}
		file := filepath.Join(t.TempDir(), "update")
		s.must(again, "doc", "refused", "team", id, "-o", file)
		s.must(again, "doc", "import", "team", file)
		if out := s.must(again, "doc", "get", "team", "--text"); !strings.Contains(out, large) {
			t.Errorf("after the import it holds %d bytes", len(out))
		}
		fromServer, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		again.stop(syscall.SIGTERM)
		if out, _, code := s.run("doc", "refused", "team", id); code != 0 || out != string(fromServer) {
			t.Errorf("from the stores come %d bytes, %d from the server; %d", len(out), len(fromServer), code)
		}
		if out := s.must(nil, "doc", "refused", "team", id, "--drop"); !strings.Contains(out, "removed") {
			t.Errorf("dropped: %s", out)
		}
		if _, stderr, code := s.run("doc", "refused", "team", id, "--drop"); code != exitNotFound {
			t.Errorf("dropped again: %d %s", code, stderr)
		}
		if all := list(); len(all) != 0 {
			t.Errorf("left are %+v", all)
		}
	})
}
