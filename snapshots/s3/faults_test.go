package s3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"ysync/crdt"
	"ysync/internal/s3test"
	"ysync/persistence"
	"ysync/persistence/memory"
	"ysync/snapshots"
	"ysync/snapshots/s3"
	"ysync/snapshots/seal"
)

const document = "trips/of the year"

// chronicle is a document whose snapshots and segments are in a bucket behind a
// proxy. Its log is one that nothing happens to.
type chronicle struct {
	failures
	proxy *proxy
	log   *memory.Log
	epoch persistence.Epoch
	// keeper works through the proxy, direct beside it.
	keeper, direct *snapshots.Keeper
	lines          *observer.ObservedLogs

	doc     *crdt.Doc
	updates [][]byte

	mu      sync.Mutex
	damaged []string // keys that the keeper has complained about
}

func newChronicle(t failures, server *s3test.Server, bucket string, sealed sealing) (*chronicle, error) {
	c := &chronicle{failures: t, proxy: newProxy(t.T, server.Endpoint), log: memory.New(), doc: crdt.New(crdt.Options{})}
	core, lines := observer.New(zapcore.ErrorLevel)
	c.lines = lines
	open := func(endpoint string, o snapshots.Options) (*snapshots.Keeper, error) {
		s, err := s3.Open(t.Context(), s3.Options{Endpoint: endpoint, Bucket: bucket})
		if err != nil {
			return nil, err
		}
		o.SegmentBytes = 400
		return snapshots.New(sealed(s), c.log, o), nil
	}
	var err error
	if c.direct, err = open(server.Endpoint, snapshots.Options{}); err != nil {
		return nil, err
	}
	c.keeper, err = open(c.proxy.URL, snapshots.Options{Logger: zap.New(core), Damaged: func(_, key string, _ error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.damaged = append(c.damaged, key)
	}})
	if err != nil {
		return nil, err
	}
	rec, err := c.log.Claim(t.Context(), document, "boot", 0)
	c.epoch = rec.Epoch
	return c, err
}

// sealing is what encrypts a store, or does not.
type sealing func(snapshots.Store) snapshots.Store

var sealings = map[string]sealing{
	"plain": func(s snapshots.Store) snapshots.Store { return s },
	"encrypted": func(s snapshots.Store) snapshots.Store {
		return seal.New(s, [seal.KeyBytes]byte{3, 1, 4})
	},
}

// write appends n edits.
func (c *chronicle) write(n int) error {
	text := c.doc.Text("t")
	for range n {
		commit, err := c.doc.Transact(nil, func(tx *crdt.Txn) { text.Insert(tx, text.Len()/2, fmt.Sprintf("<%d>", len(c.updates))) })
		if err != nil {
			return err
		}
		u := commit.AppendUpdate(nil, crdt.V1)
		r := c.log.Append(c.Context(), []persistence.Batch{{
			Document: document, Generation: 1, Epoch: c.epoch,
			Entries: []persistence.NewEntry{{Time: time.UnixMilli(1_790_000_000_000 + int64(len(c.updates))), Author: "mira", Update: u}},
		}})
		if r[0].Err != nil {
			return r[0].Err
		}
		c.updates = append(c.updates, u)
	}
	return nil
}

// save is what an owner does: store the state, point at it.
func (c *chronicle) save(ctx context.Context) error {
	rec, err := c.log.Open(ctx, document)
	if err != nil {
		return err
	}
	p, err := c.keeper.Save(ctx, rec, rec.Head, time.UnixMilli(1_790_000_000_000), "", c.doc.AppendState(nil, crdt.V2))
	if err != nil {
		return err
	}
	return c.log.SetSnapshot(ctx, document, c.epoch, p)
}

// segment stores the entries that no segment holds, and notes how far it came.
func (c *chronicle) segment(ctx context.Context) error {
	rec, err := c.log.Open(ctx, document)
	if err != nil {
		return err
	}
	to, failed := c.keeper.Segment(ctx, rec, rec.Head)
	return errors.Join(failed, c.log.SetSegmented(ctx, document, c.epoch, to))
}

// load is loud or right: a document that is not the one written is a failure of
// the test.
func (c *chronicle) load(ctx context.Context, k *snapshots.Keeper) error {
	doc, _, _, err := k.Load(ctx, document)
	if err != nil {
		return err
	}
	if !bytes.Equal(doc.AppendState(nil, crdt.V2), c.doc.AppendState(nil, crdt.V2)) {
		c.Errorf("loaded %q, written was %q", doc.Text("t").String(), c.doc.Text("t").String())
	}
	return nil
}

// history reads the segments: what comes out is what went in, up to an error.
func (c *chronicle) history(ctx context.Context, k *snapshots.Keeper) error {
	rec, err := c.log.Open(ctx, document)
	if err != nil {
		return err
	}
	n := persistence.Position(0)
	for e, err := range k.History(ctx, document, 1, 0, rec.Segmented) {
		if err != nil {
			return err
		}
		if n++; e.Position != n || !bytes.Equal(e.Update, c.updates[n-1]) {
			c.Errorf("entry %d of the history is another one: %+v", n, e)
		}
	}
	if n != rec.Segmented {
		c.Errorf("the history ends at %d of %d and does not say so", n, rec.Segmented)
	}
	return nil
}

// settle begins a document's stored past: two snapshots, segments, a trimmed log.
func (c *chronicle) settle(ctx context.Context) error {
	for range 2 {
		if err := errors.Join(c.write(60), c.segment(ctx), c.save(ctx)); err != nil {
			return err
		}
	}
	if err := c.log.Trim(ctx, document, c.epoch, 60); err != nil {
		return err
	}
	return c.write(5)
}

func (c *chronicle) complaints() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.damaged
	c.damaged = nil
	return out
}

// flipped answers reads of one object with a bit turned, and of all others as
// they are. The store's own checksums are left out: what is found is found by us.
type flipped struct {
	next   http.Handler
	mu     sync.Mutex
	bodies map[string][]byte // by path
	path   string
	bit    int
}

func (f *flipped) serve(w http.ResponseWriter, r *http.Request) bool {
	if r.Method != http.MethodGet || r.URL.Query().Has("list-type") {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	body, ok := f.bodies[r.URL.Path]
	if !ok {
		whole := r.Clone(r.Context())
		answer := httptest.NewRecorder()
		f.next.ServeHTTP(answer, whole)
		if answer.Code != http.StatusOK {
			return false
		}
		body = answer.Body.Bytes()
		f.bodies[r.URL.Path] = body
	}
	if r.URL.Path == f.path {
		body = bytes.Clone(body)
		body[f.bit/8] ^= 1 << (f.bit % 8)
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
	return true
}

// TestFlippedBits turns 1,000 bits of a snapshot and 1,000 of a segment, plain
// and encrypted, one at a time. Every one is found: by an error, or by a
// complaint that names the object while another way gives what was written.
func TestFlippedBits(t *testing.T) {
	server := s3test.Start(t)
	for name, sealed := range sealings {
		t.Run(name, func(t *testing.T) {
			c, err := newChronicle(failures{t, name}, server, server.Bucket(t, "flips-"+name), sealed)
			if err == nil {
				err = c.settle(t.Context())
			}
			if err != nil {
				t.Fatal(err)
			}
			f := &flipped{next: c.proxy.forward, bodies: map[string][]byte{}}
			c.proxy.set(f.serve)
			if err := errors.Join(c.load(t.Context(), c.keeper), c.history(t.Context(), c.keeper)); err != nil || len(c.complaints()) > 0 {
				t.Fatalf("without a flip: %v", err)
			}
			rec, err := c.log.Open(t.Context(), document)
			if err != nil {
				t.Fatal(err)
			}
			var segment string
			for path := range f.bodies {
				if strings.HasSuffix(path, ".segment") {
					segment = path
				}
			}
			for kind, o := range map[string]struct {
				path string
				read func(context.Context, *snapshots.Keeper) error
			}{
				"snapshot": {"/flips-" + name + "/" + rec.Snapshot.Key, c.load},
				"segment":  {segment, c.history},
			} {
				size := 8 * len(f.bodies[o.path])
				if size < 1000 {
					t.Fatalf("%s has %d bits", o.path, size)
				}
				refused, passedOver := 0, 0
				for _, bit := range rand.Perm(size)[:1000] {
					f.path, f.bit = o.path, bit
					err := o.read(t.Context(), c.keeper)
					found := c.complaints()
					switch {
					case err != nil:
						refused++
					case len(found) == 1 && strings.HasSuffix(o.path, found[0]):
						passedOver++
					default:
						t.Fatalf("bit %d of %s: nobody noticed: %v", bit, o.path, found)
					}
				}
				t.Logf("%s of %d bytes: 1000 flips, %d refused, %d passed over with a complaint", kind, size/8, refused, passedOver)
			}
		})
	}
}

// TestFlipOnTheWay: what the network turns is read again, by the checksum that the
// store sends along.
func TestFlipOnTheWay(t *testing.T) {
	server := s3test.Start(t)
	proxy := newProxy(t, server.Endpoint)
	s := open(t, s3.Options{Endpoint: proxy.URL, Bucket: server.Bucket(t, "way")})
	blob := bytes.Repeat([]byte("all is well. "), 500)
	if err := s.Put(t.Context(), "a/b", blob); err != nil {
		t.Fatal(err)
	}
	var reads atomic.Int32
	proxy.set(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || reads.Add(1) > 1 {
			return false
		}
		answer := httptest.NewRecorder()
		proxy.forward.ServeHTTP(answer, r)
		for name, v := range answer.Header() {
			w.Header()[name] = v
		}
		body := answer.Body.Bytes()
		body[1234] ^= 8
		_, _ = w.Write(body)
		return true
	})
	if got, err := s.Get(t.Context(), "a/b", 1<<20); err != nil || !bytes.Equal(got, blob) || reads.Load() != 2 {
		t.Errorf("Get = %d bytes, %v, after %d reads", len(got), err, reads.Load())
	}
}

// errorBody is what a store says that fails after it has begun to answer.
const errorBody = `<?xml version="1.0" encoding="UTF-8"?><Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>`

// fault is what goes wrong with every request of a method, for as long as it lasts.
type fault struct {
	method string
	serve  func(c *chronicle, w http.ResponseWriter, r *http.Request) bool
	// harmless: everything has to succeed all the same.
	harmless bool
}

func answer(code int, body string) func(*chronicle, http.ResponseWriter, *http.Request) bool {
	return func(_ *chronicle, w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
		return true
	}
}

// swallow takes the request and the store's answer, and cuts the connection.
func swallow(c *chronicle, _ http.ResponseWriter, r *http.Request) bool {
	c.proxy.forward.ServeHTTP(httptest.NewRecorder(), r)
	panic(http.ErrAbortHandler)
}

func half(c *chronicle, w http.ResponseWriter, r *http.Request) bool {
	whole := httptest.NewRecorder()
	c.proxy.forward.ServeHTTP(whole, r)
	for name, v := range whole.Header() {
		w.Header()[name] = v
	}
	w.WriteHeader(whole.Code)
	_, _ = w.Write(whole.Body.Bytes()[:whole.Body.Len()/2])
	panic(http.ErrAbortHandler)
}

// another answers with an object that was not asked for.
func another(c *chronicle, _ http.ResponseWriter, r *http.Request) bool {
	rec, err := c.log.Open(r.Context(), document)
	if err != nil {
		c.Errorf("%v", err)
	}
	bucket, asked, _ := strings.Cut(r.URL.Path[1:], "/")
	give := rec.Previous.Key
	if asked == give {
		give = rec.Snapshot.Key
	}
	r.URL.Path, r.URL.RawPath = "/"+bucket+"/"+give, ""
	return false
}

// slowly passes an answer piece by piece.
func slowly(c *chronicle, w http.ResponseWriter, r *http.Request) bool {
	whole := httptest.NewRecorder()
	c.proxy.forward.ServeHTTP(whole, r)
	for name, v := range whole.Header() {
		w.Header()[name] = v
	}
	w.WriteHeader(whole.Code)
	pieces := time.NewTicker(5 * time.Millisecond)
	defer pieces.Stop()
	for body := whole.Body; body.Len() > 0; <-pieces.C {
		_, _ = w.Write(body.Next(100))
		_ = http.NewResponseController(w).Flush()
	}
	return true
}

func never(_ *chronicle, _ http.ResponseWriter, r *http.Request) bool {
	_, _ = io.Copy(io.Discard, r.Body) // only then is it seen that the client gives up
	<-r.Context().Done()
	panic(http.ErrAbortHandler)
}

var lasting = map[string]fault{
	"put 500":              {method: http.MethodPut, serve: answer(500, errorBody)},
	"put 503":              {method: http.MethodPut, serve: answer(503, "")},
	"put 412":              {method: http.MethodPut, serve: answer(412, "")},
	"put 200 with error":   {method: http.MethodPut, serve: answer(200, errorBody)},
	"put answer lost":      {method: http.MethodPut, serve: swallow},
	"put without an end":   {method: http.MethodPut, serve: never},
	"get 500":              {method: http.MethodGet, serve: answer(500, errorBody)},
	"get 503":              {method: http.MethodGet, serve: answer(503, "")},
	"get 404":              {method: http.MethodGet, serve: answer(404, "")},
	"get 200 with error":   {method: http.MethodGet, serve: answer(200, errorBody)},
	"get cut":              {method: http.MethodGet, serve: half},
	"get slow":             {method: http.MethodGet, serve: slowly, harmless: true},
	"get another object":   {method: http.MethodGet, serve: another},
	"get without an end":   {method: http.MethodGet, serve: never},
	"get nothing with 200": {method: http.MethodGet, serve: answer(200, "")},
}

// TestLastingFaults: while a store fails in one way, whatever is said to be stored
// is stored, whatever is read is what was written, and everything else is an
// error. When it is well again all goes on, and nothing is missing.
func TestLastingFaults(t *testing.T) {
	server := s3test.Start(t)
	var all sync.WaitGroup // most of the time is spent waiting before a retry
	defer all.Wait()
	n := 0
	for name, f := range lasting {
		for kind, sealed := range sealings {
			n++
			bucket := server.Bucket(t, fmt.Sprintf("lasting-%d", n))
			all.Go(func() {
				t := failures{t, name + ", " + kind}
				c, err := newChronicle(t, server, bucket, sealed)
				if err == nil {
					err = c.settle(t.Context())
				}
				if err != nil {
					t.Errorf("before the fault: %v", err)
					return
				}
				c.suffer(f)
			})
		}
	}
}

func (c *chronicle) suffer(f fault) {
	var hits atomic.Int32
	c.proxy.set(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != f.method || r.URL.Query().Has("list-type") {
			return false
		}
		hits.Add(1)
		return f.serve(c, w, r)
	})
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"load", func(ctx context.Context) error { return c.load(ctx, c.keeper) }},
		{"history", func(ctx context.Context) error { return c.history(ctx, c.keeper) }},
		{"save", c.save},
		{"segment", c.segment},
	} {
		ctx, cancel := context.WithTimeout(c.Context(), 6*time.Second)
		hits.Store(0)
		c.lines.TakeAll()
		err := step.do(ctx)
		cancel()
		switch {
		case err != nil && f.harmless:
			c.Errorf("%s: %v", step.name, err)
		case err == nil && !f.harmless && hits.Load() > 0 && c.lines.Len() == 0 && len(c.complaints()) == 0:
			c.Errorf("%s met the fault and nobody was told", step.name)
		}
		// What the log points at now is there, whole, for whoever asks the store itself.
		if err := errors.Join(c.load(c.Context(), c.direct), c.history(c.Context(), c.direct)); err != nil {
			c.Errorf("after %s: %v", step.name, err)
		}
	}
	healthy := func(http.ResponseWriter, *http.Request) bool { return false }
	c.proxy.set(healthy)
	ctx := c.Context()
	if err := errors.Join(c.write(5), c.save(ctx), c.segment(ctx), c.load(ctx, c.keeper), c.history(ctx, c.keeper)); err != nil {
		c.Errorf("when the store is well again: %v", err)
	}
	for file, err := range c.direct.Check(ctx, document) {
		if err != nil || file.Err != nil {
			c.Errorf("left in the bucket: %s: %v, %v", file.Key, err, file.Err)
		}
	}
}

// TestCompletionAnsweredWithAnError: the last step of an upload in parts answers
// 200 and then an error. It is not taken for success.
func TestCompletionAnsweredWithAnError(t *testing.T) {
	server := s3test.Start(t)
	proxy := newProxy(t, server.Endpoint)
	s := open(t, s3.Options{Endpoint: proxy.URL, Bucket: server.Bucket(t, "completion"), PartBytes: 5 << 20})
	blob := bytes.Repeat([]byte("0123456789abcdef"), 6<<16)
	failing := true
	proxy.set(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPost || !r.URL.Query().Has("uploadId") || !failing {
			return false
		}
		return answer(200, errorBody)(nil, w, r)
	})
	soon, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if err := s.Put(soon, "a/b", blob); err == nil {
		t.Error("Put has believed it")
	}
	if _, err := s.Get(t.Context(), "a/b", 1<<30); !errors.Is(err, snapshots.ErrNotFound) {
		t.Errorf("Get = %v", err)
	}
	failing = false
	if err := s.Put(t.Context(), "a/b", blob); err != nil {
		t.Errorf("Put = %v", err)
	}
	if got, err := s.Get(t.Context(), "a/b", 1<<30); err != nil || !bytes.Equal(got, blob) {
		t.Errorf("Get = %d bytes, %v", len(got), err)
	}
}
