package api

import (
	"context"
	"errors"
	"net/http"

	"ysync/crdt"
	"ysync/internal/hub"
	"ysync/persistence"
)

// change answers with what a change did, with the status if it changed anything;
// or with what it would do.
func (a *API) change(w http.ResponseWriter, c *call, status int, do func() (hub.Outcome, error), rehearse func() (Applied, error)) error {
	dry, err := flag(c, "dry_run")
	if err != nil {
		return err
	}
	if dry {
		answer, err := rehearse()
		if err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, answer)
	}
	out, err := do()
	if err != nil {
		return err
	}
	if !out.Changed {
		status = http.StatusOK
	}
	return writeJSON(w, status, applied(c.document, out))
}

// rehearse makes a change on a copy of the document as it is now. What limits
// would say to it is not known then.
func (a *API) rehearse(c *call, t hub.Terms, change func(copied *crdt.Doc) (*crdt.Commit, error)) (Applied, error) {
	copied, at, err := a.copyUnder(c.ctx, c.document, t)
	if err != nil {
		return Applied{}, err
	}
	commit, err := change(copied)
	if err != nil {
		return Applied{}, err
	}
	answer := applied(c.document, hub.OutcomeOf(commit))
	answer.Position, answer.DryRun = uint64(at), true
	return answer, nil
}

// rehearseSeed is the same for initial content.
func (a *API) rehearseSeed(c *call, key string, update []byte) (Applied, error) {
	rec, err := a.opt.Log.Open(c.ctx, c.document)
	if err != nil {
		return Applied{}, err
	}
	if rec.Head > 0 && rec.SeedKey == key {
		return Applied{Document: c.document, Position: uint64(rec.Head), DryRun: true}, nil
	}
	return a.rehearse(c, hub.Terms{New: true}, applying(update))
}

// copyUnder is a copy of a document, of the position at, if the terms of a change
// let it happen now.
func (a *API) copyUnder(ctx context.Context, document string, t hub.Terms) (copied *crdt.Doc, at persistence.Position, err error) {
	state, err := a.opt.Hub.Document(ctx, document)
	if err != nil && !errors.Is(err, hub.ErrNotFound) {
		return nil, 0, err
	}
	if t.New && state.Position > 0 {
		return nil, 0, hub.ErrExists
	}
	if t.At != nil && *t.At != state.Position {
		return nil, 0, hub.ErrChanged
	}
	copied = crdt.New(crdt.Options{NoFormatCleanup: true})
	if len(state.Update) > 0 {
		if _, err := copied.Apply(nil, crdt.V2, state.Update); err != nil {
			return nil, 0, err
		}
	}
	return copied, state.Position, nil
}

// applying rehearses an update V1.
func applying(update []byte) func(copied *crdt.Doc) (*crdt.Commit, error) {
	return func(copied *crdt.Doc) (*crdt.Commit, error) { return copied.Apply(nil, crdt.V1, update) }
}
