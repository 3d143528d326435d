package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Ruling takes rights back that tokens have given: the largest scope for those
// whom it names. All that it names has to match, and it names one thing at least.
type Ruling struct {
	// Subject is the one of tokens, Token the ID of one (jti), Documents a pattern
	// as that of a grant: a tenant is "acme/*". Empty for any.
	Subject   string `json:"subject,omitempty"`
	Token     string `json:"token,omitempty"`
	Documents string `json:"documents,omitempty"`
	// Scope is the most that is left: None ends sessions, Admin lifts an earlier
	// ruling on the same.
	Scope Scope `json:"scope"`
	// Later: tokens made after At are meant too. Without it a new token is how
	// somebody gets in again.
	Later bool `json:"later,omitempty"`
	// At is when it was made; Until ends it.
	At    time.Time `json:"at"`
	Until time.Time `json:"until"`
	// By is who made it, Reason what for.
	By     string `json:"by,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// ErrRuling is the class of refusals of a ruling.
var ErrRuling = errors.New("ruling")

// Check refuses a ruling that says nothing, or too much.
func (r *Ruling) Check() error {
	switch {
	case r.Subject == "" && r.Token == "" && r.Documents == "":
		return fmt.Errorf("%w: want a subject, a token's ID or documents", ErrRuling)
	case len(r.Subject) > maxSubjectBytes || len(r.Token) > maxSubjectBytes || len(r.Documents) > maxSubjectBytes || len(r.Reason) > maxSubjectBytes:
		return fmt.Errorf("%w: a text over %d bytes", ErrRuling, maxSubjectBytes)
	case strings.Contains(strings.TrimSuffix(r.Documents, "*"), "*"):
		return fmt.Errorf("%w: documents: want a name, or a beginning and a *", ErrRuling)
	case r.Scope > Admin:
		return fmt.Errorf("%w: unknown scope", ErrRuling)
	case !r.Until.After(r.At):
		return fmt.Errorf("%w: it ends before it begins", ErrRuling)
	}
	return nil
}

// Key tells what the ruling is on: a later one with the same key replaces it.
func (r *Ruling) Key() string { return r.Subject + "\x00" + r.Token + "\x00" + r.Documents }

// meets tells whether the ruling is on a grant and a document. The time of a
// token is in whole seconds, so one made in the second of the ruling is meant too.
func (r *Ruling) meets(g *Grant, document string, now time.Time) bool {
	return now.Before(r.Until) &&
		(r.Subject == "" || r.Subject == g.Subject) &&
		(r.Token == "" || r.Token == g.Token) &&
		(r.Documents == "" || Grant{Pattern: r.Documents}.Covers(document)) &&
		(r.Later || !g.Issued.After(r.At))
}

// MarshalText implements encoding.TextMarshaler.
func (s Scope) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Scope) UnmarshalText(text []byte) (err error) {
	if string(text) == None.String() {
		*s = None
		return nil
	}
	*s, err = ParseScope(string(text))
	return err
}

// MaxRulings bounds those that are in force.
const MaxRulings = 10_000

// RulingSource tells what was ruled.
type RulingSource interface {
	// Rulings returns those that were recorded after a version, what lifts earlier
	// ones included, and the newest version. The first one is 1.
	Rulings(ctx context.Context, after uint64) ([]Ruling, uint64, error)
}

// RulingStore keeps rulings for all nodes, over restarts.
type RulingStore interface {
	RulingSource
	// Rule records one in place of any with the same key, durably. It fails with
	// ErrRuling when there are MaxRulings others.
	Rule(ctx context.Context, r Ruling) error
}

// MissingRulings are those that one source has and another, which may be nil,
// lacks at now: of two on the same the later one holds, wherever it was made.
func MissingRulings(ctx context.Context, from, to RulingSource, now time.Time) ([]Ruling, error) {
	all, _, err := from.Rulings(ctx, 0)
	if err != nil {
		return nil, fmt.Errorf("reading the rulings: %w", err)
	}
	there := map[string]Ruling{}
	if to != nil {
		list, _, err := to.Rulings(ctx, 0)
		if err != nil {
			return nil, fmt.Errorf("reading the rulings to compare with: %w", err)
		}
		for _, r := range list {
			there[r.Key()] = r
		}
	}
	var missing []Ruling
	for _, r := range all {
		had, known := there[r.Key()]
		if now.Before(r.Until) && r.At.After(had.At) && (known || r.Scope < Admin) {
			missing = append(missing, r)
		}
	}
	return missing, nil
}

// lookEvery is how often a node looks for what others ruled.
const lookEvery = time.Second

// Rulings are the rulings in force. Methods may be called from any goroutine.
type Rulings struct {
	store  RulingStore
	failed func(error)

	// look is held while the store is read.
	look    sync.Mutex
	version uint64 // guarded by look

	mu sync.RWMutex
	// Guarded by mu.
	all     map[string]Ruling
	narrow  map[string][]string // keys of those that name a subject or a token, by it
	wide    []string            // keys of the others
	changed chan struct{}       // closed by the next change
}

// NewRulings reads a store. failed hears of it when the store can't be read
// afterwards, and of nil when it can be again; it may be nil.
func NewRulings(ctx context.Context, store RulingStore, failed func(error)) (*Rulings, error) {
	if failed == nil {
		failed = func(error) {}
	}
	r := &Rulings{store: store, failed: failed, all: map[string]Ruling{}, changed: make(chan struct{})}
	if err := r.Look(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// Run looks for what other nodes ruled, until ctx ends. What was known stays in
// force while the store can't be read.
func (r *Rulings) Run(ctx context.Context) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	failing := false
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		err := r.Look(ctx)
		if ctx.Err() == nil && (err != nil) != failing {
			failing = err != nil
			r.failed(err)
		}
	}
}

// Look takes in what the store has that is new.
func (r *Rulings) Look(ctx context.Context) error {
	r.look.Lock()
	defer r.look.Unlock()
	ctx, cancel := context.WithTimeout(ctx, HookTimeout)
	defer cancel()
	found, version, err := r.store.Rulings(ctx, r.version)
	if err != nil {
		return err
	}
	r.version = version
	if len(found) > 0 {
		r.take(found)
	}
	return nil
}

func (r *Rulings) take(found []Ruling) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range found {
		r.all[f.Key()] = f
	}
	r.narrow, r.wide = map[string][]string{}, nil
	for key, f := range r.all {
		switch {
		case f.Token != "":
			r.narrow["t"+f.Token] = append(r.narrow["t"+f.Token], key)
		case f.Subject != "":
			r.narrow["s"+f.Subject] = append(r.narrow["s"+f.Subject], key)
		default:
			r.wide = append(r.wide, key)
		}
	}
	close(r.changed)
	r.changed = make(chan struct{})
}

// Rule records a ruling; when it returns, this node goes by it, and the others
// do within some seconds.
func (r *Rulings) Rule(ctx context.Context, ruling Ruling) error {
	if err := ruling.Check(); err != nil {
		return err
	}
	if err := r.store.Rule(ctx, ruling); err != nil {
		return err
	}
	return r.Look(ctx)
}

// Changed returns a channel that is closed by the next change.
func (r *Rulings) Changed() <-chan struct{} {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.changed
}

// List returns the rulings in force at now.
func (r *Rulings) List(now time.Time) []Ruling {
	return slices.DeleteFunc(r.All(now), func(ruling Ruling) bool { return ruling.Scope == Admin })
}

// All returns the rulings that have not ended at now, those included that only
// lift an earlier one.
func (r *Rulings) All(now time.Time) []Ruling {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var out []Ruling
	for _, ruling := range r.all {
		if now.Before(ruling.Until) {
			out = append(out, ruling)
		}
	}
	return out
}

// Left is what the rulings leave of a grant's scope on a document.
func (r *Rulings) Left(g Grant, document string, now time.Time) Scope {
	r.mu.RLock()
	defer r.mu.RUnlock()
	left := g.Scope
	for _, keys := range [][]string{r.wide, r.narrow["s"+g.Subject], r.narrow["t"+g.Token]} {
		for _, key := range keys {
			if f := r.all[key]; f.Scope < left && f.meets(&g, document, now) {
				left = f.Scope
			}
		}
	}
	return left
}

// Ruled is an authoriser whose grants have what the rulings leave of them.
type Ruled struct {
	Authorizer
	Rulings *Rulings
}

var _ Authorizer = Ruled{}

// ErrRevoked: the token is good, and what it granted was taken back. It is an
// ErrToken, as another token may do.
var ErrRevoked = fmt.Errorf("%w: it was revoked", ErrToken)

// Authorize grants what is left. Granted is that of the token itself.
func (a Ruled) Authorize(ctx context.Context, r Request) (Grant, error) {
	g, err := a.Authorizer.Authorize(ctx, r)
	if err != nil {
		return g, err
	}
	g.Granted = g.Scope
	if g.Scope = a.Rulings.Left(g, r.Document, r.Now); g.Scope == None {
		return Grant{}, ErrRevoked
	}
	return g, nil
}
