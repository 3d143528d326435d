package persistence

import "context"

// RawReader is a Log that gives out what it has stored of an entry without
// judging it, so that damaged bytes can be put aside before they are replaced.
// Pebble's and PostgreSQL's are.
type RawReader interface {
	// Raw returns the stored bytes of an entry, damaged or not, in the store's
	// own form; nil when there are none. They may be those of its neighbours too.
	// The error is that of reading them.
	Raw(ctx context.Context, document string, p Position) ([]byte, error)
}
