package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"

	"ysync/snapshots"
)

// Get implements snapshots.Store.
func (s *Store) Get(ctx context.Context, key string, limit int64) ([]byte, error) {
	if err := snapshots.CheckKey(key); err != nil {
		return nil, err
	}
	return s.read(ctx, "get", key, limit, nil)
}

// Head implements snapshots.Store.
func (s *Store) Head(ctx context.Context, key string, n int) ([]byte, error) {
	if err := snapshots.CheckKey(key); err != nil {
		return nil, err
	}
	b, err := s.read(ctx, "head", key, int64(n), aws.String(fmt.Sprintf("bytes=0-%d", max(n, 1)-1)))
	if status(err) == http.StatusRequestedRangeNotSatisfiable {
		return nil, nil // an empty object has no first byte
	}
	return b[:min(n, len(b))], err
}

// read fetches an object, or a range of it. A body that ends before its
// announced length, or stops, is asked for again from the start.
func (s *Store) read(ctx context.Context, op, key string, limit int64, part *string) ([]byte, error) {
	for try := 1; ; try++ {
		b, err := s.readOnce(ctx, key, limit, part)
		switch {
		case err == nil:
			return b, nil
		case status(err) == http.StatusNotFound:
			return nil, &snapshots.FileError{Key: key, Err: snapshots.ErrNotFound}
		case errors.Is(err, snapshots.ErrTooLarge):
			return nil, &snapshots.FileError{Key: key, Err: err}
		case !errors.Is(err, errCut) || try == attempts:
			return nil, fmt.Errorf("%s %s: %w", op, key, err)
		}
		if ended := pause(ctx, try); ended != nil {
			return nil, fmt.Errorf("%s %s: %w", op, key, errors.Join(err, ended))
		}
	}
}

// errCut: the answer began well and did not arrive whole.
var errCut = errors.New("the answer was cut off")

func (s *Store) readOnce(ctx context.Context, key string, limit int64, part *string) ([]byte, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	out, err := s.client.GetObject(ctx, &sdk.GetObjectInput{Bucket: &s.opts.Bucket, Key: s.name(key), Range: part})
	if err != nil {
		return nil, err
	}
	defer out.Body.Close()
	if out.ContentLength == nil {
		return nil, errors.New("the answer has no length")
	}
	n := *out.ContentLength
	if n > limit {
		return nil, snapshots.ErrTooLarge
	}
	stalled := time.AfterFunc(answerWithin, cancel)
	defer stalled.Stop()
	b := make([]byte, n)
	for at := 0; at < len(b); stalled.Reset(answerWithin) {
		m, err := io.ReadFull(out.Body, b[at:min(at+pieceBytes, len(b))])
		if at += m; err != nil {
			return nil, fmt.Errorf("%w after %d of %d bytes: %w", errCut, at, n, err)
		}
	}
	// The end of the body is where its checksum is compared.
	if _, err := out.Body.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: no end after %d bytes: %w", errCut, n, err)
	}
	return b, nil
}

// pieceBytes is how much has to arrive within answerWithin, again and again.
const pieceBytes = 64 << 10

// List implements snapshots.Store. The listing is fetched page by page, as the
// caller goes on.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[snapshots.Object, error] {
	return func(yield func(snapshots.Object, error) bool) {
		last := ""
		pages := sdk.NewListObjectsV2Paginator(s.client, &sdk.ListObjectsV2Input{Bucket: &s.opts.Bucket, Prefix: s.name(prefix)})
		for pages.HasMorePages() {
			page, err := s.page(ctx, pages)
			if err != nil {
				yield(snapshots.Object{}, fmt.Errorf("list %s: %w", prefix, err))
				return
			}
			for _, o := range page.Contents {
				key := strings.TrimPrefix(aws.ToString(o.Key), s.opts.Prefix)
				if snapshots.CheckKey(key) != nil {
					continue // not ours: a folder's marker, or what someone else put there
				}
				if key <= last {
					yield(snapshots.Object{}, fmt.Errorf("list %s: the store does not sort its keys: %s after %s", prefix, key, last))
					return
				}
				last = key
				if !yield(snapshots.Object{Key: key, Size: aws.ToInt64(o.Size)}, nil) {
					return
				}
			}
		}
	}
}

func (s *Store) page(ctx context.Context, pages *sdk.ListObjectsV2Paginator) (*sdk.ListObjectsV2Output, error) {
	ctx, cancel := within(ctx, 0)
	defer cancel()
	return pages.NextPage(ctx)
}

// Delete implements snapshots.Store.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := snapshots.CheckKey(key); err != nil {
		return err
	}
	ctx, cancel := within(ctx, 0)
	defer cancel()
	_, err := s.client.DeleteObject(ctx, &sdk.DeleteObjectInput{Bucket: &s.opts.Bucket, Key: s.name(key)})
	if err != nil && status(err) != http.StatusNotFound {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	return nil
}

var backoff = retry.NewExponentialJitterBackoff(maxBackoff)

// pause waits before the next try.
func pause(ctx context.Context, try int) error {
	d, err := backoff.BackoffDelay(try, nil)
	if err != nil {
		return err
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
