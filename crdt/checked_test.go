package crdt

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// testFunc is what a function of the tests does, itself or by the functions that it calls.
type testFunc struct {
	builds, checks bool
	calls          map[string]bool
}

// testFuncs reads the tests of a folder.
func testFuncs(t *testing.T, dir string) map[string]*testFunc {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	out := make(map[string]*testFunc)
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range f.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			name := fn.Name.Name
			if fn.Recv != nil {
				name = "." + name // methods of one name count as one
			}
			of := out[name]
			if of == nil {
				of = &testFunc{calls: make(map[string]bool)}
				out[name] = of
			}
			var visit func(n ast.Node) bool
			visit = func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.SelectorExpr:
					if x, ok := n.X.(*ast.Ident); ok && n.Sel.Name == "New" && x.Name != "crdt" {
						return false // of another package
					}
					of.note(n.Sel.Name)
					of.calls["."+n.Sel.Name] = true
					ast.Inspect(n.X, visit)
					return false
				case *ast.Ident:
					of.note(n.Name)
					of.calls[n.Name] = true
				}
				return true
			}
			ast.Inspect(fn.Body, visit)
		}
	}
	return out
}

func (f *testFunc) note(name string) {
	switch name {
	case "New", "Rewrite":
		f.builds = true
	case "Check", "CheckAtEnd":
		f.checks = true
	}
}

// Every test that makes a document has Check look at one, itself or by a function that it calls.
func TestDocumentsAreChecked(t *testing.T) {
	for _, dir := range []string{".", "differential"} {
		fns := testFuncs(t, dir)
		for again := true; again; {
			again = false
			for _, f := range fns {
				before := *f
				for name := range f.calls {
					if other := fns[name]; other != nil {
						f.builds, f.checks = f.builds || other.builds, f.checks || other.checks
					}
				}
				again = again || f.builds != before.builds || f.checks != before.checks
			}
		}
		tests := 0
		for name, f := range fns {
			if !strings.HasPrefix(name, "Test") && !strings.HasPrefix(name, "Fuzz") {
				continue
			}
			if f.builds {
				tests++
			}
			if f.builds && !f.checks {
				t.Errorf("%s: %s makes a document that Check never sees", dir, name)
			}
		}
		if tests == 0 {
			t.Errorf("%s: no tests", dir)
		}
	}
}
