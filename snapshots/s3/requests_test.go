package s3_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"ysync/internal/s3test"
	"ysync/snapshots/s3"
)

// TestEncryptionIsAskedFor: every request that makes an object, whole or in parts,
// asks for the encryption that was chosen, with the key if one was named, and no
// other request does, which stores refuse.
func TestEncryptionIsAskedFor(t *testing.T) {
	const header = "X-Amz-Server-Side-Encryption"
	const keyHeader = header + "-Aws-Kms-Key-Id"
	server := s3test.Start(t)
	for i, c := range []struct {
		opts      s3.Options
		kind, key string
	}{
		{s3.Options{}, "", ""},
		{s3.Options{Encryption: s3.SSES3}, "AES256", ""},
		{s3.Options{Encryption: s3.SSEKMS}, "aws:kms", ""},
		{s3.Options{Encryption: s3.SSEKMS, KMSKey: "arn:aws:kms:eu-1:1:key/k"}, "aws:kms", "arn:aws:kms:eu-1:1:key/k"},
	} {
		t.Run(fmt.Sprint(c.kind, c.key != ""), func(t *testing.T) {
			var mu sync.Mutex
			var asked []string
			proxy := newProxy(t, server.Endpoint)
			proxy.set(func(_ http.ResponseWriter, r *http.Request) bool {
				makes := r.Method == http.MethodPut && !r.URL.Query().Has("partNumber") || r.Method == http.MethodPost && r.URL.Query().Has("uploads")
				mu.Lock()
				defer mu.Unlock()
				if kind, key := r.Header.Get(header), r.Header.Get(keyHeader); makes {
					asked = append(asked, r.Method)
					if kind != c.kind || key != c.key {
						t.Errorf("%s %s asks for %q with %q, want %q with %q", r.Method, r.URL, kind, key, c.kind, c.key)
					}
				} else if kind != "" || key != "" {
					t.Errorf("%s %s asks for %q", r.Method, r.URL, kind)
				}
				return false
			})
			o := c.opts
			o.Endpoint, o.Bucket, o.PartBytes = proxy.URL, server.Bucket(t, fmt.Sprint("rest-", i)), 5<<20
			s := open(t, o)
			for key, size := range map[string]int{"a/small": 10, "a/big": 11 << 20} {
				if err := s.Put(t.Context(), key, make([]byte, size)); err != nil {
					t.Fatal(err)
				}
				if got, err := s.Get(t.Context(), key, 1<<30); err != nil || len(got) != size {
					t.Errorf("%d bytes come back of %d: %v", len(got), size, err)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			slices.Sort(asked)
			if !slices.Equal(asked, []string{http.MethodPost, http.MethodPut}) {
				t.Errorf("objects were made by %v", asked)
			}
		})
	}
}

// TestAddressing: the bucket stands in the path or in front of the host, as asked
// for.
func TestAddressing(t *testing.T) {
	server := s3test.Start(t)
	proxy := newProxy(t, server.Endpoint)
	var mu sync.Mutex
	var at []string
	proxy.set(func(w http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		at = append(at, r.URL.Path)
		w.WriteHeader(http.StatusForbidden)
		return true
	})
	put := func(endpoint string, addressing s3.Addressing) error {
		s := open(t, s3.Options{Endpoint: endpoint, Bucket: "books", Prefix: "p/", Addressing: addressing})
		return s.Put(t.Context(), "a/b", []byte("x"))
	}
	if err := put(proxy.URL, s3.Path); err == nil || len(at) == 0 || at[0] != "/books/p/a/b" {
		t.Errorf("in the path: asked at %v: %v", at, err)
	}
	// The name of the host must not be known: what is asked for is in the error.
	if err := put("http://store.invalid", s3.VirtualHost); err == nil || !strings.Contains(err.Error(), "books.store.invalid") {
		t.Errorf("in front of the host: %v", err)
	}
}
