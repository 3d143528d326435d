package api

import (
	"errors"
	"net/http"
	"time"

	"ysync/persistence"
	"ysync/snapshots"
)

// Refused is a valid update that broke a limit, and is kept.
type Refused struct {
	// Document is empty when the file is damaged and all documents were asked for.
	Document string `json:"document,omitempty"`
	ID       string `json:"id"`
	// Time, Subject, Reason and Bytes are not known of a damaged one.
	Time    *time.Time `json:"time,omitempty"`
	Subject string     `json:"subject,omitempty"`
	Reason  string     `json:"reason,omitempty"`
	Bytes   int64      `json:"bytes"`
	// Waiting: it is in the memory of this server, which could not store it yet.
	Waiting bool `json:"waiting,omitempty"`
	// Damage is why it cannot be read.
	Damage string `json:"damage,omitempty"`
}

// refusedOf yields the refused updates that are kept of a document, or of all when
// its name is empty.
func (a *API) refusedOf(c *call, document string) func(func(Refused, error) bool) {
	return func(yield func(Refused, error) bool) {
		for _, r := range a.opt.Hub.Refused() {
			if document != "" && r.Document != document {
				continue
			}
			line := Refused{
				Document: r.Document, ID: snapshots.RefusedID(r.Update), Time: &r.Time, Subject: r.Subject, Reason: r.Reason,
				Bytes: int64(len(r.Update)), Waiting: true,
			}
			if !yield(line, nil) {
				return
			}
		}
		for r, err := range a.opt.Keeper.Refused(c.ctx, document) {
			line := Refused{Document: r.Document, ID: r.ID, Subject: r.Author, Reason: r.Reason, Bytes: r.Bytes}
			if r.Err != nil {
				line.Damage = r.Err.Error()
			} else {
				line.Time = &r.Time
			}
			if !yield(line, err) || err != nil {
				return
			}
		}
	}
}

// refused streams the refused updates that are kept.
func (a *API) refused(w http.ResponseWriter, c *call) error {
	document := c.URL.Query().Get("document")
	if document != "" && !persistence.ValidName(document) {
		return invalid("document: want the name of one")
	}
	out := a.lines(w)
	end := count{}
	for r, err := range a.refusedOf(c, document) {
		if err != nil {
			return out.finish(end, err)
		}
		if out.put("refused", r) != nil {
			return nil // the reader went
		}
		end.Count++
	}
	return out.finish(end, nil)
}

// refusedUpdate answers with the bytes of a refused update.
func (a *API) refusedUpdate(w http.ResponseWriter, c *call) error {
	id := c.PathValue("id")
	update, err := a.opt.Keeper.RefusedUpdate(c.ctx, c.document, id)
	if errors.Is(err, snapshots.ErrNotFound) {
		for _, r := range a.opt.Hub.Refused() {
			if r.Document == c.document && snapshots.RefusedID(r.Update) == id {
				update, err = r.Update, nil
			}
		}
	}
	if err != nil {
		return noRefused(err)
	}
	return writeBytes(w, update)
}

// dropRefused removes a refused update.
func (a *API) dropRefused(w http.ResponseWriter, c *call) error {
	id := c.PathValue("id")
	if err := a.opt.Keeper.DropRefused(c.ctx, c.document, id); err != nil {
		return noRefused(err)
	}
	return writeJSON(w, http.StatusOK, Refused{Document: c.document, ID: id})
}

func noRefused(err error) error {
	if errors.Is(err, snapshots.ErrNotFound) {
		return problem(http.StatusNotFound, CodeNotFound, "there is no refused update of this ID")
	}
	return err
}
