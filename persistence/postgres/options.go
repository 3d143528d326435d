package postgres

import (
	"time"

	"go.uber.org/zap"
)

// Schema says what Open does about the tables.
type Schema uint8

const (
	// Migrate brings the schema to this release's version, creating it if need
	// be. Processes that do so at once wait for one another.
	Migrate Schema = iota
	// Require takes the schema as it is and refuses one that is not there, or
	// older than this release. Nothing is written on opening.
	Require
)

// Options tells Open where the log is. Only URL is needed.
type Options struct {
	// URL is a connection URL (postgres://user:password@host:port/database) or
	// a string of keywords and values. What it leaves out is taken from the
	// environment variables and the password file of libpq. It is never part of an
	// error or of a log line.
	URL string
	// Schema is what to do about the tables; the default is Migrate.
	Schema Schema
	// Logger takes what an operator should read; nil discards it.
	Logger *zap.Logger

	// Writers is how many connections append, each for its share of the
	// documents; default 2.
	Writers int
	// Connections is how many connections at most do everything else; default 8.
	Connections int

	// ConnectTimeout bounds the making of one connection; default 5 s.
	ConnectTimeout time.Duration
	// StatementTimeout bounds one statement, on the server; the client waits
	// a second longer for its answer. Default 5 s.
	StatementTimeout time.Duration
	// LockTimeout bounds the wait for another's lock; default 500 ms.
	LockTimeout time.Duration
	// Patience is how long a call tries again while the database is away,
	// before it reports the failure; default 2 s. The attempt that it began
	// in time may take StatementTimeout longer.
	Patience time.Duration
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Writers <= 0 {
		o.Writers = 2
	}
	if o.Connections <= 0 {
		o.Connections = 8
	}
	for d, otherwise := range map[*time.Duration]time.Duration{
		&o.ConnectTimeout:   5 * time.Second,
		&o.StatementTimeout: 5 * time.Second,
		&o.LockTimeout:      500 * time.Millisecond,
		&o.Patience:         2 * time.Second,
	} {
		if *d <= 0 {
			*d = otherwise
		}
	}
	return o
}
