package api

import (
	"bytes"
	"encoding/json"
	std "flag"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"ysync/snapshots"
)

var rewrite = std.Bool("update", false, "write docs/openapi.json anew")

const openAPIFile = "../../docs/openapi.json"

// described is the description that the server gives, for looking things up.
type described struct {
	raw   []byte
	paths map[string]map[string]struct {
		Responses map[string]struct {
			Content map[string]struct {
				Schema json.RawMessage `json:"schema"`
			} `json:"content"`
		} `json:"responses"`
	}
	compiler *jsonschema.Compiler
}

func describe(t *testing.T, r *rig) *described {
	t.Helper()
	w := r.do("GET", "/openapi.json", "")
	if w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	d := &described{raw: w.Body.Bytes(), compiler: jsonschema.NewCompiler()}
	var doc struct {
		OpenAPI string `json:"openapi"`
		Paths   json.RawMessage
	}
	if err := json.Unmarshal(d.raw, &doc); err != nil || doc.OpenAPI != "3.1.0" {
		t.Fatalf("%v: %s", err, d.raw)
	}
	if err := json.Unmarshal(doc.Paths, &d.paths); err != nil {
		t.Fatal(err)
	}
	whole, err := jsonschema.UnmarshalJSON(bytes.NewReader(d.raw))
	if err != nil {
		t.Fatal(err)
	}
	closeObjects(whole)
	if err := d.compiler.AddResource("file:///openapi.json", whole); err != nil {
		t.Fatal(err)
	}
	return d
}

// closeObjects refuses members that the schemas do not name: readers have to
// bear new ones, this release must not have any.
func closeObjects(v any) {
	switch v := v.(type) {
	case map[string]any:
		if _, has := v["properties"]; has && v["type"] == "object" {
			v["additionalProperties"] = false
		}
		for _, member := range v {
			closeObjects(member)
		}
	case []any:
		for _, element := range v {
			closeObjects(element)
		}
	}
}

// check compares an answer with what the description says of it.
func (d *described) check(t *testing.T, method, path string, w *httptest.ResponseRecorder) {
	t.Helper()
	kind, _, _ := strings.Cut(w.Header().Get("Content-Type"), ";")
	status := fmt.Sprint(w.Code)
	op, ok := d.paths[path][strings.ToLower(method)]
	if !ok {
		t.Fatalf("%s %s is not described", method, path)
	}
	if w.Code >= 400 {
		status = "default"
	}
	response, ok := op.Responses[status]
	content, told := response.Content[kind]
	if !ok || !told {
		t.Errorf("%s %s answers %d %s, which is not described", method, path, w.Code, kind)
		return
	}
	if len(content.Schema) == 0 {
		return
	}
	escape := strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace
	at := "file:///openapi.json#/paths/" + escape(path) + "/" + strings.ToLower(method) + "/responses/" + status + "/content/" + escape(kind) + "/schema"
	schema, err := d.compiler.Compile(at)
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(bytes.NewReader(w.Body.Bytes()))
	decoder.UseNumber()
	for n := 0; decoder.More(); n++ {
		var value any
		if err := decoder.Decode(&value); err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(value); err != nil {
			t.Errorf("%s %s, value %d: %v\n%s", method, path, n, err, w.Body)
		}
	}
}

// TestOpenAPI asks every route of the description, and compares every answer
// with what it says; and every route of the server is in it.
func TestOpenAPI(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Aside = func(name string, _ []byte) (string, error) { return name, nil } })
	d := describe(t, r)
	asked := map[string]bool{}
	tooLarge := []byte(hello(t))
	refused := snapshots.RefusedID(tooLarge)
	ask := func(method, path, query, body string, header ...string) *httptest.ResponseRecorder {
		t.Helper()
		described := strings.ReplaceAll(path, refused, "{id}")
		asked[method+" "+described] = true
		w := r.do(method, strings.ReplaceAll(path, "{document}", "team%2Fa")+query, body, header...)
		d.check(t, method, described, w)
		return w
	}
	const doc = "/documents/{document}"
	if err := r.opt.Keeper.Refuse(t.Context(), "team/a", time.Now(), "mallory", "too large", tooLarge); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		method, path, query, body string
		header                    []string
		status                    int
	}{
		{"GET", doc, "", "", nil, 404},
		{"PUT", doc, "?dry_run=true", `{"ops": [{"op": "text", "path": ["t"], "insert": "hello"}]}`, nil, 200},
		{"PUT", doc, "", `{"ops": [{"op": "text", "path": ["t"], "insert": "hello"}]}`, nil, 201},
		{"PUT", doc, "", `{"ops": [{"op": "text", "path": ["t"], "insert": "hello"}]}`, nil, 409},
		{"POST", doc + "/edit", "", `{"ops": [{"op": "set", "path": ["m", "a"], "value": [1, {"b": null}]}]}`, []string{"If-Match", `"1"`}, 200},
		{"POST", doc + "/edit", "", `{"ops": [{"op": "set", "path": ["m", "a"], "value": 1}]}`, []string{"If-Match", "1"}, 412},
		{"POST", doc + "/edit", "", `{"ops": [{"op": "jump", "path": ["m", "a"]}]}`, nil, 400},
		{"POST", doc + "/updates", "", hello(t), nil, 200},
		{"POST", doc + "/updates", "", "no update", nil, 422},
		{"PUT", "/documents/team%2Fb/seed", "", hello(t), []string{"Idempotency-Key", "k"}, 201},
		{"PUT", "/documents/team%2Fb/seed", "", hello(t), []string{"Idempotency-Key", "k"}, 200},
		{"POST", doc + "/copy", "?dry_run=true", `{"into": "team/c"}`, nil, 200},
		{"POST", doc + "/copy", "", `{"into": "team/c"}`, nil, 201},
		{"POST", doc + "/copy", "?dry_run=true", `{"into": "team/c"}`, nil, 409},
		{"POST", doc + "/snapshots", "", `{"label": "x"}`, nil, 201},
		{"GET", doc + "/snapshots", "", "", nil, 200},
		{"GET", "/documents", "?sizes=true", "", nil, 200},
		{"GET", "/documents", "?sizes=maybe", "", nil, 400},
		{"GET", doc, "", "", nil, 200},
		{"GET", doc + "/content", "", "", nil, 200},
		{"GET", doc + "/content", "?format=text", "", nil, 200},
		{"GET", doc + "/content", "?format=v2", "", nil, 200},
		{"GET", doc + "/content", "?at=%2399", "", nil, 404},
		{"GET", doc + "/history", "", "", nil, 200},
		{"GET", doc + "/diff", "?from=%230", "", nil, 200},
		{"GET", doc + "/authors", "", "", nil, 200},
		{"POST", doc + "/restore", "", `{"at": "#1", "in_place": true}`, nil, 200},
		{"POST", doc + "/reset", "?dry_run=true", "", nil, 200},
		{"POST", doc + "/retry", "", "", nil, 200},
		{"POST", doc + "/repair", "", "", nil, 200},
		{"GET", "/refused", "", "", nil, 200},
		{"GET", doc + "/refused/" + refused, "", "", nil, 200},
		{"DELETE", doc + "/refused/" + refused, "", "", nil, 200},
		{"GET", doc + "/refused/" + refused, "", "", nil, 404},
		{"POST", "/verify", "", "", nil, 200},
		{"POST", "/prune", "?dry_run=true", "", nil, 200},
		{"POST", "/backup", "", `{"to": "/nowhere"}`, nil, 400},
		{"GET", "/stores/records", "", "", nil, 200},
		{"GET", "/stores/entries", "?document=team%2Fa", "", nil, 200},
		{"GET", "/stores/objects", "", "", nil, 200},
		{"GET", "/stores/object", "?key=none", "", nil, 404},
		{"GET", "/stores/rulings", "", "", nil, 200},
		{"DELETE", doc, "", "", nil, 200},
		{"DELETE", doc, "?dry_run=perhaps", "", nil, 400},
		{"GET", "/rulings", "", "", nil, 200},
		{"POST", "/rulings", "", `{"subject": "ann", "scope": "none"}`, nil, 501},
		{"GET", "/openapi.json", "", "", nil, 200},
	} {
		path := c.path
		var w *httptest.ResponseRecorder
		if strings.Contains(path, "team%2Fb") {
			w = r.do(c.method, path+c.query, c.body, c.header...)
			path = doc + "/seed"
			asked[c.method+" "+path] = true
			d.check(t, c.method, path, w)
		} else {
			w = ask(c.method, path, c.query, c.body, c.header...)
		}
		if w.Code != c.status {
			t.Errorf("%s %s: %d %s, want %d", c.method, path, w.Code, w.Body, c.status)
		}
	}
	for path, ops := range d.paths {
		for method := range ops {
			if !asked[strings.ToUpper(method)+" "+path] {
				t.Errorf("%s %s was not asked", method, path)
			}
		}
	}
	// What the file does not describe, the server does not serve: the package
	// comment and the page have the same routes.
	for _, name := range []string{"doc.go", "../../docs/API.md"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		listed := map[string]bool{}
		for _, m := range regexp.MustCompile("(?m)^(?:\\| `|//\t)(GET|PUT|POST|DELETE) +(/[^ `]*)").FindAllStringSubmatch(string(text), -1) {
			listed[m[1]+" "+m[2]] = true
		}
		if !maps.Equal(listed, asked) {
			t.Errorf("%s lists %v,\nthe description %v", name, slices.Sorted(maps.Keys(listed)), slices.Sorted(maps.Keys(asked)))
		}
	}
	// The file in the documentation is what is served.
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, d.raw, "", "  "); err != nil {
		t.Fatal(err)
	}
	if *rewrite {
		if err := os.WriteFile(openAPIFile, pretty.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if file, err := os.ReadFile(openAPIFile); err != nil || !bytes.Equal(file, pretty.Bytes()) {
		t.Errorf("%s is not what is served (%v): go test ./internal/api -run OpenAPI -update", openAPIFile, err)
	}
}

// Edits happen whole or not at all, on roots and nested types.
func TestEdit(t *testing.T) {
	r := newRig(t, nil)
	const at = "/documents/d"
	edit := func(ops string, header ...string) *httptest.ResponseRecorder {
		t.Helper()
		return r.do("POST", at+"/edit", `{"ops": [`+ops+`]}`, header...)
	}
	holds := func(want string) {
		t.Helper()
		if got := strings.TrimSpace(r.do("GET", at+"/content", "").Body.String()); got != want {
			t.Errorf("it holds %s, want %s", got, want)
		}
	}
	for _, c := range []struct{ ops, want string }{
		{`{"op": "text", "path": ["t"], "insert": "hello"}, {"op": "text", "path": ["t"], "at": 5, "insert": " world", "attributes": {"bold": true}}`, `{"t":"hello world"}`},
		{`{"op": "text", "path": ["t"], "at": 0, "delete": 5, "insert": "bye"}`, `{"t":"bye world"}`},
		{`{"op": "set", "path": ["m", "k"], "value": "v"}, {"op": "set", "path": ["m", "n"], "as": "map", "value": {"x": 1}}`, `{"t":"bye world","m":{"k":"v","n":{"x":1}}}`},
		{`{"op": "set", "path": ["m", "n", "l"], "as": "array", "value": [1, 2]}, {"op": "insert", "path": ["m", "n", "l", 1], "values": ["a", null]}`, `{"t":"bye world","m":{"k":"v","n":{"x":1,"l":[1,"a",null,2]}}}`},
		{`{"op": "remove", "path": ["m", "n", "l", 0]}, {"op": "remove", "path": ["m", "k"]}`, `{"t":"bye world","m":{"n":{"x":1,"l":["a",null,2]}}}`},
		{`{"op": "set", "path": ["m", "n"], "as": "text", "value": "abc"}, {"op": "text", "path": ["m", "n"], "at": 1, "insert": "-"}`, `{"t":"bye world","m":{"n":"a-bc"}}`},
		{`{"op": "insert", "path": ["l", 0], "values": [{"a": [true]}]}`, `{"t":"bye world","m":{"n":"a-bc"},"l":[{"a":[true]}]}`},
	} {
		if w := edit(c.ops); w.Code != http.StatusOK {
			t.Errorf("%s: %d %s", c.ops, w.Code, w.Body)
		}
		holds(c.want)
	}
	const still = `{"t":"bye world","m":{"n":"a-bc"},"l":[{"a":[true]}]}`
	for _, ops := range []string{
		``, `{"op": "jump", "path": ["t"]}`, `{"op": "set", "path": []}`, `{"op": "set", "path": ["t", "k"], "value": 1}`,
		`{"op": "set", "path": [1, "k"], "value": 1}`, `{"op": "set", "path": ["m", 1], "value": 1}`, `{"op": "set", "path": ["m", "none", "k"], "value": 1}`,
		`{"op": "set", "path": ["m", "k"], "as": "text", "value": 1}`, `{"op": "set", "path": ["m", "k"], "as": "tree"}`,
		`{"op": "insert", "path": ["l", 9], "values": [1]}`, `{"op": "insert", "path": ["l", -1], "values": [1]}`, `{"op": "insert", "path": ["l", 0.5], "values": [1]}`,
		`{"op": "remove", "path": ["l", 1]}`, `{"op": "remove", "path": ["m", "none"]}`, `{"op": "text", "path": ["m"], "insert": "x"}`,
		`{"op": "text", "path": ["t"], "at": 10, "insert": "x"}`, `{"op": "text", "path": ["t"], "at": 5, "delete": 5}`, `{"op": "text", "path": ["t"], "at": -1, "insert": "x"}`,
		`{"op": "text", "path": ["l", 0], "insert": "x"}`,
		// The first step is good, the second is not.
		`{"op": "set", "path": ["m", "k"], "value": 1}, {"op": "remove", "path": ["l", 7]}`,
	} {
		r.problem(edit(ops), http.StatusBadRequest, CodeInvalid)
		holds(still)
	}
	r.problem(edit(`{"op": "set", "path": ["m", "k"], "value": 1}`, "If-Match", "1"), http.StatusPreconditionFailed, CodeChanged)
	r.problem(edit(`{"op": "set", "path": ["m", "k"], "value": 1}`, "If-None-Match", "*"), http.StatusConflict, CodeExists)
	holds(still)
}
