package s3

import (
	"context"
	"fmt"
	"iter"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"

	"ysync/snapshots"
)

// Reader reads the objects that another program put into a bucket: whatever
// their names, and never writing. Its methods may be called from any goroutine.
type Reader struct {
	store *Store
}

// OpenReader returns a reader of a bucket; it does not talk to it. Names are
// those of the whole objects: o.Prefix has to be empty.
func OpenReader(ctx context.Context, o Options) (*Reader, error) {
	if o.Prefix != "" {
		return nil, fmt.Errorf("s3: a reader of the whole bucket was given the prefix %q", o.Prefix)
	}
	store, err := Open(ctx, o)
	if err != nil {
		return nil, err
	}
	return &Reader{store}, nil
}

// Reach tells whether the bucket is there and may be used, as Store.Reach does.
func (r *Reader) Reach(ctx context.Context) error { return r.store.Reach(ctx) }

// List yields the objects whose name begins with prefix, as the store lists
// them. The first error ends the sequence.
func (r *Reader) List(ctx context.Context, prefix string) iter.Seq2[snapshots.Object, error] {
	return func(yield func(snapshots.Object, error) bool) {
		pages := sdk.NewListObjectsV2Paginator(r.store.client, &sdk.ListObjectsV2Input{Bucket: &r.store.opts.Bucket, Prefix: &prefix})
		for pages.HasMorePages() {
			page, err := r.store.page(ctx, pages)
			if err != nil {
				yield(snapshots.Object{}, fmt.Errorf("list %s: %w", prefix, err))
				return
			}
			for _, o := range page.Contents {
				if !yield(snapshots.Object{Key: aws.ToString(o.Key), Size: aws.ToInt64(o.Size)}, nil) {
					return
				}
			}
		}
	}
}

// Get returns an object's bytes: snapshots.ErrNotFound if there is none,
// snapshots.ErrTooLarge if it is longer than limit bytes. An answer that is cut
// off is asked for again.
func (r *Reader) Get(ctx context.Context, name string, limit int64) ([]byte, error) {
	return r.store.read(ctx, "get", name, limit, nil)
}
