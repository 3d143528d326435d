package auth

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestScopeRights(t *testing.T) {
	for _, c := range []struct {
		scope                 Scope
		name                  string
		read, write, presence bool
	}{
		{None, "none", false, false, false},
		{Silent, "silent", true, false, false},
		{Read, "read", true, false, true},
		{Write, "write", true, true, true},
		{Admin, "admin", true, true, true},
	} {
		if c.scope.String() != c.name || c.scope.Allows(Look) != c.read ||
			c.scope.Allows(Edit) != c.write || c.scope.Allows(Show) != c.presence {
			t.Errorf("%v: read %v, write %v, presence %v", c.scope,
				c.scope.Allows(Look), c.scope.Allows(Edit), c.scope.Allows(Show))
		}
		parsed, err := ParseScope(c.name)
		if c.scope == None {
			if err == nil {
				t.Error("\"none\" parsed as a scope")
			}
		} else if err != nil || parsed != c.scope {
			t.Errorf("ParseScope(%q) = %v, %v", c.name, parsed, err)
		}
	}
}

func TestGrantCovers(t *testing.T) {
	for _, c := range []struct {
		pattern, document string
		want              bool
	}{
		{"*", "anything", true},
		{"team/*", "team/a", true},
		{"team/*", "team/", true},
		{"team/*", "teams/a", false},
		{"team/a", "team/a", true},
		{"team/a", "team/ab", false},
		{"", "", true},
		{"", "a", false},
		{"a*b", "a*b", true},
		{"a*b", "axb", false},
	} {
		if got := (Grant{Pattern: c.pattern}).Covers(c.document); got != c.want {
			t.Errorf("%q covers %q: %v", c.pattern, c.document, got)
		}
	}
}

func TestGrantExpired(t *testing.T) {
	at := time.Unix(1000, 0)
	if (Grant{}).Expired(at) {
		t.Error("a grant without expiry expired")
	}
	g := Grant{Expiry: at}
	if g.Expired(at.Add(-1)) || !g.Expired(at) {
		t.Error("a grant must end exactly at its expiry")
	}
}

func TestOpenGrantsEverything(t *testing.T) {
	g, err := Open{}.Authorize(context.Background(), Request{Document: "a"})
	if err != nil || g.Scope != Admin || !g.Covers("a") || g.Expired(time.Unix(1<<40, 0)) {
		t.Fatalf("%+v, %v", g, err)
	}
}

func TestCheckListen(t *testing.T) {
	for address, want := range map[string]error{
		"127.0.0.1:8787":        nil,
		"127.8.9.10:0":          nil,
		"localhost:8787":        nil,
		"[::1]:8787":            nil,
		"[::ffff:127.0.0.1]:1":  nil,
		":8787":                 ErrNotLoopback,
		"0.0.0.0:8787":          ErrNotLoopback,
		"[::]:8787":             ErrNotLoopback,
		"192.168.1.5:8787":      ErrNotLoopback,
		"example.org:8787":      ErrNotLoopback,
		"localhost.evil.org:80": ErrNotLoopback,
		"127.0.0.1.evil.org:80": ErrNotLoopback,
	} {
		if err := CheckListen(address); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", address, err, want)
		}
	}
	if CheckListen("8787") == nil {
		t.Error("an address without a port was accepted")
	}
}

func TestCheckHost(t *testing.T) {
	for host, want := range map[string]error{
		"localhost":             nil,
		"LOCALHOST:8787":        nil,
		"localhost.:8787":       nil,
		"app.localhost:3000":    nil,
		"127.0.0.1":             nil,
		"127.0.0.1:9":           nil,
		"[::1]":                 nil,
		"[::1]:8787":            nil,
		"":                      ErrForeignHost,
		"evil.example":          ErrForeignHost,
		"evil.example:8787":     ErrForeignHost,
		"localhost.evil.org":    ErrForeignHost,
		"notlocalhost":          ErrForeignHost,
		"127.0.0.1.nip.io:8787": ErrForeignHost,
		"10.0.0.1:8787":         ErrForeignHost,
		"0.0.0.0:8787":          ErrForeignHost,
	} {
		if err := CheckHost(host); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", host, err, want)
		}
	}
}

func TestCheckOrigin(t *testing.T) {
	for origin, want := range map[string]error{
		"":                             nil,
		"http://localhost":             nil,
		"http://localhost:5173":        nil,
		"https://127.0.0.1:3000":       nil,
		"http://[::1]:8787":            nil,
		"http://app.localhost:1234":    nil,
		"capacitor://localhost":        nil,
		"null":                         ErrForeignOrigin,
		"file://":                      ErrForeignOrigin,
		"https://evil.example":         ErrForeignOrigin,
		"http://localhost.evil.org":    ErrForeignOrigin,
		"http://localhost@evil.org":    ErrForeignOrigin,
		"http://127.0.0.1.evil.org":    ErrForeignOrigin,
		"chrome-extension://abcdefgh":  ErrForeignOrigin,
		"http://evil.org#@localhost":   ErrForeignOrigin,
		"%zz":                          ErrForeignOrigin,
		"localhost":                    ErrForeignOrigin,
		"http://evil.org?x=localhost":  ErrForeignOrigin,
		"http://192.168.0.1:8787":      ErrForeignOrigin,
		"http://localhost:8787.evil/a": ErrForeignOrigin,
	} {
		if err := CheckOrigin(origin); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", origin, err, want)
		}
	}
}
