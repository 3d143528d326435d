package auth

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// Bounds on what a webhook is asked and may answer.
const (
	// HookTimeout bounds one question, with the connection that it may need.
	HookTimeout = 3 * time.Second
	// hookAnswerBytes bounds an answer.
	hookAnswerBytes = 64 << 10
	// hookKept is how long an answer counts, and hookRefusalKept a refusal.
	hookKept, hookRefusalKept = 10 * time.Second, 2 * time.Second
	// hookEntries bounds the answers that are kept.
	hookEntries = 10_000
	// hookAtOnce bounds the questions under way. Others wait for their turn.
	hookAtOnce = 64
)

// SignatureHeader of a question tells its time, in seconds since 1970, and the
// HMAC-SHA256 of "TIME.BODY" by the shared secret, as "t=TIME,v1=HEX".
const SignatureHeader = "Ysync-Signature"

// ErrUnavailable: whether a request is granted cannot be told now. It is no
// ErrDenied.
var ErrUnavailable = errors.New("nobody can tell now whether it is permitted")

// Webhook authorises by asking a program of the operator's. It is asked with a
// POST of a Question, which is signed, and answers 200 with Claims, exp
// included, or refuses: 401 for a bad token, 403 for a good one that does not
// cover the document. Everything else, no answer among it, lets nobody in for
// the time being. Its methods may be called from any goroutine.
type Webhook struct {
	url     string
	secret  []byte
	maxLife time.Duration
	timeout time.Duration
	client  http.Client
	flights singleflight.Group
	slots   chan struct{}

	mu sync.Mutex
	// Guarded by mu.
	kept map[hookKey]hookAnswer
}

var _ Authorizer = (*Webhook)(nil)

// Question is what a webhook is asked, as JSON.
type Question struct {
	// Document is empty for what concerns all documents.
	Document string `json:"document"`
	// Token is what the client presented, empty for none.
	Token string `json:"token"`
	// Remote is the address of the client, without the port.
	Remote string `json:"remote,omitempty"`
}

type hookKey [sha256.Size]byte

type hookAnswer struct {
	claims *Claims
	err    error // a refusal
	until  time.Time
}

// NewWebhook prepares a webhook at an https URL (http is allowed for loopback).
// The secret signs the questions. Claims that are good for longer than maxLife are
// refused; 0 for no bound.
func NewWebhook(url string, secret []byte, maxLife time.Duration) (*Webhook, error) {
	if err := checkURL(url); err != nil {
		return nil, fmt.Errorf("webhook: %w", err)
	}
	if len(secret) < minSecret {
		return nil, fmt.Errorf("webhook: a secret of %d bytes: want at least %d", len(secret), minSecret)
	}
	return &Webhook{
		url: url, secret: secret, maxLife: maxLife, timeout: HookTimeout,
		client: http.Client{
			// The operator named the host.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		slots: make(chan struct{}, hookAtOnce), kept: map[hookKey]hookAnswer{},
	}, nil
}

// Authorize asks the webhook, unless its answer to the same question is known.
// Errors: ErrToken and ErrDenied as the webhook says, ErrUnavailable.
func (h *Webhook) Authorize(ctx context.Context, r Request) (Grant, error) {
	if len(r.Token) > MaxTokenBytes {
		return Grant{}, fmt.Errorf("%w: it is over %d bytes", ErrToken, MaxTokenBytes)
	}
	q := Question{Document: r.Document, Token: r.Token}
	if r.Remote.IsValid() {
		q.Remote = r.Remote.Addr().Unmap().String()
	}
	key := sha256.Sum256([]byte(q.Document + "\x00" + q.Remote + "\x00" + q.Token))
	a, known := h.known(key, r.Now)
	if !known {
		var err error
		if a, err = h.once(ctx, key, q, r.Now); err != nil {
			return Grant{}, err
		}
	}
	if a.err != nil {
		return Grant{}, a.err
	}
	g, err := a.claims.grant(r.Document)
	if err == nil && g.Expired(r.Now) {
		g, err = Grant{}, fmt.Errorf("%w: it has expired", ErrToken)
	}
	return g, err
}

func (h *Webhook) known(key hookKey, now time.Time) (hookAnswer, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	a, ok := h.kept[key]
	return a, ok && now.Before(a.until)
}

func (h *Webhook) keep(key hookKey, a hookAnswer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.kept) >= hookEntries {
		clear(h.kept) // each costs a question, and this bounds them
	}
	h.kept[key] = a
}

// once asks, once for all who want to know the same at the same time.
func (h *Webhook) once(ctx context.Context, key hookKey, q Question, now time.Time) (hookAnswer, error) {
	// Whoever asked first may go away; those who wait with it do not.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.timeout)
	defer cancel()
	got, err, _ := h.flights.Do(string(key[:]), func() (any, error) {
		if a, known := h.known(key, now); known {
			return a, nil
		}
		select {
		case h.slots <- struct{}{}:
			defer func() { <-h.slots }()
		case <-ctx.Done():
			return hookAnswer{}, fmt.Errorf("%w: too many questions to the webhook", ErrUnavailable)
		}
		a, err := h.ask(ctx, q, now)
		if err == nil {
			h.keep(key, a)
		}
		return a, err
	})
	return got.(hookAnswer), err
}

func (h *Webhook) ask(ctx context.Context, q Question, now time.Time) (hookAnswer, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return hookAnswer{}, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url, bytes.NewReader(body))
	if err != nil {
		return hookAnswer{}, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(SignatureHeader, Sign(h.secret, now, body))
	answer, err := h.client.Do(r)
	if err != nil {
		// The error names the URL, which may hold what nobody should see.
		return hookAnswer{}, fmt.Errorf("%w: the webhook does not answer", ErrUnavailable)
	}
	defer answer.Body.Close()
	switch answer.StatusCode {
	case http.StatusOK:
	case http.StatusUnauthorized:
		return hookAnswer{err: fmt.Errorf("%w: the webhook refuses it", ErrToken), until: now.Add(hookRefusalKept)}, nil
	case http.StatusForbidden:
		return hookAnswer{err: fmt.Errorf("%w: the webhook does not grant the document", ErrDenied), until: now.Add(hookRefusalKept)}, nil
	default:
		return hookAnswer{}, fmt.Errorf("%w: the webhook answers %d", ErrUnavailable, answer.StatusCode)
	}
	data, err := io.ReadAll(io.LimitReader(answer.Body, hookAnswerBytes+1))
	if err != nil || len(data) > hookAnswerBytes {
		return hookAnswer{}, fmt.Errorf("%w: the webhook's answer was cut off, or is over %d bytes", ErrUnavailable, hookAnswerBytes)
	}
	var c Claims
	if json.Unmarshal(data, &c) != nil || c.ExpiresAt == nil {
		return hookAnswer{}, fmt.Errorf("%w: the webhook's answer is not JSON claims with exp", ErrUnavailable)
	}
	if err := c.check(now, h.maxLife); err != nil {
		return hookAnswer{}, fmt.Errorf("%w: the webhook's claims are refused: %s", ErrUnavailable, err.Error())
	}
	return hookAnswer{claims: &c, until: now.Add(hookKept)}, nil
}

// Sign makes the value of SignatureHeader for a body.
func Sign(secret []byte, at time.Time, body []byte) string {
	t := strconv.FormatInt(at.Unix(), 10)
	return "t=" + t + ",v1=" + hex.EncodeToString(signature(secret, t, body))
}

func signature(secret []byte, t string, body []byte) []byte {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(t + "."))
	mac.Write(body)
	return mac.Sum(nil)
}

// CheckSignature tells whether a header was made by Sign with the same secret,
// at most a leeway of 30 s before or after now. It is for webhooks written in Go.
func CheckSignature(secret []byte, header string, body []byte, now time.Time) bool {
	t, v1, ok := strings.Cut(header, ",v1=")
	t, ok2 := strings.CutPrefix(t, "t=")
	at, err := strconv.ParseInt(t, 10, 64)
	sum, err2 := hex.DecodeString(v1)
	if !ok || !ok2 || err != nil || err2 != nil {
		return false
	}
	if d := now.Sub(time.Unix(at, 0)); d > leeway || d < -leeway {
		return false
	}
	return hmac.Equal(sum, signature(secret, t, body))
}
