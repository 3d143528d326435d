package snapshots

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"ysync/crdt"
	"ysync/internal/fault"
	"ysync/persistence"
)

// Renew writes the beginning of the generation that follows that of rec, which
// is the caller's claim: what from holds now, or state if from is nil, made anew
// by one fresh client. state (update V2) is all that the document holds, retired
// are the clients retired before. by says when, and who asked for it.
//
// It writes the clients that are retired with it, then the content as an entry
// of a segment and as a snapshot, each read back, and returns the pointer that
// the log's Reset takes. As long as the log has not taken it the files mean
// nothing.
func (k *Keeper) Renew(
	ctx context.Context, rec persistence.Record, from *crdt.Doc, state []byte, retired []crdt.ClientID, by persistence.NewEntry,
) (persistence.Pointer, error) {
	p, err := k.renew(ctx, rec, from, state, retired, by)
	if err != nil {
		return p, &DocumentError{"renew", rec.Document, err}
	}
	return p, nil
}

func (k *Keeper) renew(
	ctx context.Context, rec persistence.Record, from *crdt.Doc, state []byte, retired []crdt.ClientID, by persistence.NewEntry,
) (persistence.Pointer, error) {
	var p persistence.Pointer
	known, err := clientsOf(state)
	if err != nil {
		return p, err
	}
	known = union(known, retired)
	if from == nil {
		from = replayDoc()
		if _, err := from.Apply(nil, crdt.V2, state); err != nil {
			return p, err
		}
	} else {
		// A moment may have what was never in a state: what waited then.
		past, err := clientsOf(from.AppendStored(nil, crdt.V2))
		if err != nil {
			return p, err
		}
		known = union(known, past)
	}
	fresh, err := rewritten(from, known)
	if err != nil {
		return p, err
	}
	next := persistence.Record{Document: rec.Document, Generation: rec.Generation + 1, Epoch: rec.Epoch}
	by.Time = persistence.EntryTime(rec.Updated, by.Time)
	err = k.writeRetired(ctx, next.Document, &retirement{
		retiredPlace: retiredPlace{next.Generation, next.Epoch}, at: by.Time, author: by.Author, clients: known,
	})
	if err != nil {
		return p, err
	}
	fault.Reach(fault.AfterRetired)
	entry := persistence.Entry{
		Position: persistence.FirstOfReset, Epoch: next.Epoch, Time: by.Time, Author: by.Author,
		Update: fresh.AppendState(nil, crdt.V1),
	}
	if err := k.writeSegment(ctx, next, []persistence.Entry{entry}); err != nil {
		return p, err
	}
	return k.save(ctx, SnapshotHeader{
		Document: next.Document, Generation: next.Generation, Epoch: next.Epoch,
		Position: persistence.FirstOfReset, Time: by.Time,
	}, fresh.AppendState(nil, crdt.V2))
}

// rewritten is the document made anew by a client that nobody has ever known.
func rewritten(from *crdt.Doc, known []crdt.ClientID) (*crdt.Doc, error) {
	for {
		fresh, err := from.Rewrite(replayOptions)
		if err != nil {
			return nil, err
		}
		if _, taken := slices.BinarySearch(known, fresh.ClientID()); !taken {
			return fresh, nil
		}
	}
}

func (k *Keeper) writeRetired(ctx context.Context, document string, r *retirement) error {
	r.at = milli(r.at)
	file, err := encodeRetired(document, r)
	if err != nil {
		return err
	}
	key := r.key(document, sha256.Sum256(file))
	if err := k.store.Put(ctx, key, file); err != nil {
		return err
	}
	back, err := k.readRetired(ctx, document, retiredFile{r.retiredPlace, Object{Key: key}})
	if err == nil && (!slices.Equal(back.clients, r.clients) || !back.at.Equal(r.at) || back.author != r.author) {
		err = fmt.Errorf("it reads back otherwise")
	}
	if err != nil {
		return &FileError{key, errors.Join(ErrVerify, err)}
	}
	return nil
}
