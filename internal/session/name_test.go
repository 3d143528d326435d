package session

import (
	"errors"
	"strings"
	"testing"
)

func TestParseName(t *testing.T) {
	long := strings.Repeat("a", MaxNameBytes)
	for _, c := range []struct{ path, want string }{
		{"/notes", "notes"},
		{"/team/plan/2026", "team/plan/2026"},
		{"/team%2Fplan", "team/plan"},
		{"/a%20b", "a b"},
		{"/a+b", "a+b"},
		{"/%25", "%"},
		{"/%252e%252e", "%2e%2e"},
		{"/caf%C3%A9", "café"},
		{"/café", "café"},
		{"/%F0%9F%8E%88", "🎈"},
		{"//a", "/a"},
		{"/a//b", "a//b"},
		{"/a/./b", "a/./b"},
		{"/a/", "a/"},
		{"/.", "."},
		{"/...", "..."},
		{"/a..b/..c", "a..b/..c"},
		{"/sync/notes", "notes"},
		{"/sync/sync/notes", "sync/notes"},
		{"/sync", "sync"},
		{"/sync%2Fnotes", "notes"},
		{"/synch/notes", "synch/notes"},
		{"/a/sync/b", "a/sync/b"},
		{"/" + long, long},
		{"/sync/" + long, long},
		{"/a:b?c", "a:b?c"},
	} {
		got, err := ParseName(c.path)
		if err != nil || got != c.want {
			t.Errorf("%q: %q, %v, want %q", c.path, got, err, c.want)
		}
	}
	for _, path := range []string{
		"", "notes", "/", "/sync/", "/" + long + "a",
		"/" + strings.Repeat("%C3%A9", MaxNameBytes/2) + "a",
		"/a%00b", "/a%0Ab", "/%1F", "/%7F", "/a%C2%85", "/\x01",
		"/..", "/a/..", "/../a", "/a/../b", "/%2e%2e/a", "/a%2F..", "/.%2e", "/sync/..",
		"/%FF", "/%C3", "/%ED%A0%80", "/%C0%AF",
		"/%", "/%2", "/%zz",
	} {
		if name, err := ParseName(path); !errors.Is(err, ErrName) {
			t.Errorf("%q: %q, %v, want a refusal", path, name, err)
		}
	}
}
