package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
)

// How keys are kept up to date.
const (
	// fileAge and urlAge are the ages at which a source is read again.
	fileAge = 5 * time.Second
	urlAge  = 10 * time.Minute
	// unknownAge is how old a source must be to be read again because a token
	// names a key that it does not have.
	unknownAge = 30 * time.Second
	// staleAge is how long keys of a source that cannot be read any more go on
	// to be good.
	staleAge = 24 * time.Hour
	// fetchTimeout bounds one read of a URL.
	fetchTimeout = 3 * time.Second
)

// ErrNoKeys: the keys cannot be read now, and what was read is too old.
var ErrNoKeys = fmt.Errorf("%w: the keys that tokens are verified with cannot be read", ErrUnavailable)

// Keys are the keys that tokens are verified with: files and URLs, each read
// again after a while, and when a token names a key that is not there. A source
// that cannot be read keeps the keys that it had, for a day. Its methods may be
// called from any goroutine.
type Keys struct {
	sources []*source
	failed  func(source string, err error)
}

// NewKeys reads the sources, paths of files or https URLs (http is allowed for
// loopback). A file that cannot be read is an error; a URL that does not answer is
// reported to failed and tried again when it is needed. failed may be nil; it may be
// called from any goroutine, and is told of a URL without what may be secret in it.
func NewKeys(ctx context.Context, names []string, failed func(source string, err error)) (*Keys, error) {
	k := &Keys{failed: failed}
	if k.failed == nil {
		k.failed = func(string, error) {}
	}
	now := time.Now()
	for _, name := range names {
		s, err := newSource(name)
		if err != nil {
			return nil, err
		}
		if err := s.refresh(ctx, now); err != nil {
			if s.file {
				return nil, err
			}
			k.failed(s.shown, err)
		}
		k.sources = append(k.sources, s)
	}
	return k, nil
}

// find returns the keys that may verify a token with this header. When there are
// none, and a source can't be read, it may be that it has one by now: ErrNoKeys.
func (k *Keys) find(ctx context.Context, algorithm, id string, now time.Time) ([]Key, error) {
	keys, current := k.known(ctx, algorithm, id, now, 0)
	if len(keys) == 0 {
		keys, current = k.known(ctx, algorithm, id, now, unknownAge)
	}
	if len(keys) == 0 && !current {
		return nil, ErrNoKeys
	}
	return keys, nil
}

// known looks a key up in all sources, which are read again first when they are
// older than they may be, or than age (0 for not at all). current is whether all
// of them could be read when they were last tried.
func (k *Keys) known(ctx context.Context, algorithm, id string, now time.Time, age time.Duration) (found []Key, current bool) {
	current = true
	for _, s := range k.sources {
		keys, ok := s.keys(ctx, now, age, k.failed)
		current = current && ok
		for _, key := range keys {
			if key.mayVerify(algorithm, id) {
				found = append(found, key)
			}
		}
	}
	return found, current
}

// source is one file or URL of keys.
type source struct {
	name  string
	shown string // the name without what may be secret in a URL
	file  bool
	age   time.Duration

	mu sync.Mutex
	// Guarded by mu, which is held while the source is read: those who need
	// its keys meanwhile would read it again.
	set         []Key
	read, tried time.Time // when it was last read well, and at all
	failing     bool      // the newest try failed
	reading     bool      // it is read by a goroutine that does not hold mu
}

func newSource(name string) (*source, error) {
	if !strings.Contains(name, "://") {
		return &source{name: name, shown: name, file: true, age: fileAge}, nil
	}
	if err := checkURL(name); err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	return &source{name: name, shown: withoutSecrets(name), age: urlAge}, nil
}

// withoutSecrets is a URL, which has no password, without the part that people put
// keys into.
func withoutSecrets(name string) string {
	name, _, _ = strings.Cut(name, "?")
	name, _, _ = strings.Cut(name, "#")
	return name
}

// checkURL refuses what is no https URL; http is allowed for loopback.
func checkURL(name string) error {
	u, err := url.Parse(name)
	switch {
	case err != nil || u.Host == "" || u.User != nil:
		return errors.New("want a URL such as https://host/path, without a password") // which is not quoted
	case u.Scheme == "https", u.Scheme == "http" && isLoopbackName(u.Hostname()):
		return nil
	default:
		return fmt.Errorf("%s://%s: want https, as whoever changes an answer on its way decides who may do what", clip(u.Scheme), clip(u.Host))
	}
}

// keys returns the source's keys, nil when there are none that are good, and
// whether it could be read when it was last tried. Nobody waits for a URL that has
// failed before as long as what it said is good.
func (s *source) keys(ctx context.Context, now time.Time, age time.Duration, failed func(string, error)) (keys []Key, current bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	limit := s.age
	if age > 0 {
		limit = min(limit, age)
	}
	good := now.Sub(s.read) < staleAge
	due := now.Sub(s.tried) >= min(limit, unknownAge) && now.Sub(s.read) >= limit
	switch {
	case !due || s.reading:
	case s.failing && good && !s.file:
		s.tried, s.reading = now, true
		go func() {
			set, err := s.load(context.WithoutCancel(ctx))
			s.mu.Lock()
			err = s.take(set, err, now)
			s.reading = false
			s.mu.Unlock()
			if err != nil {
				failed(s.shown, err)
			}
		}()
	default:
		if err := s.refresh(ctx, now); err != nil {
			failed(s.shown, err)
		}
		good = now.Sub(s.read) < staleAge
	}
	if !good {
		return nil, false
	}
	return s.set, !s.failing
}

// refresh reads the source.
func (s *source) refresh(ctx context.Context, now time.Time) error {
	s.tried = now
	set, err := s.load(ctx)
	return s.take(set, err, now)
}

func (s *source) load(ctx context.Context) ([]Key, error) {
	fetch := s.fetch
	if s.file {
		fetch = func(context.Context) ([]byte, error) { return readBounded(s.name) }
	}
	data, err := fetch(ctx)
	if err != nil {
		return nil, err
	}
	return ParseKeys(data)
}

// take takes what load returned. What the source had stays when that failed.
func (s *source) take(set []Key, err error, now time.Time) error {
	if s.failing = err != nil; s.failing {
		return fmt.Errorf("keys of %s: %w", s.shown, err)
	}
	s.set, s.read = set, now
	return nil
}

func readBounded(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxKeyBytes+1))
}

// provider fetches keys. It follows no redirect: the operator named the host.
var provider = http.Client{
	Timeout:       fetchTimeout,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

func (s *source) fetch(ctx context.Context) ([]byte, error) {
	// Whoever waits for the keys may go away; those who wait with it do not.
	ctx = context.WithoutCancel(ctx)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.name, nil)
	if err != nil {
		return nil, err
	}
	answer, err := provider.Do(r)
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err // it quotes the URL
	}
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answers %s", answer.Status)
	}
	return io.ReadAll(io.LimitReader(answer.Body, maxKeyBytes+1))
}
