package snapshots

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"ysync/internal/metrics"
	"ysync/persistence"
)

// Scrubber reads everything that is stored of all documents again and again,
// slowly: what is damaged is told while the other copies of it are good.
// Keeper, Metrics and Logger are required. It begins where the one before it
// stopped, if it has States.
type Scrubber struct {
	Keeper  *Keeper
	Metrics *metrics.Metrics
	Logger  *zap.Logger
	// Every is the time from the begin of a pass over all documents to that of
	// the next; 0 means a week.
	Every time.Duration
	// Rate bounds the bytes read in a second; 0 means 4 MiB.
	Rate int
	// States keeps how far the pass is; nil begins anew with every Run.
	States ScrubStates
	// Now tells the time; nil means time.Now.
	Now func() time.Time
}

// ScrubStates keeps the state of a Scrubber over restarts.
type ScrubStates interface {
	// Load returns what Save kept last, the zero value for nothing.
	Load() (ScrubState, error)
	Save(ScrubState) error
}

// ScrubState is how far a pass over all documents is.
type ScrubState struct {
	// Began is when the pass began, Ended when it was through; zero while it
	// runs.
	Began time.Time `json:"began"`
	Ended time.Time `json:"ended,omitzero"`
	// After is the newest document dealt with.
	After     string `json:"after"`
	Documents int    `json:"documents"`
	// Damaged counts documents of which something is damaged.
	Damaged int   `json:"damaged"`
	Bytes   int64 `json:"bytes"`
}

// scrubKept is how often the state is kept.
const scrubKept = time.Minute

// Run runs until ctx ends, and returns its error.
func (s *Scrubber) Run(ctx context.Context) error {
	state := s.load()
	for {
		if !state.Ended.IsZero() {
			if err := rest(ctx, state.Began.Add(s.every()).Sub(s.now())); err != nil {
				return err
			}
			state = ScrubState{}
		}
		if state.Began.IsZero() {
			state.Began = s.now()
		}
		if err := s.Pass(ctx, &state); err != nil {
			if ctx.Err() != nil {
				return err
			}
			s.Logger.Error("the scrub stopped, and goes on in a minute", zap.String("after", state.After), zap.Error(err))
			if err := rest(ctx, time.Minute); err != nil {
				return err
			}
		}
	}
}

// Pass goes on with a pass to its end. The error is that of the listing or the
// context; damage is counted and logged.
func (s *Scrubber) Pass(ctx context.Context, state *ScrubState) error {
	kept := s.now()
	pace := rate.NewLimiter(rate.Limit(s.rate()), s.rate())
	defer s.save(state)
	for {
		names, erased, err := s.Keeper.some(ctx, state.After)
		var about *persistence.Error
		if err != nil && len(names) == 0 && errors.As(err, &about) && about.Document > state.After && isDamage(err) {
			// What the log knows of one document cannot be read. The others can.
			s.damage(about.Document, metrics.ScrubRecord, err)
			state.After, state.Documents, state.Damaged = about.Document, state.Documents+1, state.Damaged+1
			continue
		}
		if err != nil && len(names) == 0 {
			return err
		}
		if len(names) == 0 {
			state.Ended = s.now()
			s.Metrics.ScrubDoneSeconds.Set(float64(state.Ended.Unix()))
			s.Metrics.ScrubDamagedDocuments.Set(float64(state.Damaged))
			s.Logger.Info("everything that is stored was read", zap.Int("documents", state.Documents),
				zap.Int("damaged", state.Damaged), zap.Int64("bytes", state.Bytes), zap.Duration("took", state.Ended.Sub(state.Began)))
			return nil
		}
		for i, name := range names {
			if !erased[i] {
				if err := s.document(ctx, name, state, pace); err != nil {
					return err
				}
			}
			state.After = name
			if now := s.now(); now.Sub(kept) >= scrubKept {
				kept = now
				s.save(state)
			}
		}
	}
}

// document reads one document. The error is the context's.
func (s *Scrubber) document(ctx context.Context, name string, state *ScrubState, pace *rate.Limiter) error {
	read := func(n int64) error {
		state.Bytes += n
		s.Metrics.ScrubBytesTotal.Add(float64(n))
		for ; n > 0; n -= int64(s.rate()) {
			if err := pace.WaitN(ctx, int(min(n, int64(s.rate())))); err != nil {
				return err
			}
		}
		return nil
	}
	damaged, failed := false, false
	for f, err := range s.Keeper.Check(ctx, name) {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			failed = true
			s.Logger.Error("a document could not be scrubbed", zap.String("document", name), zap.Error(err))
			continue
		case errors.Is(f.Err, ErrNotFound):
			continue // thinned out meanwhile
		case f.Err != nil && isDamage(f.Err):
			damaged = true
			s.damage(name, f.Kind, f.Err)
		case f.Err != nil:
			failed = true
			s.Logger.Error("a file could not be scrubbed", zap.String("document", name), zap.Error(f.Err))
		}
		if err := read(f.Size); err != nil {
			return err
		}
	}
	log, err := s.Keeper.CheckLog(ctx, name)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil && isDamage(err):
		damaged = true
		s.damage(name, metrics.ScrubRecord, err)
	case err != nil && !errors.Is(err, persistence.ErrErased):
		failed = true
		s.Logger.Error("the log of a document could not be scrubbed", zap.String("document", name), zap.Error(err))
	}
	for _, e := range log.Damaged {
		damaged = true
		s.damage(name, metrics.ScrubEntry, e.Err)
	}
	if err := read(log.Bytes); err != nil {
		return err
	}
	state.Documents++
	result := metrics.OK
	switch {
	case damaged:
		state.Damaged++
		result = metrics.ScrubDamaged
	case failed:
		result = metrics.Failed
	}
	s.Metrics.ScrubDocumentsTotal.WithLabelValues(result).Inc()
	return nil
}

func (s *Scrubber) damage(document, what string, err error) {
	s.Metrics.ScrubDamageTotal.WithLabelValues(what).Inc()
	s.Logger.Error("STORED DATA IS DAMAGED: look with `ysync doc repair --dry-run`",
		zap.String("document", document), zap.String("what", what), zap.Error(err))
}

func (s *Scrubber) load() ScrubState {
	if s.States == nil {
		return ScrubState{}
	}
	state, err := s.States.Load()
	if err != nil {
		s.Logger.Warn("how far the scrub was is not known, it begins anew", zap.Error(err))
		return ScrubState{}
	}
	if !state.Ended.IsZero() {
		s.Metrics.ScrubDoneSeconds.Set(float64(state.Ended.Unix()))
		s.Metrics.ScrubDamagedDocuments.Set(float64(state.Damaged))
	}
	return state
}

func (s *Scrubber) save(state *ScrubState) {
	if s.States == nil {
		return
	}
	if err := s.States.Save(*state); err != nil {
		s.Logger.Warn("how far the scrub is could not be kept", zap.Error(err))
	}
}

func (s *Scrubber) every() time.Duration {
	if s.Every > 0 {
		return s.Every
	}
	return 7 * 24 * time.Hour
}

func (s *Scrubber) rate() int {
	if s.Rate > 0 {
		return s.Rate
	}
	return 4 << 20
}

func (s *Scrubber) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}
