package migrate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/url"
	"os"
	"strings"

	"ysync/snapshots"
	"ysync/snapshots/s3"
)

// objects is where a source keeps one file for each document.
type objects interface {
	list(ctx context.Context) iter.Seq2[string, error]
	// get returns a file of at most MaxBytes.
	get(ctx context.Context, name string) ([]byte, error)
	close() error
}

// bucket is the objects of a bucket below a prefix, which their names here lack.
type bucket struct {
	reader *s3.Reader
	prefix string
}

// openBucket opens s3://bucket/prefix?…, with the settings of s3.Parse. The
// prefix is taken as it is, with or without a "/" at its end.
func openBucket(ctx context.Context, location string) (*bucket, error) {
	u, err := url.Parse(location)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotSource, errors.Unwrap(err))
	}
	prefix := strings.TrimPrefix(u.Path, "/")
	u.Path, u.RawPath = "", ""
	o, err := s3.Parse(u.String())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotSource, err)
	}
	reader, err := s3.OpenReader(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := reader.Reach(ctx); err != nil {
		if errors.Is(err, s3.ErrRefused) {
			err = fmt.Errorf("%w: %w", ErrNotSource, err)
		}
		return nil, err
	}
	return &bucket{reader, prefix}, nil
}

func (b *bucket) list(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for o, err := range b.reader.List(ctx, b.prefix) {
			if !yield(strings.TrimPrefix(o.Key, b.prefix), err) {
				return
			}
		}
	}
}

func (b *bucket) get(ctx context.Context, name string) ([]byte, error) {
	data, err := b.reader.Get(ctx, b.prefix+name, MaxBytes)
	switch {
	case errors.Is(err, snapshots.ErrTooLarge):
		return nil, ErrTooLarge
	case errors.Is(err, snapshots.ErrNotFound):
		return nil, damaged("%w", err)
	}
	return data, err
}

func (b *bucket) close() error { return nil }

// tree is the files of a folder and of the folders in it.
type tree struct {
	root *os.Root
}

func openTree(folder string) (*tree, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotSource, err)
	}
	return &tree{root}, nil
}

func (t *tree) list(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		walk := func(path string, entry fs.DirEntry, err error) error {
			switch {
			case err == nil && ctx.Err() != nil:
				err = ctx.Err()
			case err == nil && entry.IsDir():
				return nil
			}
			if !yield(path, err) {
				return fs.SkipAll
			}
			if entry == nil || err != nil && entry.IsDir() {
				return fs.SkipDir // the folder that cannot be read; others can
			}
			return nil
		}
		_ = fs.WalkDir(t.root.FS(), ".", walk) // walk returns no error of its own
	}
}

func (t *tree) get(_ context.Context, name string) ([]byte, error) {
	f, err := t.root.Open(name)
	if err != nil {
		return nil, damaged("%w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxBytes+1))
	switch {
	case err != nil:
		return nil, damaged("%w", err)
	case len(data) > MaxBytes:
		return nil, ErrTooLarge
	}
	return data, nil
}

func (t *tree) close() error { return t.root.Close() }

// files is a source with one file for each document, which the suffix names.
type files struct {
	objects
	suffix string
	decode func([]byte) (Stored, error)
}

// OpenHocuspocusS3 opens the objects of Hocuspocus's S3 extension. The location
// is s3://bucket/prefix with the settings of s3.Parse; the prefix is that of the
// extension, letter by letter.
func OpenHocuspocusS3(ctx context.Context, location string) (Source, error) {
	b, err := openBucket(ctx, location)
	if err != nil {
		return nil, err
	}
	return &files{b, ".bin", func(data []byte) (Stored, error) {
		return Stored{Updates: [][]byte{data}}, nil
	}}, nil
}

// OpenYSweet opens the store of y-sweet: a folder, or s3://bucket/prefix with the
// settings of s3.Parse.
func OpenYSweet(ctx context.Context, location string) (Source, error) {
	if !strings.HasPrefix(location, "s3://") {
		t, err := openTree(location)
		if err != nil {
			return nil, err
		}
		return &files{t, ySweetFile, decodeYSweet}, nil
	}
	b, err := openBucket(ctx, location)
	if err != nil {
		return nil, err
	}
	if b.prefix = strings.TrimSuffix(b.prefix, "/"); b.prefix != "" {
		b.prefix += "/"
	}
	return &files{b, ySweetFile, decodeYSweet}, nil
}

// Names implements Source. What else lies there is passed over.
func (f *files) Names(ctx context.Context) ([]string, error) {
	var names []string
	var failures []error
	for path, err := range f.list(ctx) {
		if err != nil {
			failures = append(failures, err)
			continue
		}
		if name, ok := strings.CutSuffix(path, f.suffix); ok && name != "" {
			names = append(names, name)
		}
	}
	return names, errors.Join(failures...)
}

// Read implements Source.
func (f *files) Read(ctx context.Context, name string) (Stored, error) {
	data, err := f.get(ctx, name+f.suffix)
	if err != nil {
		return Stored{}, err
	}
	if len(data) == 0 {
		return Stored{}, damaged("the file is empty")
	}
	return f.decode(data)
}

func (f *files) Close() error { return f.close() }
