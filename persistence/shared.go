package persistence

import (
	"context"
	"fmt"
)

// Holding is what a document's record says of its writer. Epoch 0 is that of a
// document which was never claimed.
type Holding struct {
	Document string
	Epoch    Epoch
	// Owner is empty when nobody holds the document.
	Owner string
}

// MaxHoldings bounds the documents of one Holdings or ClaimAll call.
const MaxHoldings = 500

// Shared is a Log that several processes may have open at a time, each the
// writer of other documents.
type Shared interface {
	Log

	// Holdings reads who holds the documents, MaxHoldings at most, as of one
	// moment: result i is that of document i. It is one short try: a database
	// that is away is an error at once, not after a while.
	Holdings(ctx context.Context, documents []string) ([]Holding, error)

	// ClaimAll claims documents, MaxHoldings at most, as Claim does each, if its
	// epoch is still that of seen: result i is the record of seen[i] after the
	// claim, or zero where it was not claimed. Those are to be claimed one by one,
	// which tells why or waits for whoever is at work on them. It is one short
	// try; after an error each may have been claimed.
	ClaimAll(ctx context.Context, owner string, seen []Holding) ([]Record, error)

	// Release ends owner's claim of the epoch: from then on nobody holds the
	// document, and no append under that epoch is taken. Whoever claims it next
	// must have seen the epoch after it. Durable when it returns. Errors: ErrFenced
	// when the claim is not the newest, ErrErased for a tombstone.
	Release(ctx context.Context, document, owner string, epoch Epoch) error
}

// Released is the record after Release. The epoch grows, so that an append that
// is still on its way under the old one comes too late.
func (r Record) Released(owner string, epoch Epoch) (Record, error) {
	if err := r.checkWriter(epoch); err != nil {
		return r, err
	}
	if owner == "" || r.Owner != owner {
		return r, fmt.Errorf("%w: another owner", ErrFenced)
	}
	r.Owner = ""
	r.Epoch++
	return r, nil
}
