package pebble

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// fills notes what is written at a place.
type fills struct {
	vfs.File
	from, to []int64
}

func (f *fills) WriteAt(b []byte, at int64) (int, error) {
	f.from, f.to = append(f.from, at), append(f.to, at+int64(len(b)))
	return f.File.WriteAt(b, at)
}

// A new write-ahead log is filled ahead of what is written, never over it, and
// one that was a log before is not.
func TestFillAhead(t *testing.T) {
	name := filepath.Join(t.TempDir(), "000001.log")
	const length = 5<<20 + 12345
	var want []byte
	for _, again := range []bool{false, true} {
		var file vfs.File
		var err error
		if again {
			file, err = vfs.Default.ReuseForWrite(name, name+"2.log", "")
		} else {
			file, err = vfs.Default.Create(name, "")
		}
		if err != nil {
			t.Fatal(err)
		}
		spy := &fills{File: file}
		files := &stopFS{FS: one{vfs.Default, spy}, stopper: &stopper{}}
		create := files.Create
		if again {
			create = func(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
				return files.ReuseForWrite(name, name+"2.log", c)
			}
		}
		f, err := create(name, "")
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(1, 2))
		want = want[:0]
		for len(want) < length-2<<20 {
			b := bytes.Repeat([]byte{byte(1 + rng.IntN(255))}, 1+rng.IntN(200_000))
			if len(want) > 0 && len(want) < 200_000 { // as the database does, with the second write
				if err := f.Preallocate(0, length); err != nil {
					t.Fatal(err)
				}
			}
			before := len(spy.from)
			if _, err := f.Write(b); err != nil {
				t.Fatal(err)
			}
			for i := before; i < len(spy.from); i++ {
				if spy.from[i] < int64(len(want)) || spy.to[i] > length {
					t.Errorf("%d bytes were there, filled from %d to %d", len(want), spy.from[i], spy.to[i])
				}
			}
			want = append(want, b...)
			if n := len(spy.to); n > 0 && spy.to[n-1] < int64(len(want)) {
				t.Errorf("%d bytes are there, filled up to %d", len(want), spy.to[n-1])
			}
		}
		if steps := len(spy.from); again && steps > 0 || !again && (steps < 3 || steps > 8) {
			t.Errorf("again %v: filled %d times", again, steps)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if again {
			name += "2.log"
		}
		got, err := os.ReadFile(name)
		if err != nil || len(got) != length || !bytes.Equal(got[:len(want)], want) {
			t.Errorf("again %v: the file has %d bytes and is not what was written: %v", again, len(got), err)
		}
		if rest := got[len(want):]; !again && len(bytes.Trim(rest, "\x00")) > 0 {
			t.Error("what follows are not zeros")
		}
	}
}

// one is a file system in which every file is the same.
type one struct {
	vfs.FS
	file vfs.File
}

func (o one) Create(string, vfs.DiskWriteCategory) (vfs.File, error) { return o.file, nil }

func (o one) ReuseForWrite(string, string, vfs.DiskWriteCategory) (vfs.File, error) {
	return o.file, nil
}
