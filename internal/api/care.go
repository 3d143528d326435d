package api

import (
	"errors"
	"net/http"
	"time"

	"ysync/internal/hub"
	"ysync/snapshots"
)

// QuarantineState is why a document is not loaded any more.
type QuarantineState struct {
	Since  time.Time `json:"since"`
	Reason string    `json:"reason"`
}

func (a *API) quarantine(document string) *QuarantineState {
	q, ok := a.opt.Hub.QuarantineOf(document)
	if !ok {
		return nil
	}
	return &QuarantineState{q.Since, q.Reason}
}

// SizesState is what a document takes.
type SizesState struct {
	// LogBytes are those of the updates that the log holds.
	LogBytes  int64      `json:"log_bytes"`
	Snapshots FilesState `json:"snapshots"`
	Segments  FilesState `json:"segments"`
	// DamagedEntries of the log cannot be read.
	DamagedEntries int `json:"damaged_entries,omitempty"`
	// MemoryBytes, LiveUnits and DeletedUnits are known of documents in memory.
	MemoryBytes  int    `json:"memory_bytes,omitempty"`
	LiveUnits    uint64 `json:"live_units,omitempty"`
	DeletedUnits uint64 `json:"deleted_units,omitempty"`
	// DeletedPerLive is how many units were deleted for each that lives.
	DeletedPerLive float64 `json:"deleted_per_live,omitempty"`
}

// sizes reads what a document takes. It reads its whole log, and the headers of
// its files.
func (a *API) sizes(c *call, document string) (*SizesState, error) {
	s := &SizesState{}
	one := *c
	one.document = document
	var files Explanation
	if err := a.files(&one, &files); err != nil {
		return nil, err
	}
	s.Snapshots, s.Segments = files.Snapshots, files.Segments
	log, err := a.opt.Keeper.CheckLog(c.ctx, document)
	if err != nil {
		return nil, err
	}
	s.LogBytes, s.DamagedEntries = log.Bytes, len(log.Damaged)
	stats, loaded, err := a.opt.Hub.Inspect(c.ctx, document)
	if err == nil && loaded {
		s.MemoryBytes, s.LiveUnits, s.DeletedUnits = stats.MemoryBytes, stats.Units.Live, stats.Units.Deleted
		s.DeletedPerLive = perLive(stats)
	}
	return s, err
}

func perLive(s hub.DocumentStats) float64 {
	return float64(s.Units.Deleted) / float64(max(s.Units.Live, 1))
}

// Retried is the answer to a retry.
type Retried struct {
	Document string `json:"document"`
	// Loaded: the document is served again.
	Loaded bool `json:"loaded"`
	// Quarantine is why not.
	Quarantine *QuarantineState `json:"quarantine,omitempty"`
}

// retry ends the quarantine of a document and loads it.
func (a *API) retry(w http.ResponseWriter, c *call) error {
	if _, err := a.known(c); err != nil {
		return err
	}
	answer := Retried{Document: c.document, Loaded: true}
	err := a.opt.Hub.Retry(c.ctx, c.document)
	if damaged, ok := errors.AsType[*hub.DamagedError](err); ok {
		answer.Loaded = false
		answer.Quarantine = &QuarantineState{damaged.Since, damaged.Reason}
	} else if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, answer)
}

// repair finds out what is damaged of a document and puts it right.
func (a *API) repair(w http.ResponseWriter, c *call) error {
	dry, err := flag(c, "dry_run")
	if err != nil {
		return err
	}
	opts := snapshots.RepairOptions{Owner: "repair", Author: c.grant.Subject, Now: a.opt.Now()}
	if !dry {
		if a.opt.Aside == nil {
			return problem(http.StatusNotImplemented, CodeInternal, "this server has no place for damaged bytes")
		}
		opts.Aside = a.opt.Aside
	}
	report, err := a.opt.Keeper.Repair(c.ctx, c.document, opts)
	if err != nil {
		return err
	}
	if report.Repaired {
		// Whoever holds the document lost it by the claim; now it loads anew.
		if err := a.opt.Hub.Retry(c.ctx, c.document); err != nil && !errors.Is(err, hub.ErrEnded) {
			return err
		}
	}
	return writeJSON(w, http.StatusOK, report)
}
