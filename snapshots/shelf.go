package snapshots

import (
	"context"
	"iter"
	"slices"
	"strings"
)

// shelf is the files of one document as they were listed, each of which is
// fetched once. It belongs to one goroutine.
type shelf struct {
	Store
	// objects are the first of them, and the last.
	objects []Object
	more    bool // there are others
	fetched map[string][]byte
}

// shelfObjects bounds what is kept of a listing for one document.
const shelfObjects = 64

// shelves lists a store once, and yields the files of one folder after the other.
func shelves(ctx context.Context, store Store) iter.Seq2[*shelf, error] {
	return func(yield func(*shelf, error) bool) {
		var s *shelf
		for o, err := range store.List(ctx, "") {
			if err != nil {
				yield(nil, err)
				return
			}
			if s != nil && !strings.HasPrefix(o.Key, s.folder()) {
				if !yield(s, nil) {
					return
				}
				s = nil
			}
			if !strings.Contains(o.Key, "/") {
				continue // no file of a document
			}
			if s == nil {
				s = &shelf{Store: store, fetched: make(map[string][]byte)}
			}
			if s.more = len(s.objects) == shelfObjects; s.more {
				s.objects[shelfObjects-1] = o
			} else {
				s.objects = append(s.objects, o)
			}
		}
		if s != nil {
			yield(s, nil)
		}
	}
}

// folder is the prefix of the files' keys.
func (s *shelf) folder() string {
	prefix, _, _ := strings.Cut(s.objects[0].Key, "/")
	return prefix + "/"
}

// names are the files to ask for the name of their document, in the order in
// which that is best done: what is newest is read anyway.
func (s *shelf) names() folder {
	f := folder{prefix: s.folder()}
	for _, ext := range []string{snapshotExt, segmentExt} {
		for _, o := range slices.Backward(s.objects) {
			if strings.HasSuffix(o.Key, ext) {
				f.keys = append(f.keys, o.Key)
			}
		}
	}
	f.keys = f.keys[:min(len(f.keys), folderKeys)]
	return f
}

// Get implements Store. The bytes are shared by all who ask.
func (s *shelf) Get(ctx context.Context, key string, limit int64) ([]byte, error) {
	if b, ok := s.fetched[key]; ok && int64(len(b)) <= limit {
		return b, nil
	}
	b, err := s.Store.Get(ctx, key, limit)
	if err == nil {
		s.fetched[key] = b
	}
	return b, err
}

// Head implements Store.
func (s *shelf) Head(ctx context.Context, key string, n int) ([]byte, error) {
	for _, o := range s.objects {
		if o.Key == key && o.Size <= int64(n) {
			return s.Get(ctx, key, int64(n))
		}
	}
	return s.Store.Head(ctx, key, n)
}

// List implements Store.
func (s *shelf) List(ctx context.Context, prefix string) iter.Seq2[Object, error] {
	if s.more {
		return s.Store.List(ctx, prefix)
	}
	return func(yield func(Object, error) bool) {
		for _, o := range s.objects {
			if strings.HasPrefix(o.Key, prefix) && !yield(o, nil) {
				return
			}
		}
	}
}
