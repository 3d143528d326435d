package snapshots

import (
	"context"
	"crypto/sha256"
	"errors"
	"math"
	"time"

	"go.uber.org/zap"

	"ysync/crdt"
	"ysync/internal/fault"
	"ysync/persistence"
)

// Options configure a Keeper. The zero value is valid.
type Options struct {
	// Logger takes the lines about damaged files. Nil logs nothing.
	Logger *zap.Logger
	// Damaged is told about every file that was to be read and could not be,
	// beside the log line; for counting. Nil for nobody. It may be called from
	// several goroutines at once.
	Damaged func(document, key string, err error)
	// SegmentBytes is about how many bytes of updates one segment file holds.
	// 0 means 4 MiB. An entry is never divided.
	SegmentBytes int
	// RefusedBytes bounds the stored size of the refused updates that are kept of a
	// document, the newest alone left out; 0 means 64 MiB.
	RefusedBytes int64
}

const defaultSegmentBytes = 4 << 20

// Keeper saves, verifies and loads documents. It writes files; what the log
// records about them is its caller's to change, under the caller's epoch. Its
// methods may be called from any goroutine.
type Keeper struct {
	store        Store
	log          persistence.Log
	logger       *zap.Logger
	onDamage     func(document, key string, err error)
	segmentBytes int
	refusedBytes int64
}

// New returns a keeper of the documents in log, with its files in store. Of the
// past it tells as much as the store alone holds when log is nil: then only At,
// Between, Entries and the like work.
func New(store Store, log persistence.Log, opts Options) *Keeper {
	k := &Keeper{store: store, log: log, logger: opts.Logger, onDamage: opts.Damaged, segmentBytes: opts.SegmentBytes, refusedBytes: opts.RefusedBytes}
	if k.refusedBytes <= 0 {
		k.refusedBytes = defaultRefusedBytes
	}
	if k.logger == nil {
		k.logger = zap.NewNop()
	}
	if k.onDamage == nil {
		k.onDamage = func(string, string, error) {}
	}
	if k.segmentBytes <= 0 {
		k.segmentBytes = defaultSegmentBytes
	}
	return k
}

// Save writes a snapshot of the document of rec: state (update V2, with what is
// pending) holds at least the log up to position, at is its moment, label why
// it was asked for. It reads the file back and compares what it decodes to with
// what was given before it returns the pointer; ErrVerify when they differ.
// With an error nothing may point at whatever was written.
func (k *Keeper) Save(
	ctx context.Context, rec persistence.Record, position persistence.Position,
	at time.Time, label string, state []byte,
) (persistence.Pointer, error) {
	p, err := k.save(ctx, SnapshotHeader{
		Document: rec.Document, Generation: rec.Generation, Epoch: rec.Epoch,
		Position: position, Time: at, Label: label,
	}, state)
	if err != nil {
		return persistence.Pointer{}, &DocumentError{"save", rec.Document, err}
	}
	return p, nil
}

func (k *Keeper) save(ctx context.Context, h SnapshotHeader, state []byte) (persistence.Pointer, error) {
	if err := decodes(state); err != nil {
		// The caller's state is bad: writing it would only hide that.
		return persistence.Pointer{}, errors.Join(ErrVerify, err)
	}
	file, h, err := EncodeSnapshot(h, state)
	if err != nil {
		return persistence.Pointer{}, err
	}
	p := pointerTo(h, file)
	fault.Reach(fault.BeforePut)
	if err := k.store.Put(ctx, p.Key, file); err != nil {
		return persistence.Pointer{}, err
	}
	fault.Reach(fault.AfterPut)
	if fault.Active(fault.SkipVerify) {
		return p, nil
	}
	if err := k.verifySnapshot(ctx, p, h, state); err != nil {
		return persistence.Pointer{}, &FileError{p.Key, errors.Join(ErrVerify, err)}
	}
	return p, nil
}

// pointerTo is the pointer to a file.
func pointerTo(h SnapshotHeader, file []byte) persistence.Pointer {
	p := persistence.Pointer{Position: h.Position, SHA256: sha256.Sum256(file)}
	p.Key = SnapshotKey(h, p.SHA256)
	return p
}

// fetch reads the object that p points at and checks that it is the one.
func (k *Keeper) fetch(ctx context.Context, p persistence.Pointer) (SnapshotHeader, []byte, error) {
	file, err := k.store.Get(ctx, p.Key, maxFileBytes)
	if err != nil {
		return SnapshotHeader{}, nil, err
	}
	h, state, err := DecodeSnapshot(file)
	if err != nil {
		return SnapshotHeader{}, nil, &FileError{p.Key, err}
	}
	if sha256.Sum256(file) != p.SHA256 {
		return SnapshotHeader{}, nil, &FileError{p.Key, corrupt("it is another file than was pointed at")}
	}
	return h, state, nil
}

// Trimmable returns up to which position the log of rec may be trimmed: the
// older of the two snapshots, if both still read back whole, and never past
// what segments cover. The record alone cannot tell: a snapshot that was good
// when it was written may be damaged since, and then the log must keep reaching
// back. Without a second good snapshot it returns rec.Trimmed.
func (k *Keeper) Trimmable(ctx context.Context, rec persistence.Record) persistence.Position {
	for _, p := range []persistence.Pointer{rec.Snapshot, rec.Previous} {
		if p.IsZero() {
			return rec.Trimmed
		}
		if _, err := k.whole(ctx, rec, p); err != nil {
			k.damaged(rec.Document, p, err, "snapshot unusable, the log is not trimmed")
			return rec.Trimmed
		}
	}
	return max(rec.Trimmed, min(rec.Previous.Position, rec.Segmented))
}

// damaged tells the operator about a file that could not be used.
func (k *Keeper) damaged(document string, p persistence.Pointer, err error, msg string) {
	k.logger.Error(msg, zap.String("document", document), zap.String("key", p.Key),
		zap.Uint64("position", uint64(p.Position)), zap.Error(err))
	k.onDamage(document, p.Key, err)
}

// replayDoc is an empty document to rebuild a stored one in. What was once
// accepted must load whatever the limits are today; the bytes come from our own
// log and files, behind checksums.
func replayDoc() *crdt.Doc { return crdt.New(replayOptions) }

var replayOptions = crdt.Options{NoFormatCleanup: true, RetryAll: true, Limits: replayLimits}

// replayLimits bound nothing but recursion, which the stack has to hold.
var replayLimits = crdt.Limits{
	TypeDepth:       1 << 14,
	BlocksPerUpdate: math.MaxInt32,
	PendingBytes:    math.MaxInt32,
}
