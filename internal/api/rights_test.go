package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"ysync/internal/audit"
	"ysync/internal/auth"
	"ysync/internal/canary"
)

// grants are the tokens of testdata/rights.txt.
type grants map[string]auth.Grant

func (g grants) Authorize(_ context.Context, r auth.Request) (auth.Grant, error) {
	grant, ok := g[r.Token]
	switch {
	case !ok:
		return auth.Grant{}, auth.ErrToken
	case !grant.Covers(r.Document):
		return auth.Grant{}, auth.ErrDenied
	}
	return grant, nil
}

// mark is a token that canary.Find knows.
func mark(name string) string { return canary.Secret(name) }

func newGrants() grants {
	g := grants{}
	for name, grant := range map[string]auth.Grant{
		"silent":    {Pattern: "team/*", Scope: auth.Silent},
		"read":      {Pattern: "team/*", Scope: auth.Read},
		"write":     {Pattern: "team/*", Scope: auth.Write},
		"elsewhere": {Pattern: "other/*", Scope: auth.Admin},
		"tenant":    {Pattern: "team/*", Scope: auth.Admin},
		"admin":     {Pattern: "*", Scope: auth.Admin},
	} {
		grant.Subject = name
		g[mark(name)] = grant
	}
	return g
}

// Every route asks for its rights before anything else, and nobody's token is in
// an answer, the audit log among them.
func TestRights(t *testing.T) {
	text, err := os.ReadFile("testdata/rights.txt")
	if err != nil {
		t.Fatal(err)
	}
	table := map[string][]string{}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) == 9 && fields[0] != "#" {
			table[fields[0]] = fields[1:]
		}
	}
	trail := filepath.Join(t.TempDir(), "audit")
	log, err := audit.Open(trail, "n", func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, func(o *Options) { o.Auth, o.Audit = newGrants(), log })
	tokens := []string{"none", "bad", "silent", "read", "write", "elsewhere", "tenant", "admin"}
	for _, route := range r.routes() {
		which := "all"
		if strings.Contains(route.path, "{document}") {
			which = "document"
		}
		for i, token := range tokens {
			r.token = mark(token)
			if token == "none" {
				r.token = ""
			}
			path := strings.NewReplacer("{document}", "team%2Fa", "{id}", "1").Replace(route.path)
			w := r.do(route.method, path, "")
			got := strconv.Itoa(w.Code)
			if w.Code != http.StatusUnauthorized && w.Code != http.StatusForbidden {
				got = "ok"
			}
			if want := table[which][i]; got != want {
				t.Errorf("%s %s with %s: %s, want %s", route.method, route.path, token, got, want)
			}
			if found := canary.Find(w.Body.String()); found != nil {
				t.Errorf("%s %s answers with %v", route.method, route.path, found)
			}
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	told, err := os.ReadFile(trail)
	if err != nil || !bytes.Contains(told, []byte(`"event":"erased"`)) || canary.Find(string(told)) != nil {
		t.Errorf("the audit log, %v: %s", err, told)
	}
}

// A tenant's admin gets at nothing of others by naming it in a body.
func TestTenantsStayApart(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Auth = newGrants() })
	r.token = mark("tenant")
	if w := r.do("PUT", "/documents/team%2Fa", `{"ops":[{"op":"insert","root":"t","text":"x"}]}`); w.Code >= 500 {
		t.Fatal(w.Code, w.Body)
	}
	for _, c := range []struct{ path, body string }{
		{"/documents/team%2Fa/copy", `{"into":"other/a"}`},
		{"/documents/team%2Fa/restore", `{"at":"now","into":"other/a"}`},
		{"/documents/team%2Fa/restore", `{"at":"now","into":"team"}`},
	} {
		if w := r.do("POST", c.path, c.body); w.Code != http.StatusForbidden {
			t.Errorf("%s %s: %d", c.path, c.body, w.Code)
		}
	}
}

// Rulings are made and listed, and bad ones are not.
func TestRulings(t *testing.T) {
	file, err := auth.OpenRulingFile(filepath.Join(t.TempDir(), "rulings"))
	if err != nil {
		t.Fatal(err)
	}
	rulings, err := auth.NewRulings(t.Context(), file, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, func(o *Options) {
		o.Auth, o.Rulings, o.TokenLife = auth.Ruled{Authorizer: newGrants(), Rulings: rulings}, rulings, time.Hour
	})
	r.token = mark("admin")
	for body, want := range map[string]int{
		`{"subject":"ann","scope":"none","reason":"left"}`:  201,
		`{"documents":"team/*","scope":"read","for":"24h"}`: 201,
		`{"scope":"none"}`:                            400,
		`{"subject":"ann"}`:                           400,
		`{"subject":"ann","scope":"owner"}`:           400,
		`{"subject":"ann","scope":"read","for":"-1"}`: 400,
		`{"documents":"a*b","scope":"none"}`:          400,
	} {
		if w := r.do("POST", "/rulings", body); w.Code != want {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
		}
	}
	if w := r.do("GET", "/rulings", ""); !strings.Contains(w.Body.String(), `"reason":"left"`) || !strings.Contains(w.Body.String(), `"count":2`) {
		t.Errorf("%s", w.Body)
	}
	r.token = mark("tenant")
	if w := r.do("GET", "/documents/team%2Fa", ""); w.Code != http.StatusForbidden {
		t.Errorf("an admin of documents that are read only now: %d", w.Code)
	}
}

// What was only rehearsed is not in the audit log; who was not let in is.
func TestAuditOfRehearsals(t *testing.T) {
	trail := filepath.Join(t.TempDir(), "audit")
	log, err := audit.Open(trail, "n", func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, func(o *Options) { o.Auth, o.Audit = newGrants(), log })
	for _, token := range []string{"admin", "read"} {
		r.token = mark(token)
		for _, c := range [][3]string{
			{"POST", "/documents/d/updates", hello(t)},
			{"POST", "/documents/d/updates?dry_run=true", hello(t)},
			{"DELETE", "/documents/d?dry_run=true"},
		} {
			r.do(c[0], c[1], c[2])
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(trail)
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for line := range strings.Lines(string(text)) {
		var e audit.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		told = append(told, fmt.Sprint(e.Event, " ", e.Status))
	}
	if got, want := strings.Join(told, ", "), "changed 200, changed 403, changed 403, erased 403"; got != want {
		t.Errorf("the audit log tells: %s, want %s", got, want)
	}
}
