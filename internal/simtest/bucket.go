package simtest

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"time"

	"ysync/snapshots"
)

// bucket is the store of snapshots and segments, and how it fails.
type bucket struct {
	w *world
	// Guarded by world.mu.
	objects map[string][]byte
	up      bool
	cutting bool // what is put is cut short, and the answer says that all is well
	slow    time.Duration
}

var errBucket = errors.New("the bucket does not answer")

// shelf is a node's connection to the bucket.
type shelf struct {
	bucket *bucket
	node   *node
	dice   *dice
}

var _ snapshots.Store = (*shelf)(nil)

// call does one request. do is called with the world's lock held.
func (s *shelf) call(ctx context.Context, do func() error) error {
	b, w := s.bucket, s.bucket.w
	if !s.node.pass(ctx) {
		return errors.Join(errDead, ctx.Err())
	}
	w.mu.Lock()
	slow := b.slow
	w.mu.Unlock()
	if !rest(ctx, s.node.trip()+s.dice.between(0, slow)) {
		return ctx.Err()
	}
	w.mu.Lock()
	err := errBucket
	if b.up {
		err = do()
	}
	w.mu.Unlock()
	if !rest(s.node.ctx, s.node.trip()+s.dice.between(0, slow)) || !s.node.pass(s.node.ctx) {
		return errDead
	}
	return err
}

// Put implements snapshots.Store.
func (s *shelf) Put(ctx context.Context, key string, blob []byte) error {
	b := s.bucket
	return s.call(ctx, func() error {
		// As a bucket does with a condition: whatever is there stays.
		if old, there := b.objects[key]; there {
			if !bytes.Equal(old, blob) {
				return &snapshots.FileError{Key: key, Err: snapshots.ErrExists}
			}
			return nil
		}
		stored := bytes.Clone(blob)
		if b.cutting && len(blob) > 0 {
			b.w.counted["upload cut short"]++
			stored = stored[:s.dice.n(len(blob))]
		}
		b.objects[key] = stored
		return nil
	})
}

func (s *shelf) get(ctx context.Context, key string) (blob []byte, err error) {
	err = s.call(ctx, func() error {
		stored, there := s.bucket.objects[key]
		if !there {
			return &snapshots.FileError{Key: key, Err: snapshots.ErrNotFound}
		}
		blob = bytes.Clone(stored)
		return nil
	})
	return blob, err
}

// Get implements snapshots.Store.
func (s *shelf) Get(ctx context.Context, key string, limit int64) ([]byte, error) {
	blob, err := s.get(ctx, key)
	if err == nil && int64(len(blob)) > limit {
		err = &snapshots.FileError{Key: key, Err: snapshots.ErrTooLarge}
	}
	return blob, err
}

// Head implements snapshots.Store.
func (s *shelf) Head(ctx context.Context, key string, n int) ([]byte, error) {
	blob, err := s.get(ctx, key)
	return blob[:min(n, len(blob))], err
}

// List implements snapshots.Store.
func (s *shelf) List(ctx context.Context, prefix string) iter.Seq2[snapshots.Object, error] {
	return func(yield func(snapshots.Object, error) bool) {
		var found []snapshots.Object
		err := s.call(ctx, func() error {
			for key, blob := range s.bucket.objects {
				if strings.HasPrefix(key, prefix) {
					found = append(found, snapshots.Object{Key: key, Size: int64(len(blob))})
				}
			}
			return nil
		})
		if err != nil {
			yield(snapshots.Object{}, err)
			return
		}
		slices.SortFunc(found, func(a, b snapshots.Object) int { return strings.Compare(a.Key, b.Key) })
		for _, o := range found {
			if !yield(o, nil) {
				return
			}
		}
	}
}

// Delete implements snapshots.Store.
func (s *shelf) Delete(ctx context.Context, key string) error {
	return s.call(ctx, func() error {
		delete(s.bucket.objects, key)
		return nil
	})
}
