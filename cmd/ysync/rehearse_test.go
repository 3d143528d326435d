package main

import (
	"strings"
	"syscall"
	"testing"

	"github.com/alecthomas/kong"
)

// TestFlagsOfCommands: what every command has of --json and --dry-run, and why
// one has not.
func TestFlagsOfCommands(t *testing.T) {
	const (
		both, json = "--json --dry-run", "--json"
		// What changes nothing needs no rehearsal.
		reads = json
		// What brings no JSON prints the document itself, or a token.
		raw = ""
	)
	want := map[string]string{
		"serve": raw, "version": json, "doctor": reads,
		"doc list": reads, "doc get": raw, "doc export": raw, "doc history": reads, "doc authors": reads, "doc explain": reads, "doc hot": reads,
		"doc import": both, "doc seed": both, "doc create": both, "doc edit": both, "doc copy": both, "doc erase": both, "doc reset": both, "doc repair": both,
		"doc retry":     json, // it loads, as any client does
		"doc refused":   json, // what --drop removes the list shows
		"snapshot list": reads, "snapshot show": reads, "snapshot diff": reads, "snapshot verify": reads,
		"snapshot create":  json, // it adds a file, and touches nothing
		"snapshot restore": both, "snapshot prune": both, "snapshot rebuild": both,
		"session list": reads, "session trace": reads,
		"backup":            json, // it only reads what it backs up
		"migrate y-leveldb": both, "migrate hocuspocus-sqlite": both, "migrate hocuspocus-s3": both, "migrate y-sweet": both, "migrate ysync": both,
		"token key": raw, "token mint": raw,
		// Lifting undoes the other two.
		"access revoke": json, "access limit": json, "access lift": json, "access list": reads,
	}
	parser, err := kong.New(new(cli), kong.DefaultEnvars("YSYNC"))
	if err != nil {
		t.Fatal(err)
	}
	for _, leaf := range parser.Model.Leaves(true) {
		name := strings.TrimPrefix(leaf.Path(), "ysync ")
		var has []string
		for _, group := range leaf.AllFlags(true) {
			for _, f := range group {
				if f.Name == "json" || f.Name == "dry-run" {
					has = append(has, "--"+f.Name)
				}
			}
		}
		expected, ok := want[name]
		delete(want, name)
		if !ok {
			t.Errorf("%s is not listed here", name)
		}
		for _, flag := range strings.Fields(expected) {
			if !strings.Contains(strings.Join(has, " "), flag) {
				t.Errorf("%s has no %s", name, flag)
			}
		}
		if len(has) != len(strings.Fields(expected)) {
			t.Errorf("%s has %v, want %q", name, has, expected)
		}
	}
	for name := range want {
		t.Errorf("there is no command %s", name)
	}
}

// TestRehearsals: a dry run tells what the command would do, or refuses what it
// would refuse, and changes nothing: at a server and on the stores.
func TestRehearsals(t *testing.T) {
	t.Parallel() // it waits for processes most of the time
	on(t, func(t *testing.T, s *site) {
		server := s.serve()
		hello, other := updateFile(t, "hello"), updateFile(t, "other")
		_, waits := dependent(t)
		s.must(server, "doc", "import", "a", hello)
		s.must(server, "doc", "seed", "seeded", hello, "--key", "k")
		before := s.must(server, "doc", "list", "--json")
		type order struct {
			code int
			says string
			args []string
		}
		const insert = `[{"op": "text", "path": ["t"], "insert": "x"}]`
		orders := []order{
			{0, "would be changed", []string{"doc", "import", "a", other}},
			{0, "nothing new", []string{"doc", "import", "a", hello}},
			{0, "waits for", []string{"doc", "import", "a", waits}},
			{0, "would be changed", []string{"doc", "import", "new", hello, "--new"}},
			{exitConflict, "", []string{"doc", "import", "a", other, "--new"}},
			{exitConflict, "", []string{"doc", "import", "a", other, "--position", "7"}},
			{0, "would be changed", []string{"doc", "seed", "new", hello, "--key", "k"}},
			{0, "nothing new", []string{"doc", "seed", "seeded", other, "--key", "k"}},
			{exitConflict, "", []string{"doc", "seed", "seeded", other, "--key", "another"}},
			{0, "would be changed", []string{"doc", "edit", "a", insert}},
			{exitUsage, "", []string{"doc", "edit", "a", `[{"op": "remove", "path": ["t", 99]}]`}},
			{0, "would be changed", []string{"doc", "create", "new", insert}},
			{exitConflict, "", []string{"doc", "create", "a", insert}},
			{0, "would hold a", []string{"doc", "copy", "a", "new"}},
			{exitConflict, "", []string{"doc", "copy", "a", "seeded"}},
			{0, "would make", []string{"snapshot", "restore", "a", "#1", "--into", "new"}},
			{0, "would be erased", []string{"doc", "erase", "a"}},
			{0, "would be reset", []string{"doc", "reset", "a"}},
		}
		check := func(at ...string) {
			t.Helper()
			for _, o := range orders {
				out, errs, code := s.run(append(append(o.args, "--dry-run"), at...)...)
				if code != o.code || !strings.Contains(out, o.says) {
					t.Errorf("%v: %d %s%s, want %d %s", o.args, code, out, errs, o.code, o.says)
				}
			}
		}
		check("--server", "http://"+server.ops())
		if now := s.must(server, "doc", "list", "--json"); now != before {
			t.Errorf("there is\n%s, was\n%s", now, before)
		}
		server.stop(syscall.SIGTERM)
		before = s.must(nil, "doc", "list", "--json")
		check()
		if now := s.must(nil, "doc", "list", "--json"); now != before {
			t.Errorf("in the stores is\n%s, was\n%s", now, before)
		}
	})
}
