package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"ysync/internal/api"
	"ysync/internal/auth"
	"ysync/persistence"
	"ysync/snapshots"
)

// errReading is for a store that is only read.
var errReading = fmt.Errorf("%w: the stores of a running server are only read here", persistence.ErrReadOnly)

// remoteLog is the update log of a running server, to read.
type remoteLog struct{ client *client }

// remoteFiles are the snapshot files of a running server, to read.
type remoteFiles struct{ client *client }

// remoteRulings are those of a running server.
type remoteRulings struct{ client *client }

var (
	_ persistence.Log   = remoteLog{}
	_ snapshots.Store   = remoteFiles{}
	_ auth.RulingSource = remoteRulings{}
)

// Rulings implements auth.RulingSource. It gives all that have not ended; the API
// has no versions.
func (r remoteRulings) Rulings(ctx context.Context, _ uint64) (all []auth.Ruling, version uint64, err error) {
	for stored, err := range storesLines[api.Ruling](ctx, r.client, "rulings", nil) {
		if err != nil {
			return nil, 0, err
		}
		ruling, err := stored.Ruling()
		if err != nil {
			return nil, 0, err
		}
		all = append(all, ruling)
	}
	return all, 0, nil
}

// errEnough ends an answer that its reader has enough of.
var errEnough = errors.New("enough")

// storesLines yields the lines of an answer of the routes below /stores, each
// decoded into a T.
func storesLines[T any](ctx context.Context, c *client, what string, query url.Values) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel() // of an answer that is not read to its end
		err := c.lines(ctx, request{method: http.MethodGet, path: []string{"stores", what}, query: query}, &struct{}{}, func(_ string, value json.RawMessage) error {
			var v T
			if err := json.Unmarshal(value, &v); err != nil {
				return err
			}
			if !yield(v, nil) {
				return errEnough
			}
			return nil
		})
		if err != nil && !errors.Is(err, errEnough) {
			var zero T
			yield(zero, storesError(err))
		}
	}
}

// storesError gives a refusal the class that the store there gave it.
func storesError(err error) error {
	p, ok := errors.AsType[*api.Problem](err)
	if !ok {
		return err
	}
	classes := map[api.Code]error{
		api.CodeErased: persistence.ErrErased, api.CodeThinned: persistence.ErrTrimmed, api.CodeNotFound: snapshots.ErrNotFound,
		api.CodeDamaged: persistence.ErrCorrupt, api.CodeNewerFormat: persistence.ErrNewerFormat,
	}
	if class := classes[p.Code]; class != nil {
		return fmt.Errorf("%w: the server says: %w", class, err)
	}
	return err
}

func records(ctx context.Context, c *client, query url.Values) iter.Seq2[persistence.Record, error] {
	return func(yield func(persistence.Record, error) bool) {
		for s, err := range storesLines[api.StoredRecord](ctx, c, "records", query) {
			var rec persistence.Record
			if err == nil {
				rec, err = s.Record()
			}
			if !yield(rec, err) || err != nil {
				return
			}
		}
	}
}

// Open implements persistence.Log.
func (l remoteLog) Open(ctx context.Context, document string) (persistence.Record, error) {
	for rec, err := range records(ctx, l.client, url.Values{"document": {document}}) {
		return rec, err
	}
	return persistence.Record{}, &exitError{exitUnavailable, errors.New("the answer holds no record")}
}

// List implements persistence.Log.
func (l remoteLog) List(ctx context.Context, after string) iter.Seq2[persistence.Record, error] {
	return records(ctx, l.client, url.Values{"after": {after}})
}

// Read implements persistence.Log.
func (l remoteLog) Read(ctx context.Context, document string, after persistence.Position) iter.Seq2[persistence.Entry, error] {
	return func(yield func(persistence.Entry, error) bool) {
		query := url.Values{"document": {document}, "after": {strconv.FormatUint(uint64(after), 10)}}
		for e, err := range storesLines[api.StoredEntry](ctx, l.client, "entries", query) {
			if !yield(e.Entry(), err) {
				return
			}
		}
	}
}

// Claim implements persistence.Log.
func (remoteLog) Claim(context.Context, string, string, persistence.Epoch) (persistence.Record, error) {
	return persistence.Record{}, errReading
}

// Append implements persistence.Log.
func (remoteLog) Append(_ context.Context, batches []persistence.Batch) []persistence.Result {
	results := make([]persistence.Result, len(batches))
	for i := range results {
		results[i].Err = errReading
	}
	return results
}

// SetSnapshot implements persistence.Log.
func (remoteLog) SetSnapshot(context.Context, string, persistence.Epoch, persistence.Pointer) error {
	return errReading
}

// SetSegmented implements persistence.Log.
func (remoteLog) SetSegmented(context.Context, string, persistence.Epoch, persistence.Position) error {
	return errReading
}

// SetSeed implements persistence.Log.
func (remoteLog) SetSeed(context.Context, string, persistence.Epoch, string) error { return errReading }

// Trim implements persistence.Log.
func (remoteLog) Trim(context.Context, string, persistence.Epoch, persistence.Position) error {
	return errReading
}

// Reset implements persistence.Log.
func (remoteLog) Reset(context.Context, string, persistence.Epoch, persistence.Position, persistence.Pointer) error {
	return errReading
}

// Erase implements persistence.Log.
func (remoteLog) Erase(context.Context, string, time.Time) error { return errReading }

// Close implements persistence.Log.
func (l remoteLog) Close() error { return l.client.close() }

// Get implements snapshots.Store.
func (f remoteFiles) Get(ctx context.Context, key string, limit int64) ([]byte, error) {
	blob, err := f.object(ctx, key, url.Values{})
	if err == nil && int64(len(blob)) > limit {
		err = snapshots.ErrTooLarge
	}
	if err != nil {
		return nil, &snapshots.FileError{Key: key, Err: err}
	}
	return blob, nil
}

// Head implements snapshots.Store.
func (f remoteFiles) Head(ctx context.Context, key string, n int) ([]byte, error) {
	blob, err := f.object(ctx, key, url.Values{"first": {strconv.Itoa(n)}})
	if err != nil {
		return nil, &snapshots.FileError{Key: key, Err: err}
	}
	return blob, nil
}

func (f remoteFiles) object(ctx context.Context, key string, query url.Values) ([]byte, error) {
	query.Set("key", key)
	blob, _, err := f.client.bytes(ctx, request{method: http.MethodGet, path: []string{"stores", "object"}, query: query})
	if err != nil {
		return nil, storesError(err)
	}
	return blob, nil
}

// List implements snapshots.Store.
func (f remoteFiles) List(ctx context.Context, prefix string) iter.Seq2[snapshots.Object, error] {
	return func(yield func(snapshots.Object, error) bool) {
		for o, err := range storesLines[api.StoredObject](ctx, f.client, "objects", url.Values{"prefix": {prefix}}) {
			if !yield(snapshots.Object(o), err) {
				return
			}
		}
	}
}

// Put implements snapshots.Store.
func (remoteFiles) Put(context.Context, string, []byte) error { return errReading }

// Delete implements snapshots.Store.
func (remoteFiles) Delete(context.Context, string) error { return errReading }
