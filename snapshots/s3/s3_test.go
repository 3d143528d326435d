package s3_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"

	"ysync/internal/s3test"
	"ysync/snapshots"
	"ysync/snapshots/s3"
	"ysync/snapshots/seal"
	"ysync/snapshots/storetest"
)

func open(t *testing.T, o s3.Options) *s3.Store {
	t.Helper()
	s, err := s3.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConformance(t *testing.T) {
	server := s3test.Start(t)
	for _, v := range []struct {
		name string
		opts s3.Options
	}{
		{"whole bucket", s3.Options{}},
		{"prefix", s3.Options{Prefix: "some/where/"}},
		{"few checksums", s3.Options{Checksums: s3.ChecksumRequired}},
		{"encryption of the store", s3.Options{Encryption: s3.SSES3}},
	} {
		t.Run(v.name, func(t *testing.T) {
			var n atomic.Int32
			storetest.Run(t, func(t *testing.T) snapshots.Store {
				o := v.opts
				o.Endpoint = server.Endpoint
				o.Bucket = server.Bucket(t, fmt.Sprintf("%s-%d", strings.ReplaceAll(v.name, " ", "-"), n.Add(1)))
				return open(t, o)
			})
		})
	}
}

func TestConformanceSealed(t *testing.T) {
	server := s3test.Start(t)
	var n atomic.Int32
	storetest.Run(t, func(t *testing.T) snapshots.Store {
		bucket := server.Bucket(t, fmt.Sprintf("sealed-%d", n.Add(1)))
		return seal.New(open(t, s3.Options{Endpoint: server.Endpoint, Bucket: bucket}), [seal.KeyBytes]byte{1, 2, 3})
	})
}

// TestParts: an object above the size of a part goes up in parts, is there
// whole, and only the first of two writers has it.
func TestParts(t *testing.T) {
	server := s3test.Start(t)
	for _, c := range []s3.Checksums{s3.ChecksumAlways, s3.ChecksumRequired} {
		t.Run(string(c), func(t *testing.T) { testParts(t, server, c) })
	}
}

func testParts(t *testing.T, server *s3test.Server, checksums s3.Checksums) {
	bucket := server.Bucket(t, "parts-"+string(checksums))
	var uploads atomic.Int32
	proxy := newProxy(t, server.Endpoint)
	proxy.set(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Has("partNumber") {
			uploads.Add(1)
		}
		return false
	})
	s := open(t, s3.Options{Endpoint: proxy.URL, Bucket: bucket, PartBytes: 5 << 20, Checksums: checksums})
	blob := make([]byte, 12<<20)
	_, _ = rand.Read(blob)
	if err := s.Put(t.Context(), "a/big", blob); err != nil {
		t.Fatal(err)
	}
	if uploads.Load() != 3 {
		t.Errorf("%d parts, want 3", uploads.Load())
	}
	if got, err := s.Get(t.Context(), "a/big", 1<<30); err != nil || !bytes.Equal(got, blob) {
		t.Fatalf("Get = %d bytes, %v", len(got), err)
	}
	if err := s.Put(t.Context(), "a/big", blob); err != nil {
		t.Errorf("the same again: %v", err)
	}
	other := bytes.Clone(blob)
	other[7<<20] ^= 1
	if err := s.Put(t.Context(), "a/big", other); !errors.Is(err, snapshots.ErrExists) {
		t.Errorf("other bytes: %v, want ErrExists", err)
	}
	left, err := server.Client().ListMultipartUploads(t.Context(), &sdk.ListMultipartUploadsInput{Bucket: &bucket})
	if err != nil || len(left.Uploads) != 0 {
		t.Errorf("unfinished uploads: %v, %v", left, err)
	}
}

// TestTransientFaults: whatever goes wrong once or twice, every operation ends
// as without it.
func TestTransientFaults(t *testing.T) {
	server := s3test.Start(t)
	answer := func(code int) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	faults := map[string]func(w http.ResponseWriter, r *http.Request){
		"500": answer(500), "502": answer(502), "503": answer(503), "429": answer(429),
		"connection cut": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"body cut": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "300000")
			_, _ = w.Write(make([]byte, 1000))
			panic(http.ErrAbortHandler)
		},
	}
	n := 0
	var wg sync.WaitGroup // all at once: most of the time is spent waiting before a retry
	defer wg.Wait()
	for name, fault := range faults {
		for _, op := range []string{"put", "get", "head", "list", "delete"} {
			if name == "body cut" && op != "get" && op != "head" {
				continue // the answers of the others have no body to speak of
			}
			n++
			bucket := server.Bucket(t, fmt.Sprintf("transient-%d", n))
			wg.Go(func() {
				t := failures{t, op + " " + name}
				proxy := newProxy(t.T, server.Endpoint)
				blob := bytes.Repeat([]byte("0123456789"), 30_000)
				s, err := s3.Open(t.Context(), s3.Options{Endpoint: proxy.URL, Bucket: bucket})
				if err == nil && op != "put" {
					err = s.Put(t.Context(), "a/b", blob)
				}
				if err != nil {
					t.Errorf("before the fault: %v", err)
					return
				}
				var hits atomic.Int32
				proxy.set(func(w http.ResponseWriter, r *http.Request) bool {
					if hits.Add(1) > 2 {
						return false
					}
					fault(w, r)
					return true
				})
				switch op {
				case "put":
					if err := s.Put(t.Context(), "a/b", blob); err != nil {
						t.Errorf("%v", err)
					}
				case "head":
					if b, err := s.Head(t.Context(), "a/b", 9); err != nil || string(b) != "012345678" {
						t.Errorf("%q, %v", b, err)
					}
				case "list":
					for o, err := range s.List(t.Context(), "") {
						if err != nil || o.Key != "a/b" || o.Size != int64(len(blob)) {
							t.Errorf("%v, %v", o, err)
						}
					}
				case "delete":
					if err := s.Delete(t.Context(), "a/b"); err != nil {
						t.Errorf("%v", err)
					}
				}
				if op != "delete" {
					if b, err := s.Get(t.Context(), "a/b", 1<<20); err != nil || !bytes.Equal(b, blob) {
						t.Errorf("Get = %d bytes, %v", len(b), err)
					}
				}
				if hits.Load() < 3 {
					t.Errorf("the fault was met %d times", hits.Load())
				}
			})
		}
	}
}

// failures names the case of a test in which many run at once.
type failures struct {
	*testing.T
	name string
}

func (f failures) Errorf(format string, args ...any) {
	f.T.Helper()
	f.T.Errorf(f.name+": "+format, args...)
}

// TestPutWhoseAnswerWasLost: the store took the object and the answer never
// came. The retry meets its own object and is no error.
func TestPutWhoseAnswerWasLost(t *testing.T) {
	server := s3test.Start(t)
	proxy := newProxy(t, server.Endpoint)
	s := open(t, s3.Options{Endpoint: proxy.URL, Bucket: server.Bucket(t, "lost")})
	var lost atomic.Bool
	proxy.set(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut || !lost.CompareAndSwap(false, true) {
			return false
		}
		proxy.forward.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	})
	if err := s.Put(t.Context(), "a/b", []byte("once")); err != nil || !lost.Load() {
		t.Fatalf("Put = %v, lost %v", err, lost.Load())
	}
	if err := s.Put(t.Context(), "a/b", []byte("twice")); !errors.Is(err, snapshots.ErrExists) {
		t.Fatalf("Put of other bytes = %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	server := s3test.Start(t)
	for name, o := range map[string]s3.Options{
		"no bucket":    {Endpoint: server.Endpoint},
		"small parts":  {Endpoint: server.Endpoint, Bucket: "b", PartBytes: 1},
		"odd endpoint": {Endpoint: "127.0.0.1:80", Bucket: "b"},
	} {
		if s, err := s3.Open(t.Context(), o); err == nil {
			t.Errorf("%s: opened %v", name, s)
		}
	}
}

func TestReach(t *testing.T) {
	server := s3test.Start(t)
	bucket := server.Bucket(t, "there")
	if err := open(t, s3.Options{Endpoint: server.Endpoint, Bucket: bucket}).Reach(t.Context()); err != nil {
		t.Errorf("a bucket that is there: %v", err)
	}
	if err := open(t, s3.Options{Endpoint: server.Endpoint, Bucket: "not-there"}).Reach(t.Context()); !errors.Is(err, s3.ErrRefused) {
		t.Errorf("a bucket that is not there: %v", err)
	}
	soon, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := open(t, s3.Options{Endpoint: "http://127.0.0.1:1", Bucket: bucket}).Reach(soon); err == nil || errors.Is(err, s3.ErrRefused) {
		t.Errorf("no server: %v", err)
	}
	t.Setenv("AWS_SECRET_ACCESS_KEY", "wrong")
	if err := open(t, s3.Options{Endpoint: server.Endpoint, Bucket: bucket}).Reach(t.Context()); !errors.Is(err, s3.ErrRefused) {
		t.Errorf("a wrong secret: %v", err)
	}
}

func TestParse(t *testing.T) {
	got, err := s3.Parse("s3://books/ysync/one?endpoint=http://127.0.0.1:9000&region=eu-1&addressing=path&encryption=sse-kms&kms-key=k1&checksums=required")
	want := s3.Options{
		Bucket: "books", Prefix: "ysync/one/", Endpoint: "http://127.0.0.1:9000", Region: "eu-1",
		Addressing: s3.Path, Encryption: s3.SSEKMS, KMSKey: "k1", Checksums: s3.ChecksumRequired,
	}
	if err != nil || got != want {
		t.Errorf("Parse = %+v, %v", got, err)
	}
	if got, err := s3.Parse("s3://books"); err != nil || got != (s3.Options{Bucket: "books"}) {
		t.Errorf("Parse = %+v, %v", got, err)
	}
	for _, bad := range []string{
		"", "books", "s3://", "http://books", "s3://user:pw@books", "s3://books?colour=red", "s3://books?encryption=rot13",
		"s3://books?kms-key=k", "s3://books?addressing=up", "s3://books?checksums=no", "s3://books?endpoint=ftp://x", "s3://books:1", "s3://books#f", "s3://%zz",
	} {
		if got, err := s3.Parse(bad); err == nil {
			t.Errorf("Parse(%q) = %+v", bad, got)
		} else if strings.Contains(err.Error(), "pw") {
			t.Errorf("Parse(%q) tells a password: %v", bad, err)
		}
	}
}

// TestForeignObjects: what others put into the bucket is passed over.
func TestForeignObjects(t *testing.T) {
	server := s3test.Start(t)
	bucket := server.Bucket(t, "foreign")
	s := open(t, s3.Options{Endpoint: server.Endpoint, Bucket: bucket, Prefix: "p/"})
	for _, name := range []string{"q", "p/README.TXT", "p/ü"} {
		_, err := server.Client().PutObject(t.Context(), &sdk.PutObjectInput{Bucket: &bucket, Key: aws.String(name), Body: strings.NewReader("x")})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Put(t.Context(), "a/b", []byte("ours")); err != nil {
		t.Fatal(err)
	}
	var keys []string
	for o, err := range s.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, o.Key)
	}
	if len(keys) != 1 || keys[0] != "a/b" {
		t.Errorf("List = %q", keys)
	}
}

// TestManyPages: a listing goes on past the first page of 1,000.
func TestManyPages(t *testing.T) {
	server := s3test.Start(t)
	s := open(t, s3.Options{Endpoint: server.Endpoint, Bucket: server.Bucket(t, "pages")})
	const n = 1200
	for i := range n {
		if err := s.Put(t.Context(), fmt.Sprintf("d/%05d", i), nil); err != nil {
			t.Fatal(err)
		}
	}
	seen := 0
	for o, err := range s.List(t.Context(), "d/") {
		if err != nil || o.Key != fmt.Sprintf("d/%05d", seen) {
			t.Fatalf("element %d: %v, %v", seen, o, err)
		}
		seen++
	}
	if seen != n {
		t.Errorf("%d keys, want %d", seen, n)
	}
}

func TestCancelled(t *testing.T) {
	server := s3test.Start(t)
	s := open(t, s3.Options{Endpoint: server.Endpoint, Bucket: server.Bucket(t, "cancelled")})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Put(ctx, "a/b", []byte("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("Put = %v", err)
	}
	if _, err := s.Get(ctx, "a/b", 1); !errors.Is(err, context.Canceled) {
		t.Errorf("Get = %v", err)
	}
}

// proxy stands in front of the server and can go wrong.
type proxy struct {
	*httptest.Server
	forward *httputil.ReverseProxy
	// current answers a request and returns true, or leaves it to the server.
	current atomic.Pointer[func(http.ResponseWriter, *http.Request) bool]
}

func newProxy(t *testing.T, endpoint string) *proxy {
	t.Helper()
	target, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{forward: &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host // signed
	}}}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if fault := p.current.Load(); fault != nil && (*fault)(w, r) {
			return
		}
		p.forward.ServeHTTP(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *proxy) set(fault func(http.ResponseWriter, *http.Request) bool) { p.current.Store(&fault) }
