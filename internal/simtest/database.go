package simtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"ysync/internal/cluster"
	"ysync/persistence"
	"ysync/persistence/memory"
)

// database is the PostgreSQL of the cluster, and how it fails.
type database struct {
	w      *world
	log    *memory.Log
	shadow *shadow

	// effect is held while a call takes effect, so that the shadow sees all
	// effects in their order.
	effect sync.Mutex

	// Guarded by world.mu.
	beats   map[string]beat
	up      bool
	flows   state // calls are not held up inside
	cut     [places]bool
	slow    time.Duration
	failing int // one in so many calls fails; 0 for none
	losing  int // of one in so many calls the answer is lost; 0 for none
}

var (
	errDatabase = errors.New("the database does not answer")
	errTimeout  = errors.New("the statement took too long")
)

func newDatabase(w *world) *database {
	return &database{w: w, log: memory.New(), shadow: newShadow(w), beats: map[string]beat{}, up: true, flows: newState(true)}
}

// statementTimeout is how long a statement may take.
const statementTimeout = 5 * time.Second

// dbSession is a node's connection to the database.
type dbSession struct {
	*memory.Log // for what nobody calls here
	db          *database
	node        *node
	dice        *dice
}

var _ cluster.Log = (*dbSession)(nil)

// call sends a statement and waits for the answer. f is what takes effect.
// changes tells that it may change something: whether a change whose answer is
// lost took effect is not known.
func (s *dbSession) call(ctx context.Context, changes sort, f func() error) error {
	db, w := s.db, s.db.w
	if !s.node.pass(ctx) {
		return errors.Join(errDead, ctx.Err())
	}
	w.mu.Lock()
	slow := db.slow
	w.mu.Unlock()
	if !rest(ctx, s.node.trip()+s.dice.between(0, slow)) && (ctx.Err() == nil || s.node.ctx.Err() == nil || s.dice.one(2)) {
		// The process went, or gave up, before anything was sent.
		return errors.Join(errDatabase, ctx.Err())
	}
	patience, cancel := context.WithTimeout(w.ctx, statementTimeout)
	defer cancel()
	w.mu.Lock()
	cut := db.cut[s.node.place]
	w.mu.Unlock()
	lost := false
	if cut {
		// It is the way there that is cut, or the way back.
		if lost = s.dice.one(2); !lost {
			rest(ctx, statementTimeout)
			return errors.Join(errDatabase, ctx.Err())
		}
	}
	if !w.until(patience, &db.flows, true) {
		return errTimeout
	}
	w.mu.Lock()
	up, failing, losing := db.up, db.failing, db.losing
	w.mu.Unlock()
	if !up || failing > 0 && s.dice.one(failing) {
		return errDatabase
	}
	lost = lost || losing > 0 && s.dice.one(losing)
	db.effect.Lock()
	err := f()
	db.effect.Unlock()
	if lost {
		rest(s.node.ctx, s.dice.between(0, statementTimeout/2))
		w.count("answer lost")
		if changes == change {
			return persistence.ErrUnknown
		}
		return errDatabase
	}
	if !rest(s.node.ctx, s.node.trip()+s.dice.between(0, slow)) || !s.node.pass(s.node.ctx) {
		return errDead
	}
	return err
}

// sort says what a call does.
type sort uint8

const (
	look sort = iota
	change
)

func failed(op, document string, err error) error {
	var e *persistence.Error
	if err == nil || errors.As(err, &e) {
		return err
	}
	return &persistence.Error{Op: op, Document: document, Err: err}
}

// Open implements persistence.Log.
func (s *dbSession) Open(ctx context.Context, document string) (r persistence.Record, err error) {
	err = s.call(ctx, look, func() (err error) {
		r, err = s.db.log.Open(context.Background(), document)
		return err
	})
	return r, failed("open", document, err)
}

// Claim implements persistence.Log.
func (s *dbSession) Claim(ctx context.Context, document, owner string, seen persistence.Epoch) (r persistence.Record, err error) {
	err = s.call(ctx, change, func() (err error) {
		if r, err = s.db.log.Claim(context.Background(), document, owner, seen); err == nil {
			s.db.shadow.claimed(document, owner, r)
			s.db.w.count("claims")
			s.db.w.tracef("%s claims %s, epoch %d, head %d", owner, document, r.Epoch, r.Head)
		}
		return err
	})
	return r, failed("claim", document, err)
}

// Append implements persistence.Log.
func (s *dbSession) Append(ctx context.Context, batches []persistence.Batch) []persistence.Result {
	var results []persistence.Result
	err := s.call(ctx, change, func() error {
		results = s.db.log.Append(context.Background(), batches)
		for i := range results {
			if results[i].Err == nil {
				s.db.shadow.appended(s.node.boot, &batches[i], results[i])
			}
		}
		return nil
	})
	if err != nil {
		results = make([]persistence.Result, len(batches))
		for i := range results {
			results[i].Err = failed("append", batches[i].Document, err)
		}
	}
	return results
}

// Read implements persistence.Log.
func (s *dbSession) Read(ctx context.Context, document string, after persistence.Position) iter.Seq2[persistence.Entry, error] {
	return func(yield func(persistence.Entry, error) bool) {
		var entries []persistence.Entry
		err := s.call(ctx, look, func() error {
			for e, err := range s.db.log.Read(context.Background(), document, after) {
				if err != nil {
					return err
				}
				entries = append(entries, e)
			}
			return nil
		})
		if err != nil {
			yield(persistence.Entry{}, failed("read", document, err))
			return
		}
		for _, e := range entries {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// SetSnapshot implements persistence.Log.
func (s *dbSession) SetSnapshot(ctx context.Context, document string, epoch persistence.Epoch, p persistence.Pointer) error {
	return failed("set snapshot", document, s.call(ctx, change, func() error {
		err := s.db.log.SetSnapshot(context.Background(), document, epoch, p)
		if err == nil {
			s.db.w.count("snapshots")
			s.db.shadow.pointed(document, p)
		}
		return err
	}))
}

// SetSegmented implements persistence.Log.
func (s *dbSession) SetSegmented(ctx context.Context, document string, epoch persistence.Epoch, p persistence.Position) error {
	return failed("set segmented", document, s.call(ctx, change, func() error {
		return s.db.log.SetSegmented(context.Background(), document, epoch, p)
	}))
}

// SetSeed implements persistence.Log.
func (s *dbSession) SetSeed(ctx context.Context, document string, epoch persistence.Epoch, key string) error {
	return failed("set seed", document, s.call(ctx, change, func() error {
		return s.db.log.SetSeed(context.Background(), document, epoch, key)
	}))
}

// Trim implements persistence.Log.
func (s *dbSession) Trim(ctx context.Context, document string, epoch persistence.Epoch, upTo persistence.Position) error {
	return failed("trim", document, s.call(ctx, change, func() error {
		err := s.db.log.Trim(context.Background(), document, epoch, upTo)
		if err == nil {
			s.db.w.count("trims")
		}
		return err
	}))
}

// Reset implements persistence.Log.
func (s *dbSession) Reset(ctx context.Context, document string, epoch persistence.Epoch, head persistence.Position, p persistence.Pointer) error {
	return failed("reset", document, s.call(ctx, change, func() error {
		err := s.db.log.Reset(context.Background(), document, epoch, head, p)
		if err == nil {
			s.db.w.count("resets")
			s.db.shadow.renewed(document, p)
		}
		return err
	}))
}

// Holdings implements persistence.Shared.
func (s *dbSession) Holdings(ctx context.Context, documents []string) (h []persistence.Holding, err error) {
	err = s.call(ctx, look, func() (err error) {
		h, err = s.db.log.Holdings(context.Background(), documents)
		return err
	})
	return h, failed("holdings", "", err)
}

// ClaimAll implements persistence.Shared.
func (s *dbSession) ClaimAll(ctx context.Context, owner string, seen []persistence.Holding) (records []persistence.Record, err error) {
	err = s.call(ctx, change, func() (err error) {
		if records, err = s.db.log.ClaimAll(context.Background(), owner, seen); err != nil {
			return err
		}
		for _, r := range records {
			if r.Epoch > 0 {
				s.db.shadow.claimed(r.Document, owner, r)
				s.db.w.count("claims")
				s.db.w.tracef("%s claims %s with others, epoch %d, head %d", owner, r.Document, r.Epoch, r.Head)
			}
		}
		return nil
	})
	if err != nil {
		return nil, failed("claim all", "", err)
	}
	return records, nil
}

// Release implements persistence.Shared.
func (s *dbSession) Release(ctx context.Context, document, owner string, epoch persistence.Epoch) error {
	return failed("release", document, s.call(ctx, change, func() error {
		err := s.db.log.Release(context.Background(), document, owner, epoch)
		if err == nil {
			s.db.shadow.released(document)
			s.db.w.count("releases")
			s.db.w.tracef("%s releases %s, epoch %d", owner, document, epoch)
		}
		return err
	}))
}

// Beat implements cluster.Log.
func (s *dbSession) Beat(ctx context.Context, boot string, info []byte, ttl time.Duration) (infos [][]byte, err error) {
	w := s.db.w
	err = s.call(ctx, look, func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		now := time.Now()
		s.db.beats[boot] = beat{info, now.Add(ttl)}
		for _, b := range s.db.beats {
			if b.expires.After(now) {
				infos = append(infos, b.info)
			}
		}
		slices.SortFunc(infos, bytes.Compare)
		return nil
	})
	return infos, failed("beat", "", err)
}

// Leave implements cluster.Log.
func (s *dbSession) Leave(ctx context.Context, boot string) error {
	w := s.db.w
	return failed("leave", "", s.call(ctx, look, func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(s.db.beats, boot)
		return nil
	}))
}

// String names a position for a message.
func at(document string, p persistence.Position) string { return fmt.Sprintf("%s at %d", document, p) }
