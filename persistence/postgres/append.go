package postgres

import (
	"context"
	"fmt"
	"hash/maphash"
	"sync"

	"ysync/persistence"
)

// maxBatchBytes bounds what one document appends at once: the protocol's bound
// for one message is 1 GiB.
const maxBatchBytes = 512 << 20

// request is one batch on its way.
type request struct {
	ctx    context.Context
	batch  *persistence.Batch
	result *persistence.Result
	bytes  int
	done   *sync.WaitGroup
}

// fail ends a request with an error.
func (r *request) fail(err error) {
	*r.result = persistence.Result{Err: callError("append", r.batch.Document, err)}
	r.done.Done()
}

// succeed ends a request whose first entry has a position.
func (r *request) succeed(first persistence.Position) {
	*r.result = persistence.Result{First: first, Last: first + persistence.Position(len(r.batch.Entries)) - 1}
	r.done.Done()
}

// Append implements persistence.Log.
func (l *Log) Append(ctx context.Context, batches []persistence.Batch) []persistence.Result {
	results := make([]persistence.Result, len(batches))
	var done sync.WaitGroup
	done.Add(len(batches))
	if err := l.calls.Begin(ctx); err != nil {
		for i := range batches {
			(&request{batch: &batches[i], result: &results[i], done: &done}).fail(err)
		}
		return results
	}
	defer l.calls.End()
	named := make(map[string]struct{}, len(batches))
	share := make([][]*request, len(l.writers))
	for i := range batches {
		b := &batches[i]
		r := &request{ctx: ctx, batch: b, result: &results[i], done: &done}
		if err := checkBatch(b, named); err != nil {
			r.fail(err)
			continue
		}
		named[b.Document] = struct{}{}
		for j := range b.Entries {
			r.bytes += len(b.Entries[j].Update) + len(b.Entries[j].Author) + 64
		}
		if r.bytes > maxBatchBytes {
			r.fail(fmt.Errorf("%w: a batch of %d bytes", persistence.ErrInvalid, r.bytes))
			continue
		}
		w := l.shareOf(b.Document)
		share[w] = append(share[w], r)
	}
	for i, requests := range share {
		if len(requests) > 0 {
			l.writers[i].take(requests)
		}
	}
	done.Wait()
	return results
}

// checkBatch refuses a batch that breaks the contract.
func checkBatch(b *persistence.Batch, named map[string]struct{}) error {
	if _, twice := named[b.Document]; twice {
		return fmt.Errorf("%w: the document is there twice", persistence.ErrInvalid)
	}
	if len(b.Entries) == 0 {
		return fmt.Errorf("%w: a batch without entries", persistence.ErrInvalid)
	}
	return persistence.CheckName(b.Document)
}

var shares = maphash.MakeSeed()

// shareOf says which writer a document belongs to.
func (l *Log) shareOf(name string) int {
	return int(maphash.String(shares, name) % uint64(len(l.writers)))
}

func (l *Log) writerOf(name string) *writer { return l.writers[l.shareOf(name)] }
