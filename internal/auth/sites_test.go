package auth

import (
	"errors"
	"testing"
)

func TestSites(t *testing.T) {
	allow := func(origins ...string) Sites {
		s, err := AllowSites(origins)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for _, c := range []struct {
		sites        Sites
		host, origin string
		want         error
	}{
		{Sites{}, "localhost:8787", "http://localhost:3000", nil},
		{Sites{}, "evil.example", "", ErrForeignHost},
		{Sites{}, "localhost", "https://evil.example", ErrForeignOrigin},
		{allow(), "sync.example", "", nil},
		{allow(), "sync.example", "https://sync.example", nil},
		{allow(), "sync.example:443", "https://sync.example", nil},
		{allow(), "SYNC.example", "https://sync.example:443", nil},
		{allow(), "sync.example:8443", "https://sync.example:8443", nil},
		{allow(), "sync.example", "https://sync.example:8443", ErrForeignOrigin},
		{allow(), "sync.example", "https://app.example", ErrForeignOrigin},
		{allow(), "sync.example", "null", ErrForeignOrigin},
		{allow(), "sync.example", "https://sync.example.evil", ErrForeignOrigin},
		{allow(), "", "https://", ErrForeignOrigin},
		{allow("https://app.example"), "sync.example", "https://app.example", nil},
		{allow("https://APP.example:443/"), "sync.example", "https://app.example", nil},
		{allow("https://app.example"), "sync.example", "http://app.example", ErrForeignOrigin},
		{allow("https://app.example"), "sync.example", "https://a.app.example", ErrForeignOrigin},
		{allow("https://app.example"), "sync.example", "https://app.example@evil.example", ErrForeignOrigin},
		{allow("*"), "sync.example", "https://evil.example", nil},
	} {
		if err := c.sites.Check(c.host, c.origin); !errors.Is(err, c.want) {
			t.Errorf("host %q, origin %q: %v, want %v", c.host, c.origin, err, c.want)
		}
	}
	for _, bad := range []string{"", "app.example", "https://", "https://app.example/path", "https://u@app.example", "https://app.example?x", "://"} {
		if _, err := AllowSites([]string{bad}); err == nil {
			t.Errorf("origin %q was accepted", bad)
		}
	}
}
