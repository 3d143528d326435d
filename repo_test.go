// Package ysync_test holds the tests of the repository about itself: who may
// import whom, what every package says of itself, and that the documents
// speak of things that exist.
package ysync_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "ysync"

// maxLines is the budget of a source file that is not a test: an idea that
// needs more is two ideas.
const maxLines = 600

// place is where a package stands: it imports ours only from lower ranks, and
// never what is banned, for the reason given.
type place struct {
	rank int
	bans map[string]string
}

const (
	noSockets = "it is driven with bytes, so that it can be simulated and embedded without a network"
	noClock   = "time is an argument, so that every run can be replayed"
	noEngine  = "it moves bytes; what they mean is the engine's affair"
	noLocks   = "a document is confined to one goroutine, as a map is"
)

var places = map[string]place{
	"internal/lib0":      {0, map[string]string{"net": noSockets, "time": noClock, "sync": noLocks}},
	"internal/invariant": {0, nil},
	"internal/fault":     {0, nil},
	"internal/metrics":   {0, nil},
	"internal/testnet":   {0, nil},
	"internal/testtls":   {0, nil},
	"internal/testpg":    {1, nil},
	"internal/testredis": {1, nil},
	"internal/s3test":    {1, nil},
	"internal/auth":      {0, nil},
	"internal/tracing":   {0, nil},
	"internal/audit":     {1, nil},
	"internal/canary":    {0, nil},
	"internal/syncqueue": {0, map[string]string{"net": noSockets}},
	"internal/limit":     {0, map[string]string{"net": noSockets}},
	"internal/cluster":   {1, map[string]string{module + "/internal/hub": "where a document is must be known before one is opened", module + "/internal/gateway": noSockets}},
	"persistence":        {0, map[string]string{"net": noSockets}},

	"internal/teststores":      {2, nil},
	"internal/testyjs":         {2, nil},
	"internal/vectors":         {1, nil},
	"internal/vectors/replica": {2, nil},
	"crdt/differential":        {2, nil},

	"crdt":      {1, map[string]string{"net": noSockets, "net/http": noSockets, "time": noClock, "log": "the engine returns errors", "os": "the engine does no I/O"}},
	"awareness": {1, map[string]string{"net": noSockets, "net/http": noSockets, "sync": noLocks}},
	"syncproto": {1, map[string]string{"net": noSockets, "net/http": noSockets, "time": noClock}},

	"persistence/internal/calls": {0, map[string]string{"net": noSockets}},

	"persistence/memory":          {1, map[string]string{"net/http": noSockets}},
	"persistence/pebble":          {1, map[string]string{"net/http": noSockets}},
	"persistence/postgres":        {1, map[string]string{"net/http": noSockets}},
	"persistence/persistencetest": {1, nil},

	"snapshots":           {2, map[string]string{"net/http": noSockets}},
	"snapshots/dir":       {2, map[string]string{"net/http": noSockets}},
	"snapshots/s3":        {2, nil},
	"snapshots/seal":      {2, map[string]string{"net/http": noSockets}},
	"snapshots/storetest": {2, nil},
	"internal/hub":        {2, map[string]string{"net": noSockets, "net/http": noSockets, "github.com/coder/websocket": noSockets}},

	"internal/api": {3, map[string]string{"github.com/coder/websocket": noSockets}},

	"internal/relay":   {3, map[string]string{"net/http": "it is between nodes, and beside sessions: the gateway uses it through an interface of its own", "github.com/coder/websocket": noSockets}},
	"internal/migrate": {3, map[string]string{"net/http": noSockets}},
	"internal/session": {3, map[string]string{"net": noSockets, "net/http": noSockets, "github.com/coder/websocket": noSockets}},
	"examples/editor":  {3, nil},
	"internal/gateway": {4, map[string]string{module + "/crdt": noEngine, module + "/persistence": noEngine}},
	"cmd/ysync":        {5, nil},

	"internal/e2e":       {6, nil},
	"internal/crashtest": {7, nil},
	"internal/bench":     {7, nil},
	"internal/simtest":   {7, nil},

	"internal/devcluster": {7, nil},
	"deploy":              {7, nil},
	"internal/benchcrdt":  {7, nil},
}

// child reports whether one package may import another of its own rank: a
// backend imports the contract that it implements, which is its parent folder.
func child(of, what string) bool { return strings.HasPrefix(of, what+"/") }

func TestImportRanks(t *testing.T) {
	for dir, files := range goPackages(t) {
		at, ok := places[dir]
		if !ok {
			t.Errorf("%s has no rank: give it one in places", dir)
			continue
		}
		for _, f := range files {
			if strings.HasSuffix(f.name, "_test.go") {
				continue
			}
			for _, spec := range f.ast.Imports {
				path := strings.Trim(spec.Path.Value, `"`)
				if reason, banned := at.bans[path]; banned {
					t.Errorf("%s imports %s: %s", f.name, path, reason)
				}
				ours, isOurs := strings.CutPrefix(path, module+"/")
				if !isOurs || child(dir, ours) {
					continue
				}
				if to, ok := places[ours]; ok && to.rank >= at.rank {
					t.Errorf("%s (rank %d) imports %s (rank %d): imports point down", f.name, at.rank, path, to.rank)
				}
			}
		}
	}
}

// TestEngineHasNoLocks: of package sync the engine uses Pool alone, for scratch
// space that thousands of small documents would otherwise each hold.
func TestEngineHasNoLocks(t *testing.T) {
	for _, f := range goPackages(t)["crdt"] {
		if strings.HasSuffix(f.name, "_test.go") {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name != "Pool" {
				if x, ok := s.X.(*ast.Ident); ok && x.Name == "sync" {
					t.Errorf("%s uses sync.%s: %s", f.pos(n), s.Sel.Name, noLocks)
				}
			}
			return true
		})
	}
}

func TestPackageComments(t *testing.T) {
	for dir, files := range goPackages(t) {
		var with []string
		for _, f := range files {
			if f.ast.Doc != nil && !strings.HasSuffix(f.name, "_test.go") {
				with = append(with, f.name)
			}
		}
		if len(with) != 1 && !onlyTests(files) {
			t.Errorf("%s: want exactly one package comment, found %d %v", dir, len(with), with)
		}
	}
}

// TestNothingSleeps: a test that waits for time to pass is slow when it passes
// and wrong when the machine is busy.
func TestNothingSleeps(t *testing.T) {
	for _, files := range goPackages(t) {
		for _, f := range files {
			if !strings.HasSuffix(f.name, "_test.go") || usesSynctest(f.ast) {
				continue
			}
			ast.Inspect(f.ast, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == "Sleep" {
					if x, ok := s.X.(*ast.Ident); ok && x.Name == "time" {
						t.Errorf("%s sleeps: wait on a condition, or use testing/synctest", f.pos(n))
					}
				}
				return true
			})
		}
	}
}

func TestFileSizes(t *testing.T) {
	for _, files := range goPackages(t) {
		for _, f := range files {
			if n := strings.Count(f.text, "\n"); n > maxLines && !strings.HasSuffix(f.name, "_test.go") {
				t.Errorf("%s has %d lines, the budget is %d", f.name, n, maxLines)
			}
		}
	}
}

// TestNoBoolParameters: `Open(dir, true)` tells a reader nothing.
func TestNoBoolParameters(t *testing.T) {
	for _, files := range goPackages(t) {
		for _, f := range files {
			for _, d := range f.ast.Decls {
				fn, ok := d.(*ast.FuncDecl)
				if !ok || !fn.Name.IsExported() || strings.HasSuffix(f.name, "_test.go") {
					continue
				}
				// A constructor of a boolean value, and a condition to assert,
				// are what their only parameter says.
				if len(fn.Type.Params.List) == 1 || fn.Name.Name == "Assert" {
					continue
				}
				for _, p := range fn.Type.Params.List {
					if id, ok := p.Type.(*ast.Ident); ok && id.Name == "bool" {
						t.Errorf("%s: %s takes a bool: name the choice by a type or by two functions", f.pos(fn), fn.Name.Name)
					}
				}
			}
		}
	}
}

var (
	mdLink  = regexp.MustCompile(`\]\(([^)#\s]+)(?:#[^)]*)?\)`)
	mdFence = regexp.MustCompile("(?s)```sh(?: [a-z]+)?\n(.*?)```")
	target  = regexp.MustCompile(`(?m)^([a-z-]+):`)
)

func TestDocumentLinks(t *testing.T) {
	for name, text := range documents(t) {
		for _, m := range mdLink.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(name), m[1])); err != nil {
				t.Errorf("%s links to %s, which is not there", name, m[1])
			}
		}
	}
}

// TestDocumentCommands: each line of a ```sh block in any document is a make
// target that exists, a ysync command whose flags its help knows, or a program
// of the short list below.
func TestDocumentCommands(t *testing.T) {
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	targets := map[string]bool{}
	for _, m := range target.FindAllStringSubmatch(string(makefile), -1) {
		targets[m[1]] = true
	}
	others := []string{"git", "cd", "go", "curl", "npm", "node", "kill", "export", "head", "mv"}
	help := newHelp(t)
	seen := 0
	for name, text := range documents(t) {
		for _, block := range mdFence.FindAllStringSubmatch(text, -1) {
			for line := range strings.Lines(block[1]) {
				line, _, _ = strings.Cut(strings.TrimSpace(line), " #")
				words := strings.Fields(line)
				if len(words) == 0 || strings.HasPrefix(line, "#") {
					continue
				}
				seen++
				switch prog := filepath.Base(words[0]); {
				case prog == "make":
					for _, w := range words[1:] {
						if !strings.Contains(w, "=") && !targets[w] {
							t.Errorf("%s: `%s`: the Makefile has no target %s", name, line, w)
						}
					}
				case prog == "ysync":
					if err := help.check(words[1:]); err != nil {
						t.Errorf("%s: `%s`: %v", name, line, err)
					}
				case !slices.Contains(others, prog):
					t.Errorf("%s: `%s`: %s is neither ours nor on the list of programs that a reader has", name, line, prog)
				}
			}
		}
	}
	if seen == 0 {
		t.Error("no document shows a command: the README must")
	}
}

// help asks the real binary what its commands take.
type help struct{ bin string }

func newHelp(t *testing.T) help {
	bin := filepath.Join(t.TempDir(), "ysync")
	if out, err := exec.Command("go", "build", "-o", bin, "./cmd/ysync").CombinedOutput(); err != nil {
		t.Fatalf("building cmd/ysync: %v\n%s", err, out)
	}
	return help{bin}
}

func (h help) check(words []string) error {
	var sub, flags []string
	for _, w := range words {
		switch name, _, _ := strings.Cut(w, "="); {
		case strings.HasPrefix(w, "--"):
			flags = append(flags, name)
		case len(flags) == 0 && len(sub) < 2 && !strings.ContainsAny(w, "./<\""):
			sub = append(sub, w)
		}
	}
	out, err := exec.Command(h.bin, append(slices.Clone(sub), "--help")...).CombinedOutput()
	if err != nil && len(sub) > 1 {
		// The second word was an argument, not a command.
		out, err = exec.Command(h.bin, sub[0], "--help").CombinedOutput()
	}
	if err != nil {
		return fmt.Errorf("ysync %s --help: %w", strings.Join(sub, " "), err)
	}
	for _, f := range flags {
		if !strings.Contains(string(out), f) {
			return fmt.Errorf("its help does not list %s", f)
		}
	}
	return nil
}

type source struct {
	name, text string
	ast        *ast.File
	set        *token.FileSet
}

func (s source) pos(n ast.Node) string { return s.set.Position(n.Pos()).String() }

func goPackages(t *testing.T) map[string][]source {
	t.Helper()
	packages := map[string][]source{}
	set := token.NewFileSet()
	for _, name := range tracked(t, ".go") {
		dir := filepath.ToSlash(filepath.Dir(name))
		if dir == "." {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := parser.ParseFile(set, name, text, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		packages[dir] = append(packages[dir], source{name, string(text), parsed, set})
	}
	return packages
}

func documents(t *testing.T) map[string]string {
	t.Helper()
	docs := map[string]string{}
	for _, name := range tracked(t, ".md") {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		docs[name] = string(text)
	}
	return docs
}

// tracked lists the files with a suffix, without what tools put there.
func tracked(t *testing.T, suffix string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules" || d.Name() == "testdata" || d.Name() == "data") {
			return filepath.SkipDir
		}
		if !d.IsDir() && strings.HasSuffix(path, suffix) {
			names = append(names, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func usesSynctest(f *ast.File) bool {
	return slices.ContainsFunc(f.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == `"testing/synctest"` })
}

func onlyTests(files []source) bool {
	return !slices.ContainsFunc(files, func(f source) bool { return !strings.HasSuffix(f.name, "_test.go") })
}
