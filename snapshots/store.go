package snapshots

import (
	"context"
	"iter"
)

// Object is one entry of a listing.
type Object struct {
	Key string
	// Size is the object's length in bytes.
	Size int64
}

// Store is an immutable blob store. Keys are the relative paths of this
// package (see SnapshotKey): elements of [0-9a-z.-], separated by "/", none
// empty or beginning with a dot. All methods may be called from any goroutine.
type Store interface {
	// Put stores blob under key, durably when it returns nil: after a power
	// loss at any later moment the object is whole, and at any earlier moment
	// it is whole or absent. A key is written once: ErrExists when it holds
	// other bytes; storing the same bytes again is no error, so that a caller
	// may repeat a Put whose outcome it does not know. blob is not changed and
	// not retained.
	Put(ctx context.Context, key string, blob []byte) error

	// Get returns the object's bytes, which belong to the caller. ErrNotFound
	// if there is none, ErrTooLarge if it is longer than limit bytes.
	Get(ctx context.Context, key string, limit int64) ([]byte, error)

	// Head returns the first n bytes of the object, or all if it has fewer.
	Head(ctx context.Context, key string, n int) ([]byte, error)

	// List yields the objects whose key begins with prefix, ordered by key.
	// The prefix ends with "/" or is empty. The first error ends the sequence.
	List(ctx context.Context, prefix string) iter.Seq2[Object, error]

	// Delete removes the object; one that does not exist is no error.
	Delete(ctx context.Context, key string) error
}
