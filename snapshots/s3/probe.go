package s3

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"time"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"

	"ysync/snapshots"
)

// Step is one thing that a bucket has to be able to do.
type Step struct {
	// What is "reach", "put", "conditional put", "get", "list" or "delete".
	What string
	// Err is why it cannot; nil when it can.
	Err error
}

// Probe is what trying a bucket out has shown.
type Probe struct {
	// Steps are in the order in which they were tried; what depends on one that
	// failed is not there.
	Steps []Step
	// Ahead is how much the store's clock is ahead of ours; Timed is false when
	// it did not tell. It tells whole seconds.
	Ahead time.Duration
	Timed bool
}

// Probe writes, reads, lists and deletes an object of its own in the bucket, and
// tries to overwrite it, which the store has to refuse.
func (s *Store) Probe(ctx context.Context) Probe {
	var p Probe
	try := func(what string, err error) bool {
		p.Steps = append(p.Steps, Step{what, err})
		return err == nil
	}
	began := time.Now()
	head, err := s.client.HeadBucket(ctx, &sdk.HeadBucketInput{Bucket: &s.opts.Bucket})
	if err == nil {
		if at, ok := awsmiddleware.GetServerTime(head.ResultMetadata); ok {
			p.Ahead, p.Timed = at.Sub(began.Add(time.Since(began)/2)), true
		}
	}
	if !try("reach", s.Reach(ctx)) {
		return p
	}
	var random [16]byte
	_, _ = rand.Read(random[:]) // it does not fail
	folder := hex.EncodeToString(random[:]) + "/"
	key, content := folder+"probe", []byte("ysync looked here, and may be deleted\n")
	if !try("put", s.Put(ctx, key, content)) {
		return p
	}
	try("conditional put", s.refuses(ctx, key))
	got, err := s.Get(ctx, key, 1<<10)
	if err == nil && !bytes.Equal(got, content) {
		err = errors.New("the object reads back otherwise")
	}
	try("get", err)
	try("list", s.lists(ctx, folder, key))
	err = s.Delete(ctx, key)
	if err == nil {
		if _, left := s.Get(ctx, key, 1<<10); !errors.Is(left, snapshots.ErrNotFound) {
			err = fmt.Errorf("the object is there after it was deleted: %w", left)
		}
	}
	try("delete", err)
	return p
}

// refuses checks that the store does not let an object be overwritten.
func (s *Store) refuses(ctx context.Context, key string) error {
	err := s.putWhole(ctx, key, []byte("another"))
	switch {
	case err == nil:
		return errors.New("the store ignores If-None-Match: of two writers, one could overwrite the other")
	case status(err) == http.StatusPreconditionFailed:
		return nil
	}
	return err
}

func (s *Store) lists(ctx context.Context, folder, key string) error {
	for o, err := range s.List(ctx, folder) {
		if err != nil {
			return err
		}
		if o.Key == key {
			return nil
		}
	}
	return errors.New("the object that was just written is not listed")
}
