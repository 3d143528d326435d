package postgres

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"

	planted "ysync/internal/fault"
	"ysync/persistence"
	"ysync/persistence/internal/calls"
)

var _ persistence.Log = (*Log)(nil)

// Log is an open log. It implements persistence.Log.
//
// Read is as of one moment as far as entries that are appended meanwhile go.
// Entries that are trimmed while a long sequence runs end it with
// persistence.ErrTrimmed.
type Log struct {
	// Static after Open.
	options    Options
	config     *pgx.ConnConfig
	pool       *pgxpool.Pool
	writers    []*writer
	appendSQL  string
	durability Durability
	health     health
	calls      *calls.Gate
}

// Open connects to the database, brings the tables to this release's version
// and checks that the server keeps what it commits. Several processes may have
// the same log open: epochs keep them apart. Errors, in one line each and
// without the password: ErrNewerFormat when a newer release has migrated the
// tables, ErrInvalid for a malformed URL, or what the server or the network says.
func Open(ctx context.Context, o Options) (*Log, error) {
	o = o.withDefaults()
	config, err := connConfig(o)
	if err != nil {
		return nil, &persistence.Error{Op: "open", Err: err}
	}
	l, err := open(ctx, o, config)
	if err != nil {
		return nil, &persistence.Error{Op: "open", Err: openFailure(where(config), err)}
	}
	return l, nil
}

func open(ctx context.Context, o Options, config *pgx.ConnConfig) (*Log, error) {
	if err := prepareSchema(ctx, config, o); err != nil {
		return nil, err
	}
	l := &Log{options: o, config: config, appendSQL: appendSQL, calls: calls.New()}
	if planted.Active(planted.IgnoreEpoch) {
		l.appendSQL = withoutEpoch()
	}
	pooled, err := pgxpool.ParseConfig("")
	if err != nil {
		return nil, err
	}
	pooled.ConnConfig = config
	pooled.MaxConns = int32(o.Connections)
	pooled.PingTimeout = o.ConnectTimeout
	pooled.MaxConnLifetime = time.Hour
	pooled.MaxConnLifetimeJitter = 10 * time.Minute
	pooled.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error { return prepareSession(ctx, conn, o) }
	if l.pool, err = pgxpool.NewWithConfig(ctx, pooled); err != nil {
		return nil, err
	}
	err = l.pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error {
		l.durability, err = readDurability(ctx, c.Conn())
		return err
	})
	if err != nil {
		l.pool.Close()
		return nil, err
	}
	l.health.log = o.Logger
	l.health.up()
	for range o.Writers {
		l.writers = append(l.writers, newWriter(l))
	}
	return l, nil
}

// Durability is what the server promised about commits when the log was opened.
func (l *Log) Durability() Durability { return l.durability }

// Address names the server and the database, without user and password.
func (l *Log) Address() string { return where(l.config) }

// Health is the state of the way to the database.
func (l *Log) Health() Health { return l.health.get() }

// Health tells whether the database answers.
type Health struct {
	// Up: the newest statement was answered.
	Up bool `json:"up"`
	// Since is when that began.
	Since time.Time `json:"since"`
	// Error is why not, on one line, without secrets.
	Error string `json:"error,omitempty"`
}

// health keeps the state, and logs its changes.
type health struct {
	log *zap.Logger
	// fine is whether now.Up, to be looked at without the lock.
	fine atomic.Bool
	mu   sync.Mutex
	now  Health
}

func (h *health) get() Health {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

func (h *health) up() {
	if h.fine.Load() {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.now.Up && h.now.Error != "" {
		h.log.Info("the database answers again", zap.Duration("after", time.Since(h.now.Since)))
	}
	h.now = Health{Up: true, Since: time.Now()}
	h.fine.Store(true)
}

// failed judges the error of a statement, and notes it when the database did
// not answer.
func (h *health) failed(err error) outcome {
	how := outcomeOf(err)
	if how.away() {
		h.down(err)
	}
	return how
}

func (h *health) down(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	text := fault{err}.Error()
	if h.now.Up {
		h.now = Health{Since: time.Now()}
		h.fine.Store(false)
		h.log.Warn("the database does not answer", zap.String("error", text))
	}
	h.now.Error = text
}

// Close implements persistence.Log.
func (l *Log) Close() error {
	if err := l.calls.Shut(); err != nil {
		return &persistence.Error{Op: "close", Err: err}
	}
	for _, w := range l.writers {
		w.stop()
	}
	closed := make(chan struct{})
	go func() {
		l.pool.Close()
		close(closed)
	}()
	select {
	case <-closed:
	case <-time.After(closeWithin):
	}
	return nil
}

// closeWithin bounds the farewell to the database. When it does not answer, the
// driver ends a connection after fifteen seconds, for which nobody has to wait:
// nothing is under way.
const closeWithin = 2 * time.Second

const (
	firstPause = 10 * time.Millisecond
	lastPause  = 250 * time.Millisecond
)

// patience is one call's: when to try again, and when to give up.
type patience struct {
	log   *Log
	until time.Time
	next  time.Duration
}

func (l *Log) patience() *patience {
	return &patience{log: l, until: time.Now().Add(l.options.Patience), next: firstPause}
}

// wait pauses before the next try, and reports whether there is to be one:
// not after the time is over, when a context ends or the log is closed.
func (p *patience) wait(ctxs ...context.Context) bool {
	pause := p.next + rand.N(p.next/2)
	p.next = min(2*p.next, lastPause)
	if time.Now().Add(pause).After(p.until) {
		return false
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	ended := make(<-chan struct{})
	for _, ctx := range ctxs {
		if ctx.Err() != nil {
			return false
		}
		ended = ctx.Done()
	}
	select {
	case <-timer.C:
		return true
	case <-ended:
	case <-p.log.calls.Shutting():
	}
	return false
}

// do runs a reading function on a connection of the pool, again when the
// database is away for a moment. f may run several times.
func (l *Log) do(ctx context.Context, f func(context.Context, *pgxpool.Conn) error) error {
	for p := l.patience(); ; {
		err := l.once(ctx, f)
		switch {
		case err == nil:
			l.health.up()
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		}
		how := l.health.failed(err)
		if _, ours := errors.AsType[*atPosition](err); ours || how == refused || !p.wait(ctx) {
			return err
		}
	}
}

// once runs f on a connection, within bounds of time.
func (l *Log) once(ctx context.Context, f func(context.Context, *pgxpool.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, l.options.StatementTimeout+time.Second)
	defer cancel()
	conn, err := l.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	return f(ctx, conn)
}
