package auth

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

var hookSecret = []byte("0123456789abcdef0123456789abcdef")

// hook serves a webhook of which the test says what it answers.
func hook(t *testing.T, answer func(w http.ResponseWriter, q Question)) (*Webhook, *atomic.Int64) {
	t.Helper()
	asked := new(atomic.Int64)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		body, err := io.ReadAll(r.Body)
		if err != nil || !CheckSignature(hookSecret, r.Header.Get(SignatureHeader), body, time.Now()) {
			t.Errorf("a question that is not signed: %v", err)
		}
		var q Question
		if err := json.Unmarshal(body, &q); err != nil {
			t.Error(err)
		}
		answer(w, q)
	}))
	t.Cleanup(server.Close)
	h, err := NewWebhook(server.URL, hookSecret, 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return h, asked
}

func say(w http.ResponseWriter, c Claims) { _ = json.NewEncoder(w).Encode(c) }

func TestWebhookGrants(t *testing.T) {
	now := time.Now()
	h, asked := hook(t, func(w http.ResponseWriter, q Question) {
		c := NewClaims("ann", now, time.Hour)
		c.ID, c.Tenant, c.Documents = "7", "acme", map[string]string{"trips/*": "write"}
		if q.Token != "secret" || q.Remote != "192.0.2.1" {
			t.Errorf("asked %+v", q)
		}
		say(w, c)
	})
	r := Request{Document: "acme/trips/rome", Token: "secret", Remote: netip.MustParseAddrPort("192.0.2.1:99"), Now: now}
	for range 3 {
		g, err := h.Authorize(t.Context(), r)
		if err != nil || g.Subject != "ann" || g.Scope != Write || g.Token != "7" || g.Expired(now.Add(time.Hour)) || !g.Expired(now.Add(2*time.Hour)) {
			t.Fatalf("%+v, %v", g, err)
		}
	}
	if asked.Load() != 1 {
		t.Errorf("asked %d times for the same", asked.Load())
	}
	r.Document = "other/trips/rome"
	if _, err := h.Authorize(t.Context(), r); !errors.Is(err, ErrDenied) || errors.Is(err, ErrToken) {
		t.Errorf("a document of another tenant: %v", err)
	}
	r.Document, r.Now = "acme/trips/rome", now.Add(hookKept)
	if _, err := h.Authorize(t.Context(), r); err != nil || asked.Load() != 3 {
		t.Errorf("after a while: %v, asked %d times", err, asked.Load())
	}
}

// Whatever a webhook does, nobody gets in by its failure.
func TestWebhookRefusesAndFails(t *testing.T) {
	now := time.Now()
	long := NewClaims("ann", now, 48*time.Hour)
	long.Documents = map[string]string{"*": "write"}
	over := NewClaims("ann", now.Add(-2*time.Hour), time.Hour)
	over.Documents = long.Documents
	for name, c := range map[string]struct {
		answer func(w http.ResponseWriter)
		class  error
		not    error
	}{
		"401":           {func(w http.ResponseWriter) { w.WriteHeader(http.StatusUnauthorized) }, ErrToken, ErrUnavailable},
		"403":           {func(w http.ResponseWriter) { w.WriteHeader(http.StatusForbidden) }, ErrDenied, ErrToken},
		"500":           {func(w http.ResponseWriter) { w.WriteHeader(http.StatusInternalServerError) }, ErrUnavailable, ErrDenied},
		"204":           {func(w http.ResponseWriter) { w.WriteHeader(http.StatusNoContent) }, ErrUnavailable, ErrDenied},
		"a redirect":    {func(w http.ResponseWriter) { w.Header().Set("Location", "/"); w.WriteHeader(http.StatusFound) }, ErrUnavailable, ErrDenied},
		"no JSON":       {func(w http.ResponseWriter) { _, _ = w.Write([]byte("yes")) }, ErrUnavailable, ErrDenied},
		"no exp":        {func(w http.ResponseWriter) { _, _ = w.Write([]byte(`{"sub":"ann","documents":{"*":"write"}}`)) }, ErrUnavailable, ErrDenied},
		"no subject":    {func(w http.ResponseWriter) { _, _ = w.Write([]byte(`{"exp":4102444800,"documents":{"*":"write"}}`)) }, ErrUnavailable, ErrDenied},
		"too long good": {func(w http.ResponseWriter) { say(w, long) }, ErrUnavailable, ErrDenied},
		"over":          {func(w http.ResponseWriter) { say(w, over) }, ErrToken, ErrUnavailable},
		"endless": {func(w http.ResponseWriter) {
			_, _ = w.Write([]byte(strings.Repeat(" ", hookAnswerBytes+1)))
		}, ErrUnavailable, ErrDenied},
		"an unknown scope": {func(w http.ResponseWriter) {
			_, _ = w.Write([]byte(`{"sub":"ann","exp":` + future(now) + `,"documents":{"*":"all"}}`))
		}, ErrToken, ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			h, _ := hook(t, func(w http.ResponseWriter, _ Question) { c.answer(w) })
			g, err := h.Authorize(t.Context(), Request{Document: "a", Token: "x", Now: now})
			if !errors.Is(err, c.class) || errors.Is(err, c.not) || g.Scope != None {
				t.Errorf("%+v, %v", g, err)
			}
			if err != nil && strings.Contains(err.Error(), "127.0.0.1") {
				t.Errorf("the refusal names the webhook: %v", err)
			}
		})
	}
	t.Run("silence", func(t *testing.T) {
		release := make(chan struct{})
		h, _ := hook(t, func(http.ResponseWriter, Question) { <-release })
		h.timeout = 50 * time.Millisecond
		t.Cleanup(func() { close(release) }) // before the server is closed
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // who asked first has gone, and the question goes on to its own end
		if _, err := h.Authorize(ctx, Request{Document: "a", Now: now}); !errors.Is(err, ErrUnavailable) {
			t.Error(err)
		}
	})
	t.Run("nobody there", func(t *testing.T) {
		server := httptest.NewServer(nil)
		server.Close()
		h, err := NewWebhook(server.URL, hookSecret, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.Authorize(t.Context(), Request{Document: "a", Now: now}); !errors.Is(err, ErrUnavailable) {
			t.Error(err)
		}
	})
}

func future(now time.Time) string {
	text, _ := json.Marshal(now.Add(time.Hour).Unix())
	return string(text)
}

func TestWebhookIsPrepared(t *testing.T) {
	for _, url := range []string{"http://hook.example/", "https://ann:pw@hook.example/", "hook.example", "file:///etc/passwd"} {
		if _, err := NewWebhook(url, hookSecret, 0); err == nil {
			t.Errorf("%s is taken", url)
		}
	}
	if _, err := NewWebhook("https://hook.example/", hookSecret[:31], 0); err == nil {
		t.Error("a short secret is taken")
	}
}

func TestSignature(t *testing.T) {
	now := time.Now()
	body := []byte("{}")
	s := Sign(hookSecret, now, body)
	for name, c := range map[string]struct {
		header string
		body   string
		at     time.Time
		want   bool
	}{
		"good":         {s, "{}", now.Add(20 * time.Second), true},
		"old":          {s, "{}", now.Add(time.Minute), false},
		"another body": {s, "[]", now, false},
		"another time": {"t=1" + s[2:], "{}", now, false},
		"none":         {"", "{}", now, false},
		"no hex":       {s + "x", "{}", now, false},
	} {
		if got := CheckSignature(hookSecret, c.header, []byte(c.body), c.at); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
