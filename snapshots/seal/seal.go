// Package seal encrypts snapshot files before they reach a store.
//
// An object is
//
//	offset  bytes
//	+----- 0
//	| magic   8   "YSYNCENC"
//	| version 4   format version, 1, big-endian
//	| key     8   which key: the first bytes of the SHA-256 of the key's SHA-256
//	| salt   32   random
//	+----- 52
//	| body        the byte 1 and the file, in packages of 64 KiB under AES-256-GCM
//
// The body is in the DARE 2.0 format, whose packages are authenticated with
// their order and their number, so that a front part can be read alone and a
// cut is noticed. Its key is derived by HKDF-SHA-256 from the store's key, the
// salt and the object's key: an object that stands under another name, or in
// another store, does not open. What is in the clear: that there is an object,
// its key (which tells digests of the document's name and of the file), its
// size and when it was written.
package seal

import (
	"bytes"
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/minio/sio"

	"ysync/snapshots"
)

const (
	magic      = "YSYNCENC"
	version    = 1
	keyIDBytes = 8
	saltBytes  = 32
	headBytes  = len(magic) + 4 + keyIDBytes + saltBytes
	// KeyBytes is the size of a key.
	KeyBytes = 32
	// packageBytes is the payload of one package of the body, packageExtra
	// what the package adds to it.
	packageBytes = 64 << 10
	packageExtra = 32
)

// ErrKey: the object was encrypted with a key that is not at hand.
var ErrKey = errors.New("the file is encrypted with another key")

// ParseKey reads a key file: 32 bytes in base64, white space around them.
func ParseKey(file []byte) ([KeyBytes]byte, error) {
	var key [KeyBytes]byte
	text := strings.TrimSpace(string(file))
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(raw) != KeyBytes {
		return key, fmt.Errorf("no key: want %d random bytes in base64 (head -c %d /dev/urandom | base64)", KeyBytes, KeyBytes)
	}
	copy(key[:], raw)
	return key, nil
}

// Store encrypts what goes into another store.
type Store struct {
	inner snapshots.Store
	// keys[0] encrypts; the others are older ones, to read with.
	keys [][KeyBytes]byte
}

var _ snapshots.Store = (*Store)(nil)

// New returns a store that keeps its objects encrypted in inner, under key;
// what was written under one of the older keys stays readable.
func New(inner snapshots.Store, key [KeyBytes]byte, older ...[KeyBytes]byte) *Store {
	return &Store{inner: inner, keys: append([][KeyBytes]byte{key}, older...)}
}

// Put implements snapshots.Store.
func (s *Store) Put(ctx context.Context, key string, blob []byte) error {
	sealed, err := s.seal(key, blob)
	if err != nil {
		return fmt.Errorf("put %s: %w", key, err)
	}
	err = s.inner.Put(ctx, key, sealed)
	if !errors.Is(err, snapshots.ErrExists) {
		return err
	}
	// The same file never encrypts to the same bytes: compare what it holds.
	switch old, got := s.Get(ctx, key, int64(len(blob))); {
	case got == nil && bytes.Equal(old, blob):
		return nil
	case got == nil, errors.Is(got, snapshots.ErrTooLarge):
		return err
	default:
		return errors.Join(err, got)
	}
}

// Get implements snapshots.Store.
func (s *Store) Get(ctx context.Context, key string, limit int64) ([]byte, error) {
	sealed, err := s.inner.Get(ctx, key, sealedSize(limit))
	if err != nil {
		return nil, err
	}
	b, err := s.open(key, sealed, len(sealed))
	if err != nil {
		return nil, &snapshots.FileError{Key: key, Err: err}
	}
	if int64(len(b)) > limit {
		return nil, &snapshots.FileError{Key: key, Err: snapshots.ErrTooLarge}
	}
	return b, nil
}

// Head implements snapshots.Store. It reads whole packages.
func (s *Store) Head(ctx context.Context, key string, n int) ([]byte, error) {
	packages := (n+1)/packageBytes + 1
	sealed, err := s.inner.Head(ctx, key, headBytes+packages*(packageBytes+packageExtra))
	if err != nil {
		return nil, err
	}
	b, err := s.open(key, sealed, n)
	if err != nil {
		return nil, &snapshots.FileError{Key: key, Err: err}
	}
	return b[:min(n, len(b))], nil
}

// List implements snapshots.Store. Sizes are those before encryption.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[snapshots.Object, error] {
	return func(yield func(snapshots.Object, error) bool) {
		for o, err := range s.inner.List(ctx, prefix) {
			if err == nil {
				o.Size = openSize(o.Size)
			}
			if !yield(o, err) {
				return
			}
		}
	}
}

// Delete implements snapshots.Store.
func (s *Store) Delete(ctx context.Context, key string) error { return s.inner.Delete(ctx, key) }

// sealedSize is the size of the object that holds n bytes.
func sealedSize(n int64) int64 {
	if body, err := sio.EncryptedSize(uint64(n) + 1); err == nil {
		return int64(headBytes) + int64(body)
	}
	return n
}

// openSize is how many bytes an object of n bytes holds; 0 if it can hold none.
func openSize(n int64) int64 {
	if body, err := sio.DecryptedSize(uint64(max(n-int64(headBytes), 0))); err == nil && body > 0 {
		return int64(body) - 1
	}
	return 0
}

func (s *Store) seal(name string, blob []byte) ([]byte, error) {
	head := make([]byte, 0, sealedSize(int64(len(blob))))
	head = append(head, magic...)
	head = binary.BigEndian.AppendUint32(head, version)
	id := keyID(s.keys[0])
	head = append(head, id[:]...)
	var salt [saltBytes]byte
	_, _ = rand.Read(salt[:]) // never fails
	head = append(head, salt[:]...)
	out := bytes.NewBuffer(head)
	config, err := derive(s.keys[0], salt[:], name)
	if err != nil {
		return nil, err
	}
	if _, err := sio.Encrypt(out, io.MultiReader(strings.NewReader("\x01"), bytes.NewReader(blob)), config); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// open decrypts an object, or as many whole packages of its front as make n
// bytes: a package that is cut is passed over once n bytes are there.
func (s *Store) open(name string, sealed []byte, n int) ([]byte, error) {
	if len(sealed) < headBytes || string(sealed[:len(magic)]) != magic {
		return nil, fmt.Errorf("%w: it is not encrypted, or cut short", snapshots.ErrCorrupt)
	}
	b, err := s.openBody(name, sealed, n)
	v := binary.BigEndian.Uint32(sealed[len(magic):])
	switch {
	case v == version:
		return b, err
	case v < version, err == nil:
		// Nothing covers the version but what it is the version of: an object
		// that opens as one of ours has only its number damaged.
		return nil, fmt.Errorf("%w: encryption format %d", snapshots.ErrCorrupt, v)
	}
	return nil, fmt.Errorf("%w: encryption format %d, this release reads up to %d", snapshots.ErrNewerFormat, v, version)
}

func (s *Store) openBody(name string, sealed []byte, n int) ([]byte, error) {
	rest := sealed[len(magic)+4:]
	id := rest[:keyIDBytes]
	for _, key := range s.keys {
		if have := keyID(key); bytes.Equal(have[:], id) {
			config, err := derive(key, rest[keyIDBytes:][:saltBytes], name)
			if err != nil {
				return nil, err
			}
			return decrypt(sealed[headBytes:], n, config)
		}
	}
	return nil, fmt.Errorf("%w: its key is %x", ErrKey, id)
}

func decrypt(body []byte, n int, config sio.Config) ([]byte, error) {
	r, err := sio.DecryptReader(bytes.NewReader(body), config)
	if err != nil {
		return nil, err
	}
	b := make([]byte, min(len(body), n)+1)
	m, err := io.ReadFull(r, b)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("%w: %w", snapshots.ErrCorrupt, err)
	}
	b = b[:m]
	if len(b) == 0 || b[0] != 1 {
		return nil, fmt.Errorf("%w: it holds nothing", snapshots.ErrCorrupt)
	}
	return b[1:], nil
}

// derive makes the key of one object.
func derive(key [KeyBytes]byte, salt []byte, name string) (sio.Config, error) {
	k, err := hkdf.Key(sha256.New, key[:], salt, "ysync snapshot "+name, KeyBytes)
	return sio.Config{MinVersion: sio.Version20, MaxVersion: sio.Version20, CipherSuites: []byte{sio.AES_256_GCM}, Key: k}, err
}

// keyID names a key without telling it.
func keyID(key [KeyBytes]byte) (id [keyIDBytes]byte) {
	once := sha256.Sum256(key[:])
	twice := sha256.Sum256(once[:])
	copy(id[:], twice[:])
	return id
}
