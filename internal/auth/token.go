package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// ErrToken is the class of refusals of the token itself: another one may do. It
// is an ErrDenied.
var ErrToken = fmt.Errorf("%w: bad token", ErrDenied)

// MaxTokenBytes bounds a token.
const MaxTokenBytes = 8 << 10

// leeway is how far clocks may be apart.
const leeway = 30 * time.Second

// maxPatterns bounds the documents that a token may list.
const maxPatterns = 256

// maxSubjectBytes bounds who a token is for, and its ID.
const maxSubjectBytes = 512

// maxUserBytes bounds what a token says to be shown of its subject.
const maxUserBytes = 2 << 10

// Claims are what a token says (RFC 7519). exp is required; iss and aud are
// when the server asks for them.
type Claims struct {
	jwt.RegisteredClaims
	// Tenant confines the token to documents whose names begin with it and a
	// slash, which Documents leaves out.
	Tenant string `json:"tenant,omitempty"`
	// Documents gives each pattern (see Grant) its scope.
	Documents map[string]string `json:"documents"`
	// User is a JSON object that is shown as the field "user" of presences, whatever
	// the client puts there; absent for what the client puts there.
	User json.RawMessage `json:"user,omitempty"`
	// Generation is the only one of the documents that the token is good for; 0
	// for any. See Grant.
	Generation uint64 `json:"generation,omitempty"`
	// Limits are tighter ones than the server's.
	Limits Limits `json:"limits,omitzero"`
}

// UnmarshalJSON implements json.Unmarshaler. It refuses a limit that it does not
// know: whoever wrote it counts on it.
func (l *Limits) UnmarshalJSON(text []byte) error {
	type plain Limits
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	return d.Decode((*plain)(l))
}

// Tokens authorises by JSON Web Tokens.
type Tokens struct {
	// Keys verify the tokens.
	Keys *Keys
	// Issuer and Audience are what tokens must name; empty for not asked for.
	Issuer, Audience string
	// MaxLife is the longest time that a token may be good for; 0 for any. What is
	// revoked stays so for as long: see Rulings.
	MaxLife time.Duration
}

var _ Authorizer = (*Tokens)(nil)

// Authorize grants what the token says of the document: of the patterns that cover it,
// the one with the largest scope. Errors: ErrToken when the token is missing, not
// to be read, not verified, or not good now; ErrDenied when it is good and does not
// cover the document; ErrNoKeys when that can't be told now.
func (t *Tokens) Authorize(ctx context.Context, r Request) (Grant, error) {
	c, err := t.verify(ctx, r)
	if err != nil {
		return Grant{}, err
	}
	return c.grant(r.Document)
}

// grant is what the claims say of a document.
func (c *Claims) grant(document string) (Grant, error) {
	best := Grant{Subject: c.Subject, Expiry: c.ExpiresAt.Add(leeway), Generation: c.Generation, Tenant: c.Tenant, Token: c.ID, User: string(c.User), Limits: c.Limits}
	if c.IssuedAt != nil {
		best.Issued = c.IssuedAt.Time
	}
	for pattern, name := range c.Documents {
		scope, err := ParseScope(name)
		if err != nil {
			return Grant{}, fmt.Errorf("%w: %w", ErrToken, err)
		}
		if c.Tenant != "" {
			pattern = c.Tenant + "/" + pattern
		}
		if g := (Grant{Pattern: pattern, Scope: scope}); g.Covers(document) && scope > best.Scope {
			best.Pattern, best.Scope = pattern, scope
		}
	}
	if best.Scope == None {
		return Grant{}, fmt.Errorf("%w: the token does not cover the document", ErrDenied)
	}
	return best, nil
}

// verify returns the claims of a token that is good now.
func (t *Tokens) verify(ctx context.Context, r Request) (*Claims, error) {
	switch {
	case r.Token == "":
		return nil, fmt.Errorf("%w: there is none", ErrToken)
	case len(r.Token) > MaxTokenBytes:
		return nil, fmt.Errorf("%w: it is over %d bytes", ErrToken, MaxTokenBytes)
	}
	rules := []jwt.ParserOption{
		jwt.WithValidMethods([]string{algorithmHMC, algorithmRSA, algorithmEC, algorithmEd}),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(leeway), jwt.WithStrictDecoding(),
		jwt.WithTimeFunc(func() time.Time { return r.Now }),
	}
	if t.Issuer != "" {
		rules = append(rules, jwt.WithIssuer(t.Issuer))
	}
	if t.Audience != "" {
		rules = append(rules, jwt.WithAudience(t.Audience))
	}
	var c Claims
	var unavailable error
	_, err := jwt.NewParser(rules...).ParseWithClaims(r.Token, &c, func(token *jwt.Token) (any, error) {
		id, _ := token.Header["kid"].(string)
		keys, err := t.Keys.find(ctx, token.Method.Alg(), id, r.Now)
		if err != nil {
			unavailable = err
			return nil, err
		}
		set := jwt.VerificationKeySet{}
		for _, k := range keys {
			set.Keys = append(set.Keys, k.verify)
		}
		if len(set.Keys) == 0 {
			return nil, errors.New("no key of this server")
		}
		return set, nil
	})
	switch {
	case unavailable != nil:
		return nil, unavailable
	case err != nil:
		return nil, fmt.Errorf("%w: %s", ErrToken, refusal(err))
	}
	return &c, c.check(r.Now, t.MaxLife)
}

// check refuses claims that are verified and well formed, and not enough.
func (c *Claims) check(now time.Time, maxLife time.Duration) error {
	switch {
	case c.Subject == "":
		return fmt.Errorf("%w: it names no subject", ErrToken)
	case len(c.Subject) > maxSubjectBytes || len(c.ID) > maxSubjectBytes:
		return fmt.Errorf("%w: its subject or its ID is over %d bytes", ErrToken, maxSubjectBytes)
	case len(c.User) > maxUserBytes || len(c.User) > 0 && c.User[0] != '{':
		return fmt.Errorf("%w: its user is no JSON object, or is over %d bytes", ErrToken, maxUserBytes)
	case len(c.Documents) > maxPatterns:
		return fmt.Errorf("%w: it lists more than %d patterns", ErrToken, maxPatterns)
	case c.Limits.Connections < 0 || c.Limits.MessagesPerSecond < 0 || c.Limits.BytesPerSecond < 0:
		return fmt.Errorf("%w: a limit of it is negative", ErrToken)
	case maxLife > 0 && c.ExpiresAt.Sub(c.begin(now)) > maxLife:
		return fmt.Errorf("%w: it is good for longer than this server allows", ErrToken)
	}
	return nil
}

// begin is when the token was made, as far as it tells.
func (c *Claims) begin(now time.Time) time.Time {
	if c.IssuedAt != nil {
		return c.IssuedAt.Time
	}
	return now
}

// refusal names what is wrong with a token and quotes nothing of it.
func refusal(err error) string {
	for _, c := range []struct {
		class error
		text  string
	}{
		{jwt.ErrTokenMalformed, "it is not a JSON Web Token"},
		{jwt.ErrTokenExpired, "it has expired"},
		{jwt.ErrTokenNotValidYet, "it is not valid yet"},
		{jwt.ErrTokenUsedBeforeIssued, "it was issued in the future"},
		{jwt.ErrTokenInvalidAudience, "it is for another audience"},
		{jwt.ErrTokenInvalidIssuer, "it is of another issuer"},
		{jwt.ErrTokenRequiredClaimMissing, "a claim is missing (exp, and iss or aud where they are asked for)"},
		{jwt.ErrTokenUnverifiable, "no key of this server is for it"},
		{jwt.ErrTokenSignatureInvalid, "its signature or algorithm is wrong"},
	} {
		if errors.Is(err, c.class) {
			return c.text
		}
	}
	return "it is not valid"
}
