package main

import (
	"strings"
	"syscall"
	"testing"

	"github.com/alecthomas/kong"
)

// ofOthers is every command that works at a running server, on a document of another
// tenant or on what concerns several. FILE is an update, OPS are edits. A command that
// is about a server and no document, and that strangers cannot reach, says so.
var ofOthers = map[string]string{
	"doc list": "other/", "doc get": "other/a", "doc export": "other/a", "doc import": "other/a FILE", "doc seed": "other/a FILE --key=k",
	"doc history": "other/a", "doc authors": "other/a", "doc reset": "other/a --yes", "doc erase": "other/a --yes", "doc create": "other/new OPS",
	"doc edit": "other/a OPS", "doc copy": "acme/a other/b", "doc repair": "other/a", "doc retry": "other/a", "doc refused": "other/a",
	"doc explain": "other/a", "snapshot list": "other/a", "snapshot show": "other/a #1", "snapshot create": "other/a",
	"snapshot restore": "acme/a #1 --into=other/c", "snapshot diff": "other/a #1", "snapshot verify": "other/a", "snapshot prune": "other/a --yes",
	"backup": "DIR", "access revoke": "--documents=other/*", "access limit": "--to=read --documents=other/*", "access lift": "--documents=other/*", "access list": "",
	"doc hot": serverOnly, "session list": serverOnly, "session trace": serverOnly,
}

// serverOnly are open on the server's own machine, and elsewhere ask for the scope
// admin on everything: TestOperations in internal/gateway.
const serverOnly = "-"

// TestTenantsStayApartByCommands: the admin of a tenant gets at nothing of another one
// by any command, and at everything of their own.
func TestTenantsStayApartByCommands(t *testing.T) {
	t.Parallel() // it waits for processes most of the time
	parser, err := kong.New(&cli{}, kong.DefaultEnvars("YSYNC"))
	if err != nil {
		t.Fatal(err)
	}
	at := map[string]bool{}
	for _, leaf := range parser.Model.Leaves(false) {
		for _, flags := range leaf.AllFlags(false) {
			for _, f := range flags {
				at[leaf.Path()] = at[leaf.Path()] || f.Name == "server"
			}
		}
	}
	for path, remote := range at {
		if _, listed := ofOthers[path]; remote && !listed {
			t.Errorf("%s is not tried on what is of others", path)
		}
	}

	b := newBirds(t)
	site := embedded(t)
	s := site.serve("--keys", b.keys)
	root, acme := b.token("root", "", "*", "admin"), b.token("ann", "", "acme/*", "admin")
	words := strings.NewReplacer("FILE", updateFile(t, "mine"), "OPS", `[{"op":"text","path":["t"],"insert":"x"}]`, "DIR", t.TempDir())
	run := func(token string, want int, line string) string {
		t.Helper()
		args := strings.Fields(line)
		for i := range args {
			args[i] = words.Replace(args[i])
		}
		return b.run(s, token, want, args...)
	}
	for _, document := range []string{"acme/a", "other/a"} {
		run(root, 0, "doc import "+document+" FILE --new")
	}
	// Their routes name no document, or what they do was done to it before.
	alone := map[string]bool{"doc list": true, "snapshot verify": true, "doc refused": true, "doc seed": true, "doc repair": true, "doc retry": true}
	for command, args := range ofOthers {
		if args == serverOnly {
			continue
		}
		if !at[command] {
			t.Errorf("there is no command %s", command)
			continue
		}
		run(acme, exitDenied, command+" "+args)
		if mine := strings.ReplaceAll(args, "other/", "acme/"); strings.HasPrefix(mine, "acme/") && !strings.Contains(mine, "--yes") && !alone[command] {
			run(acme, 0, command+" "+mine)
		}
	}
	if got := run(root, 0, "doc get other/a --text"); got != "mine\n" {
		t.Errorf("the document of others is now %q", got)
	}
	if got := run(root, 0, "doc list other/"); strings.Contains(got, "other/b") || strings.Contains(got, "other/new") {
		t.Errorf("others have now:\n%s", got)
	}
	s.stop(syscall.SIGTERM)
}
