package auth

import (
	"fmt"
	"net/url"
	"strings"
)

// Sites are the web sites whose pages may connect. Programs that are no
// browser send no origin and are always let in: they are judged by their token.
// The zero value lets in pages of this machine alone, reached by its own names:
// what a server without keys needs, as nothing else stands between it and any
// page that its user has open.
type Sites struct {
	public  bool // other machines connect
	any     bool
	allowed map[string]bool
}

// AllowSites lets in pages of the server's own origin and of those listed
// ("https://app.example", without a path); "*" lets in all.
func AllowSites(origins []string) (Sites, error) {
	s := Sites{public: true, allowed: map[string]bool{}}
	for _, o := range origins {
		if o == "*" {
			s.any = true
			continue
		}
		u, err := url.Parse(o)
		if err != nil || u.Scheme == "" || u.Host == "" || u.User != nil || strings.TrimSuffix(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
			return Sites{}, fmt.Errorf("origin %q: want scheme://host or scheme://host:port", clip(o))
		}
		s.allowed[originOf(u)] = true
	}
	return s, nil
}

// originOf is how browsers spell an origin (RFC 6454 section 6.2).
func originOf(u *url.URL) string {
	host := strings.ToLower(u.Host)
	switch scheme := strings.ToLower(u.Scheme); scheme {
	case "https":
		return scheme + "://" + strings.TrimSuffix(host, ":443")
	case "http":
		return scheme + "://" + strings.TrimSuffix(host, ":80")
	default:
		return scheme + "://" + host
	}
}

// Check refuses a request by its headers Host and Origin: ErrForeignHost or
// ErrForeignOrigin.
func (s Sites) Check(host, origin string) error {
	if !s.public {
		if err := CheckHost(host); err != nil {
			return err
		}
		return CheckOrigin(origin)
	}
	if origin == "" || s.any {
		return nil
	}
	u, err := url.Parse(origin)
	if err == nil && u.Host != "" {
		own := url.URL{Scheme: u.Scheme, Host: host}
		if o := originOf(u); s.allowed[o] || o == originOf(&own) {
			return nil
		}
	}
	return fmt.Errorf("%w %q", ErrForeignOrigin, clip(origin))
}
