// Package auth says who may do what with which document. It judges; it opens
// no connection and holds no session. Without keys the only authoriser is
// Open, which grants everything and is good for the loopback interface alone.
package auth

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Scope is what a grant allows, from least to most.
type Scope uint8

// Each scope includes the rights of those above it in this list, but that
// Silent lacks what Read has: presence.
const (
	// None allows nothing; it is the zero value.
	None Scope = iota
	// Silent reads the document and is not seen: no presence either way.
	Silent
	// Read reads the document and takes part in presence.
	Read
	// Write reads, takes part in presence and edits.
	Write
	// Admin writes and may restore, label and erase.
	Admin
)

// String is the scope's name as tokens spell it.
func (s Scope) String() string {
	switch s {
	case Silent:
		return "silent"
	case Read:
		return "read"
	case Write:
		return "write"
	case Admin:
		return "admin"
	default:
		return "none"
	}
}

// ParseScope is the inverse of String. "none" is not a scope to ask for.
func ParseScope(name string) (Scope, error) {
	for s := Silent; s <= Admin; s++ {
		if s.String() == name {
			return s, nil
		}
	}
	return None, fmt.Errorf("unknown scope %q (want silent, read, write or admin)", name)
}

// Grant allows a subject a scope on the documents that a pattern names.
type Grant struct {
	// Pattern names documents: a literal name, or a prefix followed by one
	// final '*'.
	Pattern string
	Scope   Scope
	// Subject is who acts: the author of what the session writes. Empty in
	// open mode.
	Subject string
	// Generation is the only one of the document that the grant is for; 0 for any.
	// A client that begins anew after each reset asks for a grant that says so.
	Generation uint64
	// Expiry ends the grant; the zero time means that it does not end.
	Expiry time.Time
	// User is a JSON object to show as the "user" of the subject's presences; empty
	// for what its clients say.
	User string
	// Tenant is what the token is confined to; empty for nothing.
	Tenant string
	// Token is the ID of the token (jti), by which it alone can be revoked; empty
	// for none.
	Token string
	// Granted is the scope of the token itself, of which rulings have left Scope.
	Granted Scope
	// Issued is when the token was made (iat); the zero time when it does not say.
	Issued time.Time
	// Limits are what the token bounds; those of the server hold beside.
	Limits Limits
}

// Limits are bounds on who has a token, 0 for none.
type Limits struct {
	// Connections of the token's subject, at one node.
	Connections int `json:"connections,omitempty"`
	// MessagesPerSecond and BytesPerSecond of each session that the token lets in.
	MessagesPerSecond int `json:"messages_per_second,omitempty"`
	BytesPerSecond    int `json:"bytes_per_second,omitempty"`
}

// Covers reports whether the grant's pattern names the document.
func (g Grant) Covers(document string) bool {
	if prefix, ok := strings.CutSuffix(g.Pattern, "*"); ok {
		return strings.HasPrefix(document, prefix)
	}
	return g.Pattern == document
}

// Expired reports whether the grant has ended at now.
func (g Grant) Expired(now time.Time) bool {
	return !g.Expiry.IsZero() && !now.Before(g.Expiry)
}

// ErrDenied is the class of every refusal to authorise.
var ErrDenied = errors.New("permission denied")

// Request is what an authoriser judges.
type Request struct {
	Document string
	// Token is the bearer token that the client presented, empty for none.
	Token string
	// Remote is the address of the peer.
	Remote netip.AddrPort
	Now    time.Time
}

// Authorizer turns a request into a grant that covers its document, or into
// an error that wraps ErrDenied. It may be called from any goroutine.
type Authorizer interface {
	Authorize(ctx context.Context, r Request) (Grant, error)
}

// Open grants everyone everything. It must be reachable on loopback only:
// see CheckListen, CheckHost and CheckOrigin.
type Open struct{}

var _ Authorizer = Open{}

// Authorize grants Admin on every document, for ever, to the empty subject.
func (Open) Authorize(context.Context, Request) (Grant, error) {
	return Grant{Pattern: "*", Scope: Admin}, nil
}
