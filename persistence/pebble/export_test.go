package pebble

import "time"

// WithClock returns o with another clock.
func WithClock(o Options, now func() time.Time) Options {
	o.now = now
	return o
}

// WithExit returns o with another end of the process.
func WithExit(o Options, exit func(code int)) Options {
	o.exit = exit
	return o
}

// InMemory returns how many documents are in memory.
func (l *Log) InMemory() int { return l.cache.len() }
