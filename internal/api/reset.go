package api

import (
	"net/http"

	"go.uber.org/zap"

	"ysync/crdt"
	"ysync/persistence"
	"ysync/snapshots"
)

// ResetOrder says what a document is to hold after a reset.
type ResetOrder struct {
	// At is a moment of the document; empty for what it holds now.
	At string `json:"at,omitempty"`
}

// ResetReport is the answer to a ResetOrder.
type ResetReport struct {
	Document string `json:"document"`
	// Generation is the one that the reset began, Position where it begins.
	Generation uint64 `json:"generation"`
	Position   uint64 `json:"position"`
	// From is the moment that it holds.
	From RestoredMoment `json:"from"`
	// Before is the newest moment of the generation before.
	Before string `json:"before"`
	// Sessions is how many clients were connected: they were closed with 4409.
	Sessions int `json:"sessions"`
	// Clients is how many have ever edited what is there, and are retired.
	Clients int `json:"clients"`
	// DryRun: nothing was changed; the rest tells what would be.
	DryRun bool `json:"dry_run,omitempty"`
}

// reset begins the document's next generation.
func (a *API) reset(w http.ResponseWriter, c *call) error {
	var o ResetOrder
	if err := order(w, c, &o); err != nil {
		return err
	}
	dry, err := flag(c, "dry_run")
	if err != nil {
		return err
	}
	if _, err := a.known(c); err != nil {
		return err
	}
	now, rec, _, err := a.opt.Keeper.Load(c.ctx, c.document)
	if err != nil {
		return err
	}
	report := ResetReport{
		Document: c.document, Generation: uint64(rec.Generation + 1), Position: uint64(persistence.FirstOfReset),
		From:    RestoredMoment{Document: c.document, Generation: uint64(rec.Generation), Position: uint64(rec.Head)},
		Before:  snapshots.AtPosition(rec.Head).In(rec.Generation).String(),
		Clients: now.StateVector().Len(), DryRun: dry,
	}
	if !rec.Updated.IsZero() {
		report.From.Time = &rec.Updated
	}
	var from *crdt.Doc
	if o.At != "" && o.At != snapshots.Now().String() {
		m, err := a.parseMoment(o.At)
		if err != nil {
			return err
		}
		var point snapshots.Point
		if from, point, err = a.opt.Keeper.At(c.ctx, c.document, m, snapshots.AtOptions{}); err != nil {
			return err
		}
		report.From = momentOf(point)
	}
	stats, _, err := a.opt.Hub.Inspect(c.ctx, c.document)
	if err != nil {
		return err
	}
	report.Sessions = stats.Subscriptions
	if dry {
		return writeJSON(w, http.StatusOK, report)
	}
	generation, err := a.opt.Hub.Reset(c.ctx, c.document, c.grant.Subject, from)
	if err != nil {
		return err
	}
	report.Generation = uint64(generation)
	a.opt.Logger.Info("audit: document reset", zap.String("document", c.document), zap.String("subject", c.grant.Subject),
		zap.Uint64("generation", report.Generation), zap.String("at", o.At), zap.Uint64("from_generation", report.From.Generation),
		zap.Uint64("from_position", report.From.Position), zap.Int("sessions", report.Sessions))
	return writeJSON(w, http.StatusOK, report)
}
