package gateway

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/golang-jwt/jwt/v5"

	"ysync/internal/auth"
	"ysync/internal/canary"
	"ysync/internal/session"
	"ysync/syncproto"
)

// keySet is a secret in a JWK Set, which no test may find anywhere.
var keySet = canary.KeySet("1")

// withTokens has a server ask for tokens; sign makes one.
func withTokens(t *testing.T) (change func(*Options), sign func(scope string, d time.Duration) string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(file, []byte(keySet), 0o600); err != nil {
		t.Fatal(err)
	}
	keys, err := auth.NewKeys(context.Background(), []string{file}, nil)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := auth.ParseKeys([]byte(keySet))
	if err != nil {
		t.Fatal(err)
	}
	sites, err := auth.AllowSites(nil)
	if err != nil {
		t.Fatal(err)
	}
	change = func(o *Options) { o.Auth, o.Sites = &auth.Tokens{Keys: keys}, sites }
	sign = func(scope string, d time.Duration) string {
		token, err := parsed[0].Sign(auth.Claims{
			RegisteredClaims: jwt.RegisteredClaims{Subject: "ann", ExpiresAt: jwt.NewNumericDate(time.Now().Add(d))},
			Documents:        map[string]string{"notes/*": scope, canary.Mark + "/*": "silent"}, // every token can be recognised
		})
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	return change, sign
}

func header(token string) *websocket.DialOptions {
	return &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer " + token}}}
}

func TestTokenByEveryWay(t *testing.T) {
	change, sign := withTokens(t)
	r := start(t, change)
	token := sign("write", time.Hour)
	for name, c := range map[string]struct {
		path   string
		dial   *websocket.DialOptions
		chosen string // subprotocol
	}{
		"header":                   {"/notes/a", header(token), ""},
		"query":                    {"/notes/a?token=" + token, nil, ""},
		"query of y/hub":           {"/notes/a?yauth=" + token, nil, ""},
		"subprotocol":              {"/notes/a", &websocket.DialOptions{Subprotocols: []string{"token." + token}}, "token." + token},
		"subprotocol with another": {"/notes/a", &websocket.DialOptions{Subprotocols: []string{"token." + token, "yjs"}}, "yjs"},
		"subprotocol of y/hub":     {"/notes/a", &websocket.DialOptions{Subprotocols: []string{"yjs", "yauth-" + token}}, "yjs"},
	} {
		ws, _, err := r.try(c.path, c.dial)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := ws.ws.Subprotocol(); got != c.chosen {
			t.Errorf("%s: subprotocol %q", name, got)
		}
		ws.send(syncproto.AppendSyncStep1(nil, []byte{0}))
		ws.until(syncproto.KindSyncStep2)
	}
	for _, line := range r.logs.All() {
		for _, value := range line.ContextMap() {
			if text, ok := value.(string); ok && strings.Contains(text, token[:20]) {
				t.Errorf("%q shows a token", line.Message)
			}
		}
	}
}

// refusedWith reads what a refused client gets: why, and the close.
func (c *client) refusedWith() (reason string, code int) {
	c.t.Helper()
	for {
		_, frame, err := c.ws.Read(context.Background())
		if err != nil {
			var end websocket.CloseError
			if !errors.As(err, &end) {
				c.t.Fatal(err)
			}
			return reason, int(end.Code)
		}
		d := syncproto.NewDecoder(frame)
		m, _ := d.Next()
		if m.Kind != syncproto.KindAuth {
			c.t.Fatalf("a refused client got %v", m.Kind)
		}
		reason = string(m.Payload)
	}
}

func TestTokensThatAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		path, token string        // token: as it is, or
		scope       string        // of one that is made,
		good        time.Duration // for so long
		reason      string
		code        int
	}{
		"none":             {"/notes/a", "", "", 0, "there is none", session.CloseUnauthorized},
		"nonsense":         {"/notes/a", "x", "", 0, "not a JSON Web Token", session.CloseUnauthorized},
		"expired":          {"/notes/a", "", "write", -time.Minute, "expired", session.CloseUnauthorized},
		"another document": {"/other", "", "write", time.Hour, "does not cover", session.CloseForbidden},
		"no scope":         {"/notes/a", "", "none", time.Hour, "unknown scope", session.CloseUnauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				change, sign := withTokens(t)
				r := startVirtual(t, change)
				token := c.token
				if c.scope != "" {
					token = sign(c.scope, c.good)
				}
				ws, _, err := r.try(c.path, header(token))
				if err != nil {
					t.Fatalf("the upgrade is refused, so that a browser can't tell why: %v", err)
				}
				if reason, code := ws.refusedWith(); code != c.code || !strings.Contains(reason, c.reason) {
					t.Errorf("closed with %d, %q", code, reason)
				}
			})
		})
	}
}

// A frame that holds a token and does not decode is told of in the log without it:
// newRig's logs are looked through for the mark.
func TestMalformedFramesAreNotQuoted(t *testing.T) {
	change, sign := withTokens(t)
	r := start(t, change)
	ws := r.enter(t, "/notes/a", sign("write", time.Hour))
	for _, text := range []string{canary.Mark, canary.Secret("session cookie")} {
		frame := syncproto.AppendPermissionDenied(nil, text)
		ws.send(append(frame, 0, 2, 200))
	}
	eventually(t, "two malformed frames", func() bool { return r.value("ysync_malformed_messages_total", "") == 2 })
	if r.logs.FilterMessage("malformed frame set aside").Len() != 2 {
		t.Error("the log does not tell of them")
	}
}

// What a refused client sends while it is held changes nothing.
func TestRefusedClientsAreNotHeard(t *testing.T) {
	change, sign := withTokens(t)
	r := start(t, change)
	ws, _, err := r.try("/notes/a", header("x"))
	if err != nil {
		t.Fatal(err)
	}
	ws.send(syncproto.AppendSyncStep1(nil, []byte{0}))
	ws.send(syncproto.AppendUpdate(nil, insert(7, 0, "x")))
	if _, code := ws.refusedWith(); code != session.CloseUnauthorized {
		t.Errorf("closed with %d", code)
	}
	good, _, err := r.try("/notes/a", header(sign("read", time.Hour)))
	if err != nil {
		t.Fatal(err)
	}
	good.send(syncproto.AppendSyncStep1(nil, []byte{0}))
	if m := good.until(syncproto.KindSyncStep2); string(m.Payload) != "\x00\x00" {
		t.Errorf("the document holds % x", m.Payload)
	}
}

func TestRefusedClientsWaitLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		change, sign := withTokens(t)
		r := startVirtual(t, change)
		var waits []time.Duration
		for range 9 {
			ws, _, err := r.try("/notes/a", header("x"))
			if err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			ws.refusedWith()
			waits = append(waits, time.Since(begin))
			// A good client at the same address does not wait.
			begin = time.Now()
			other, _, err := r.try("/notes/a", header(sign("write", time.Hour)))
			if err != nil {
				t.Fatal(err)
			}
			other.send(syncproto.AppendSyncStep1(nil, []byte{0}))
			other.until(syncproto.KindSyncStep2)
			if d := time.Since(begin); d > 0 {
				t.Errorf("a good client waited %v", d)
			}
		}
		for i, w := range waits {
			if want := min(firstHold<<i, lastHold); w != want {
				t.Errorf("refusal %d: held %v, want %v", i+1, w, want)
			}
		}
	})
}

func TestHoldsAreBounded(t *testing.T) {
	var h holds
	now := time.Now()
	address := netip.MustParseAddr("10.0.0.0")
	for range 2 * maxHolds {
		h.next(address, now)
		address = address.Next()
	}
	if len(h.last) != maxHolds {
		t.Errorf("%d addresses are remembered", len(h.last))
	}
	if d := h.next(address.Prev(), now.Add(time.Hour)); d != firstHold {
		t.Errorf("held %v an hour later", d)
	}
}

func TestExpiryEndsTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		change, sign := withTokens(t)
		r := startVirtual(t, change)
		ws, _, err := r.try("/notes/a", header(sign("write", time.Minute)))
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		ws.send(syncproto.AppendSyncStep1(nil, []byte{0}))
		ws.until(syncproto.KindSyncStep2)
		for {
			if _, _, err = ws.ws.Read(context.Background()); err != nil {
				break
			}
		}
		var end websocket.CloseError
		if !errors.As(err, &end) || int(end.Code) != session.CloseUnauthorized {
			t.Fatal(err)
		}
		// Clocks may be apart by half a minute.
		if d := time.Since(begin); d < 90*time.Second || d > 93*time.Second {
			t.Errorf("closed after %v", d)
		}
	})
}

// failing cannot tell whether anybody may come in.
type failing struct{}

func (failing) Authorize(context.Context, auth.Request) (auth.Grant, error) {
	return auth.Grant{}, auth.ErrNoKeys
}

func TestNobodyCanBeAuthorised(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startVirtual(t, func(o *Options) { o.Auth = failing{} })
		ws := r.connect("/notes")
		if _, code := ws.refusedWith(); code != session.CloseUnavailable {
			t.Errorf("closed with %d, which stops clients from trying again", code)
		}
	})
}

func TestPagesOfOtherSites(t *testing.T) {
	change, sign := withTokens(t)
	r := start(t, func(o *Options) {
		change(o)
		sites, err := auth.AllowSites([]string{"https://app.example"})
		if err != nil {
			t.Fatal(err)
		}
		o.Sites = sites
	})
	for origin, want := range map[string]int{
		"":                     http.StatusSwitchingProtocols,
		"http://" + r.address:  http.StatusSwitchingProtocols,
		"https://app.example":  http.StatusSwitchingProtocols,
		"https://evil.example": http.StatusForbidden,
	} {
		o := header(sign("write", time.Hour))
		if origin != "" {
			o.HTTPHeader.Set("Origin", origin)
		}
		_, response, _ := r.try("/notes/a", o)
		if response == nil || response.StatusCode != want {
			t.Errorf("origin %q: %v", origin, response)
		}
	}
}
