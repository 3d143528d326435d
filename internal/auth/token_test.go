package auth

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
)

var (
	noon        = time.Date(2026, 5, 5, 12, 0, 0, 0, time.UTC)
	secret      = []byte("0123456789abcdef0123456789abcdef")
	rsaKey, _   = rsa.GenerateKey(rand.Reader, 2048)
	ecKey, _    = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	_, edKey, _ = ed25519.GenerateKey(rand.Reader)
)

// set is a JWK Set of keys by ID; the algorithm follows from the key.
func set(t *testing.T, keys map[string]any) []byte {
	t.Helper()
	var out jwkset.JWKSMarshal
	for id, key := range keys {
		j, err := jwkset.NewJWKFromKey(key, jwkset.JWKOptions{
			Marshal:  jwkset.JWKMarshalOptions{Private: true},
			Metadata: jwkset.JWKMetadataOptions{KID: id},
		})
		if err != nil {
			t.Fatal(err)
		}
		out.Keys = append(out.Keys, j.Marshal())
	}
	text, err := json.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// file is a file of these bytes.
func file(t *testing.T, data []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// tokensOf verifies with a file of four keys.
func tokensOf(t *testing.T) *Tokens {
	t.Helper()
	name := file(t, set(t, map[string]any{"h": secret, "r": &rsaKey.PublicKey, "e": &ecKey.PublicKey, "d": edKey.Public()}))
	keys, err := NewKeys(context.Background(), []string{name}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &Tokens{Keys: keys, Issuer: "https://app.example", Audience: "ysync"}
}

// good are claims that pass at noon.
func good() jwt.MapClaims {
	return jwt.MapClaims{
		"sub": "ann", "iss": "https://app.example", "aud": "ysync", "exp": noon.Add(time.Hour).Unix(),
		"documents": map[string]string{"trips/*": "write", "trips/rome": "read", "news": "silent"},
	}
}

func with(c jwt.MapClaims, name string, value any) jwt.MapClaims {
	if value == nil {
		delete(c, name)
	} else {
		c[name] = value
	}
	return c
}

func signed(t *testing.T, method jwt.SigningMethod, key any, header map[string]any, c jwt.Claims) string {
	t.Helper()
	token := jwt.NewWithClaims(method, c)
	for name, value := range header {
		token.Header[name] = value
	}
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func kid(id string) map[string]any { return map[string]any{"kid": id} }

func TestTokensAreAccepted(t *testing.T) {
	tokens := tokensOf(t)
	for name, token := range map[string]string{
		"HS256":      signed(t, jwt.SigningMethodHS256, secret, kid("h"), good()),
		"RS256":      signed(t, jwt.SigningMethodRS256, rsaKey, kid("r"), good()),
		"ES256":      signed(t, jwt.SigningMethodES256, ecKey, kid("e"), good()),
		"EdDSA":      signed(t, jwt.SigningMethodEdDSA, edKey, kid("d"), good()),
		"no kid":     signed(t, jwt.SigningMethodES256, ecKey, nil, good()),
		"aud list":   signed(t, jwt.SigningMethodHS256, secret, kid("h"), with(good(), "aud", []string{"other", "ysync"})),
		"clocks off": signed(t, jwt.SigningMethodHS256, secret, kid("h"), with(good(), "exp", noon.Add(-20*time.Second).Unix())),
		"nbf soon":   signed(t, jwt.SigningMethodHS256, secret, kid("h"), with(good(), "nbf", noon.Add(20*time.Second).Unix())),
	} {
		g, err := tokens.Authorize(context.Background(), Request{Document: "trips/oslo", Token: token, Now: noon})
		if err != nil || g.Scope != Write || g.Subject != "ann" || !g.Covers("trips/oslo") || g.Expired(noon) {
			t.Errorf("%s: %+v, %v", name, g, err)
		}
	}
}

func TestTokensAreRefused(t *testing.T) {
	tokens := tokensOf(t)
	other, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	public, _ := x509.MarshalPKIXPublicKey(&rsaKey.PublicKey)
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})
	segment := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	body, _ := json.Marshal(good())
	fine := signed(t, jwt.SigningMethodHS256, secret, kid("h"), good())
	parts := strings.Split(fine, ".")

	for name, token := range map[string]string{
		"none at all":              "",
		"not a token":              "hello",
		"alg none":                 segment(`{"alg":"none","typ":"JWT"}`) + "." + segment(string(body)) + ".",
		"alg None":                 segment(`{"alg":"None"}`) + "." + segment(string(body)) + ".",
		"no alg":                   segment(`{"typ":"JWT"}`) + "." + parts[1] + "." + parts[2],
		"HS256 with the RSA key":   signed(t, jwt.SigningMethodHS256, publicPEM, kid("r"), good()),
		"HS256 with its DER":       signed(t, jwt.SigningMethodHS256, public, kid("r"), good()),
		"HS384 of the secret":      signed(t, jwt.SigningMethodHS384, secret, kid("h"), good()),
		"RS512 of the key":         signed(t, jwt.SigningMethodRS512, rsaKey, kid("r"), good()),
		"PS256 of the key":         signed(t, jwt.SigningMethodPS256, rsaKey, kid("r"), good()),
		"another key":              signed(t, jwt.SigningMethodES256, other, kid("e"), good()),
		"kid of nobody":            signed(t, jwt.SigningMethodES256, ecKey, kid("../../etc/passwd"), good()),
		"kid of another key":       signed(t, jwt.SigningMethodES256, ecKey, kid("d"), good()),
		"kid is no string":         signed(t, jwt.SigningMethodES256, other, map[string]any{"kid": []string{"e"}}, good()),
		"key in the header":        signed(t, jwt.SigningMethodES256, other, map[string]any{"jwk": map[string]string{"kty": "EC"}, "jku": "https://evil.example"}, good()),
		"dots":                     strings.Repeat(".", MaxTokenBytes),
		"more dots":                strings.Repeat(".", 1<<20),
		"too long":                 signed(t, jwt.SigningMethodHS256, secret, kid("h"), with(good(), "pad", strings.Repeat("x", MaxTokenBytes))),
		"expired":                  signed(t, jwt.SigningMethodHS256, secret, kid("h"), with(good(), "exp", noon.Add(-31*time.Second).Unix())),
		"no exp":                   signed(t, jwt.SigningMethodHS256, secret, kid("h"), with(good(), "exp", nil)),
		"exp is text":              signed(t, jwt.SigningMethodHS256, secret, kid("h"), with(good(), "exp", "tomorrow")),
		"not yet":                  signed(t, jwt.SigningMethodHS256, secret, kid("h"), with(good(), "nbf", noon.Add(time.Minute).Unix())),
		"from the future":          signed(t, jwt.SigningMethodHS256, secret, kid("h"), with(good(), "iat", noon.Add(time.Minute).Unix())),
		"another audience":         signed(t, jwt.SigningMethodHS256, secret, kid("h"), with(good(), "aud", "mail")),
		"no audience":              signed(t, jwt.SigningMethodHS256, secret, kid("h"), with(good(), "aud", nil)),
		"another issuer":           signed(t, jwt.SigningMethodHS256, secret, kid("h"), with(good(), "iss", "https://app.example.evil")),
		"no issuer":                signed(t, jwt.SigningMethodHS256, secret, kid("h"), with(good(), "iss", nil)),
		"no subject":               signed(t, jwt.SigningMethodHS256, secret, kid("h"), with(good(), "sub", nil)),
		"a scope that is not one":  signed(t, jwt.SigningMethodHS256, secret, kid("h"), with(good(), "documents", map[string]string{"x": "root"})),
		"signature cut":            parts[0] + "." + parts[1] + "." + parts[2][:10],
		"signature gone":           parts[0] + "." + parts[1] + ".",
		"claims changed":           parts[0] + "." + segment(strings.Replace(string(body), "ann", "bob", 1)) + "." + parts[2],
		"padded":                   fine + "==",
		"space in front":           " " + fine,
		"claims that are no JSON":  parts[0] + "." + segment("{") + "." + parts[2],
		"header that is a list":    segment("[]") + "." + parts[1] + "." + parts[2],
		"a fourth part":            fine + ".x",
		"documents that is a list": signed(t, jwt.SigningMethodHS256, secret, kid("h"), with(good(), "documents", []string{"*"})),
	} {
		g, err := tokens.Authorize(context.Background(), Request{Document: "trips/oslo", Token: token, Now: noon})
		if !errors.Is(err, ErrToken) || !errors.Is(err, ErrDenied) || g != (Grant{}) {
			t.Errorf("%s: %+v, %v", name, g, err)
			continue
		}
		if text := err.Error(); len(text) > 120 || token != "" && strings.Contains(text, token) {
			t.Errorf("%s: the refusal quotes the token: %s", name, text)
		}
	}
}

func TestTokenCoversDocuments(t *testing.T) {
	tokens := tokensOf(t)
	plain := signed(t, jwt.SigningMethodHS256, secret, kid("h"), good())
	tenant := signed(t, jwt.SigningMethodHS256, secret, kid("h"),
		with(with(good(), "tenant", "acme"), "documents", map[string]string{"*": "write", "news": "admin"}))
	for _, c := range []struct {
		token, document string
		want            Scope
	}{
		{plain, "trips/oslo", Write},
		{plain, "trips/rome", Write}, // the larger of two
		{plain, "news", Silent},
		{plain, "newsletter", None},
		{plain, "trips", None},
		{plain, "*", None},
		{plain, "", None},
		{tenant, "acme/plan", Write},
		{tenant, "acme/news", Admin},
		{tenant, "news", None},
		{tenant, "acme", None},
		{tenant, "acme2/plan", None},
		{tenant, "other/acme/plan", None},
	} {
		g, err := tokens.Authorize(context.Background(), Request{Document: c.document, Token: c.token, Now: noon})
		if g.Scope != c.want || (err == nil) != (c.want != None) {
			t.Errorf("%q: %v, %v, want %v", c.document, g.Scope, err, c.want)
		}
		if err != nil && (errors.Is(err, ErrToken) || !errors.Is(err, ErrDenied)) {
			t.Errorf("%q: %v: the token itself is good", c.document, err)
		}
	}
}

// Limits of a token come with its grant, and only those that are known and make sense.
func TestTokenLimits(t *testing.T) {
	tokens := tokensOf(t)
	for text, want := range map[string]Limits{
		`{"connections":2,"messages_per_second":30,"bytes_per_second":4096}`: {2, 30, 4096},
		`{"messages_per_second":1}`: {0, 1, 0},
		`{}`:                        {},
		`{"connections":-1}`:        {},
		`{"messages_per_minute":1}`: {},
		`{"connections":"2"}`:       {},
		`[]`:                        {},
	} {
		token := signed(t, jwt.SigningMethodHS256, secret, kid("h"), with(good(), "limits", json.RawMessage(text)))
		g, err := tokens.Authorize(t.Context(), Request{Document: "news", Token: token, Now: noon})
		if taken := want != (Limits{}) || text == "{}"; g.Limits != want || taken && err != nil || !taken && !errors.Is(err, ErrToken) {
			t.Errorf("%s: %+v, %v", text, g.Limits, err)
		}
	}
}

func TestParseKeys(t *testing.T) {
	public, _ := x509.MarshalPKIXPublicKey(ecKey.Public())
	weak, _ := rsa.GenerateKey(rand.Reader, 1024)
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	asPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})
	for name, c := range map[string]struct {
		data []byte
		want int // keys, 0 for refused
	}{
		"PEM":              {asPEM, 1},
		"two PEM":          {append(asPEM, asPEM...), 2},
		"private PEM":      {pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: public}), 0},
		"four":             {set(t, map[string]any{"h": secret, "r": rsaKey, "e": ecKey, "d": edKey}), 4},
		"short secret":     {set(t, map[string]any{"h": secret[:31]}), 0},
		"weak RSA":         {set(t, map[string]any{"r": &weak.PublicKey}), 0},
		"other curve":      {set(t, map[string]any{"e": &p384.PublicKey}), 0},
		"one known of two": {set(t, map[string]any{"e": &p384.PublicKey, "d": edKey}), 1},
		"other algorithm":  {[]byte(strings.Replace(string(set(t, map[string]any{"r": &rsaKey.PublicKey})), `"kty"`, `"alg":"RS512","kty"`, 1)), 0},
		"for encryption":   {[]byte(strings.Replace(string(set(t, map[string]any{"d": edKey.Public()})), `"kty"`, `"use":"enc","kty"`, 1)), 0},
		"empty":            {nil, 0},
		"no keys":          {[]byte(`{"keys":[]}`), 0},
		"no JSON":          {[]byte(`keys`), 0},
		"too large":        {make([]byte, maxKeyBytes+1), 0},
	} {
		keys, err := ParseKeys(c.data)
		if len(keys) != c.want || (err == nil) != (c.want > 0) {
			t.Errorf("%s: %d keys, %v", name, len(keys), err)
		}
	}
}

func FuzzParseKeys(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kty":"oct","k":"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]}`))
	f.Add([]byte("-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----"))
	f.Fuzz(func(t *testing.T, data []byte) {
		keys, err := ParseKeys(data)
		if (err == nil) != (len(keys) > 0) {
			t.Fatalf("%d keys, %v", len(keys), err)
		}
	})
}

// idp is an identity provider whose answers a test sets.
type idp struct {
	*httptest.Server
	body  atomic.Pointer[[]byte]
	asked atomic.Int64
}

func newIDP(t *testing.T, body []byte) *idp {
	p := &idp{}
	p.body.Store(&body)
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		p.asked.Add(1)
		if body := *p.body.Load(); body != nil {
			_, _ = w.Write(body)
			return
		}
		http.Error(w, "down", http.StatusServiceUnavailable)
	}))
	t.Cleanup(p.Close)
	return p
}

func TestKeysOfAProvider(t *testing.T) {
	provider := newIDP(t, set(t, map[string]any{"1": ecKey}))
	var failures atomic.Int64
	keys, err := NewKeys(context.Background(), []string{provider.URL}, func(string, error) { failures.Add(1) })
	if err != nil {
		t.Fatal(err)
	}
	tokens := &Tokens{Keys: keys}
	next, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	at := func(after time.Duration, key *ecdsa.PrivateKey, id string) error {
		t.Helper()
		now := time.Now().Add(after)
		token := signed(t, jwt.SigningMethodES256, key, kid(id), with(good(), "exp", now.Add(time.Hour).Unix()))
		_, err := tokens.Authorize(context.Background(), Request{Document: "trips/x", Token: token, Now: now})
		return err
	}
	if err := at(time.Second, ecKey, "1"); err != nil {
		t.Fatal(err)
	}
	// A storm of unknown keys asks the provider once in 30 s.
	for range 100 {
		if err := at(time.Second, next, "2"); !errors.Is(err, ErrToken) {
			t.Fatal(err)
		}
	}
	if n := provider.asked.Load(); n != 1 {
		t.Errorf("asked %d times, want 1", n)
	}
	// The provider rotates its keys: the new one is found without a restart, the old one goes.
	rotated := set(t, map[string]any{"2": next})
	provider.body.Store(&rotated)
	if err := at(time.Minute, next, "2"); err != nil {
		t.Errorf("the new key: %v", err)
	}
	if err := at(time.Minute, ecKey, "1"); !errors.Is(err, ErrToken) {
		t.Errorf("the old key: %v", err)
	}
	// It goes down: what is known stays good for a day.
	var down []byte
	provider.body.Store(&down)
	if err := at(20*time.Minute, next, "2"); err != nil {
		t.Errorf("while the provider is down: %v", err)
	}
	if failures.Load() == 0 {
		t.Error("nobody was told that the provider is down")
	}
	if err := at(26*time.Hour, next, "2"); !errors.Is(err, ErrNoKeys) || errors.Is(err, ErrDenied) {
		t.Errorf("a day later: %v", err)
	}
	// It answers nonsense: the same.
	nonsense := []byte(strings.Repeat("x", maxKeyBytes+10))
	provider.body.Store(&nonsense)
	if err := at(27*time.Hour, next, "2"); !errors.Is(err, ErrNoKeys) {
		t.Errorf("with nonsense: %v", err)
	}
	provider.body.Store(&rotated)
	if err := at(28*time.Hour, next, "2"); err != nil {
		t.Errorf("when it is back: %v", err)
	}
}

// The attacks that tokens are known for, each by its name, against keys of a provider
// that has rotated them, and that is down.
func TestVectors(t *testing.T) {
	noon := time.Now()
	good := func() jwt.MapClaims { return with(good(), "exp", noon.Add(time.Hour).Unix()) }
	fresh, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	public, _ := x509.MarshalPKIXPublicKey(&rsaKey.PublicKey)
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})
	body, _ := json.Marshal(good())
	unsigned := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString(body) + "."
	rs := func(c jwt.MapClaims) string { return signed(t, jwt.SigningMethodRS256, rsaKey, kid("r"), c) }
	es := func(key *ecdsa.PrivateKey, id any) string {
		return signed(t, jwt.SigningMethodES256, key, map[string]any{"kid": id}, good())
	}
	before := set(t, map[string]any{"r": &rsaKey.PublicKey, "e": &ecKey.PublicKey})
	after := set(t, map[string]any{"r": &rsaKey.PublicKey, "f": &fresh.PublicKey})
	var down []byte
	for _, c := range []struct {
		name, token string
		serves      []byte // what the provider serves when the token comes; nil for nothing
		later       time.Duration
		want        error
	}{
		{"a good one", rs(good()), before, 0, nil},
		{"none", unsigned, before, 0, ErrToken},
		{"HS/RS confusion", signed(t, jwt.SigningMethodHS256, publicPEM, kid("r"), good()), before, 0, ErrToken},
		{"kid: a path", es(ecKey, "../../../dev/null"), before, 0, ErrToken},
		{"kid: of another key", es(ecKey, "r"), before, 0, ErrToken},
		{"kid: an injection", es(fresh, "e' UNION SELECT 'e"), before, 0, ErrToken},
		{"kid: no string", es(fresh, []string{"e"}), before, 0, ErrToken},
		{"dots bomb", strings.Repeat(".", MaxTokenBytes), before, 0, ErrToken},
		{"over 8 KiB", rs(with(good(), "pad", strings.Repeat("x", MaxTokenBytes))), before, 0, ErrToken},
		{"expired", rs(with(good(), "exp", noon.Add(-31*time.Second).Unix())), before, 0, ErrToken},
		{"not yet valid", rs(with(good(), "nbf", noon.Add(31*time.Second).Unix())), before, 0, ErrToken},
		{"wrong audience", rs(with(good(), "aud", "mail")), before, 0, ErrToken},
		{"rotated key: the new one", es(fresh, "f"), after, time.Minute, nil},
		{"rotated key: the old one", es(ecKey, "e"), after, 20 * time.Minute, ErrToken},
		{"provider down: a key that is known", es(ecKey, "e"), down, 20 * time.Minute, nil},
		{"provider down: a key that is not known", es(fresh, "f"), down, 20 * time.Minute, ErrNoKeys},
		{"provider down for two days", signed(t, jwt.SigningMethodES256, ecKey, kid("e"), with(good(), "exp", noon.Add(72*time.Hour).Unix())), down, 48 * time.Hour, ErrNoKeys},
	} {
		t.Run(c.name, func(t *testing.T) {
			provider := newIDP(t, before)
			keys, err := NewKeys(context.Background(), []string{provider.URL}, nil)
			if err != nil {
				t.Fatal(err)
			}
			tokens := &Tokens{Keys: keys, Issuer: "https://app.example", Audience: "ysync"}
			at := func(now time.Time, token string) error {
				_, err := tokens.Authorize(context.Background(), Request{Document: "trips/oslo", Token: token, Now: now})
				return err
			}
			provider.body.Store(&c.serves)
			if err := at(noon.Add(c.later), c.token); !errors.Is(err, c.want) || c.want == nil && err != nil {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}

// A provider that failed and that does not answer keeps nobody waiting whose key is
// known; when it is back, its new keys are.
func TestNobodyWaitsForAProviderThatIsDown(t *testing.T) {
	fresh, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	var asked atomic.Int64
	hangs, goes := make(chan struct{}), make(chan struct{})
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		switch asked.Add(1) {
		case 1:
			_, _ = w.Write(set(t, map[string]any{"1": ecKey}))
		case 2:
			http.Error(w, "down", http.StatusServiceUnavailable)
		default:
			close(hangs)
			<-goes
			_, _ = w.Write(set(t, map[string]any{"1": ecKey, "2": fresh}))
		}
	}))
	defer provider.Close()
	keys, err := NewKeys(t.Context(), []string{provider.URL + "/set?key=s3cret"}, func(source string, err error) {
		if text := source + err.Error(); strings.Contains(text, "s3cret") || !strings.Contains(text, "/set") {
			t.Errorf("told of %q: %v", source, err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	tokens := &Tokens{Keys: keys}
	at := func(after time.Duration, key *ecdsa.PrivateKey, id string) error {
		now := time.Now().Add(after)
		token := signed(t, jwt.SigningMethodES256, key, kid(id), with(good(), "exp", now.Add(time.Hour).Unix()))
		_, err := tokens.Authorize(t.Context(), Request{Document: "trips/x", Token: token, Now: now})
		return err
	}
	if err := at(20*time.Minute, ecKey, "1"); err != nil {
		t.Errorf("when it has failed: %v", err)
	}
	if err := at(21*time.Minute, ecKey, "1"); err != nil {
		t.Errorf("while it does not answer: %v", err)
	}
	<-hangs // it was asked, and nobody waits for it
	if err := at(22*time.Minute, fresh, "2"); !errors.Is(err, ErrNoKeys) || errors.Is(err, ErrDenied) {
		t.Errorf("a key that it may have by now: %v", err)
	}
	close(goes)
	keys.sources[0].settle()
	if err := at(21*time.Minute, fresh, "2"); err != nil {
		t.Errorf("when it is back: %v", err)
	}
	if n := asked.Load(); n != 3 {
		t.Errorf("asked %d times, want 3", n)
	}
}

// settle waits until a source is not being read.
func (s *source) settle() {
	for reading := true; reading; runtime.Gosched() {
		s.mu.Lock()
		reading = s.reading
		s.mu.Unlock()
	}
}

func TestKeysOfAFileRotate(t *testing.T) {
	name := file(t, set(t, map[string]any{"1": secret}))
	keys, err := NewKeys(context.Background(), []string{name}, nil)
	if err != nil {
		t.Fatal(err)
	}
	tokens := &Tokens{Keys: keys}
	later := time.Now().Add(10 * time.Second)
	fresh := []byte(strings.Repeat("k", 32))
	if err := os.WriteFile(name, set(t, map[string]any{"2": fresh}), 0o600); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]bool{"1": false, "2": true} {
		key := map[string][]byte{"1": secret, "2": fresh}[id]
		token := signed(t, jwt.SigningMethodHS256, key, kid(id), with(good(), "exp", later.Add(time.Hour).Unix()))
		_, err := tokens.Authorize(context.Background(), Request{Document: "news", Token: token, Now: later})
		if (err == nil) != want {
			t.Errorf("key %s after the rotation: %v", id, err)
		}
	}
}

func TestSourcesThatAreRefused(t *testing.T) {
	for _, name := range []string{"http://keys.example/set", "https://", "ftp://127.0.0.1/x", "https://me:pw@keys.example/", filepath.Join(t.TempDir(), "none")} {
		if _, err := NewKeys(context.Background(), []string{name}, nil); err == nil || strings.Contains(err.Error(), "pw") {
			t.Errorf("%q: %v", name, err)
		}
	}
	// A provider that is down at the start is no reason not to start.
	gone := httptest.NewServer(http.NotFoundHandler())
	keys, err := NewKeys(context.Background(), []string{gone.URL}, nil)
	gone.Close()
	if err != nil {
		t.Fatal(err)
	}
	token := signed(t, jwt.SigningMethodHS256, secret, nil, with(good(), "exp", time.Now().Add(time.Hour).Unix()))
	if _, err := (&Tokens{Keys: keys}).Authorize(context.Background(), Request{Document: "news", Token: token, Now: time.Now()}); !errors.Is(err, ErrNoKeys) {
		t.Errorf("without any keys: %v", err)
	}
}

func TestSign(t *testing.T) {
	keys, err := ParseKeys(set(t, map[string]any{"h": secret, "r": rsaKey, "e": ecKey, "d": edKey}))
	if err != nil {
		t.Fatal(err)
	}
	tokens := tokensOf(t)
	for _, k := range keys {
		c := Claims{Documents: map[string]string{"news": "read"}, RegisteredClaims: jwt.RegisteredClaims{
			Subject: "ann", Issuer: tokens.Issuer, Audience: jwt.ClaimStrings{"ysync"}, ExpiresAt: jwt.NewNumericDate(noon.Add(time.Hour)),
		}}
		token, err := k.Sign(c)
		if err != nil {
			t.Fatal(err)
		}
		if g, err := tokens.Authorize(context.Background(), Request{Document: "news", Token: token, Now: noon}); err != nil || g.Scope != Read {
			t.Errorf("%s: %+v, %v", k.ID, g, err)
		}
	}
	public, err := ParseKeys(set(t, map[string]any{"e": &ecKey.PublicKey}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := public[0].Sign(Claims{}); err == nil {
		t.Error("signed with a public key")
	}
}
