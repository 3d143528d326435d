package api

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"ysync/crdt"
	"ysync/internal/hub"
	"ysync/persistence"
	"ysync/snapshots"
)

// Applied is the answer to a change. Everything up to Position is durable.
type Applied struct {
	Document string `json:"document"`
	Position uint64 `json:"position"`
	// Changed: the document was changed by it.
	Changed bool `json:"changed"`
	// Pending: part of it waits for updates that the document lacks.
	Pending bool `json:"pending,omitempty"`
	// DryRun: nothing was changed; the rest tells what would be.
	DryRun bool `json:"dry_run,omitempty"`
}

func applied(document string, o hub.Outcome) Applied {
	return Applied{Document: document, Position: uint64(o.Position), Changed: o.Changed, Pending: o.Pending}
}

// update reads an update from the body, as update V1.
func (a *API) update(w http.ResponseWriter, c *call) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, c.Body, a.opt.MaxUpdate))
	if err != nil {
		return nil, err
	}
	switch format := c.URL.Query().Get("format"); format {
	case "", "v1":
		return body, nil
	case "v2":
		return crdt.Convert(crdt.V2, crdt.V1, body)
	default:
		return nil, invalid("format: want v1 or v2")
	}
}

// terms reads the conditions of a change: If-Match with a position, or
// If-None-Match: * for a document that is not there yet.
func terms(c *call) (hub.Terms, error) {
	t := hub.Terms{Author: c.grant.Subject}
	if text := c.Header.Get("If-Match"); text != "" {
		n, err := strconv.ParseUint(strings.Trim(text, `"`), 10, 63)
		if err != nil {
			return t, invalid("If-Match: want a position")
		}
		at := persistence.Position(n)
		t.At = &at
	}
	switch c.Header.Get("If-None-Match") {
	case "":
	case "*":
		t.New = true
	default:
		return t, invalid("If-None-Match: want *")
	}
	return t, nil
}

// apply applies an update.
func (a *API) apply(w http.ResponseWriter, c *call) error {
	t, err := terms(c)
	if err != nil {
		return err
	}
	update, err := a.update(w, c)
	if err != nil {
		return err
	}
	return a.change(w, c, http.StatusOK,
		func() (hub.Outcome, error) { return a.opt.Hub.Apply(c.ctx, c.document, t, update) },
		func() (Applied, error) { return a.rehearse(c, t, applying(update)) })
}

// seed gives a document its initial content, once.
func (a *API) seed(w http.ResponseWriter, c *call) error {
	key := c.Header.Get("Idempotency-Key")
	if !persistence.ValidSeedKey(key) {
		return invalid("Idempotency-Key: want 1 to %d bytes of UTF-8", persistence.MaxSeedKey)
	}
	update, err := a.update(w, c)
	if err != nil {
		return err
	}
	return a.change(w, c, http.StatusCreated,
		func() (hub.Outcome, error) {
			return a.opt.Hub.Seed(c.ctx, c.document, c.grant.Subject, key, update)
		},
		func() (Applied, error) { return a.rehearseSeed(c, key, update) })
}

// RestoreOrder says what a document is to be restored to, and where. Exactly
// one of Into and InPlace is given.
type RestoreOrder struct {
	// At is a moment of the document.
	At string `json:"at"`
	// Into names a document that does not exist yet.
	Into string `json:"into,omitempty"`
	// InPlace reverts the document itself, by ordinary edits that merge with
	// those of clients.
	InPlace bool `json:"in_place,omitempty"`
}

// Restored is the answer to a restore.
type Restored struct {
	Applied
	// From is the moment that was restored.
	From RestoredMoment `json:"from"`
	// Added and Deleted are the units (UTF-16 code units, values, formats) that
	// a revert makes and deletes.
	Added   uint64 `json:"added"`
	Deleted uint64 `json:"deleted"`
	// Undo is the moment to revert to, to undo a revert.
	Undo string `json:"undo,omitempty"`
}

// RestoredMoment is a moment as it was reached.
type RestoredMoment struct {
	Document   string     `json:"document"`
	Generation uint64     `json:"generation"`
	Position   uint64     `json:"position"`
	Time       *time.Time `json:"time,omitempty"`
	// Short says why it is an earlier one than was asked for.
	Short string `json:"short,omitempty"`
}

func momentOf(p snapshots.Point) RestoredMoment {
	m := RestoredMoment{Document: p.Document, Generation: uint64(p.Generation), Position: uint64(p.Position)}
	if !p.Time.IsZero() {
		m.Time = &p.Time
	}
	if p.Short != nil {
		m.Short = p.Short.Error()
	}
	return m
}

// restore brings a moment back, in a new document or in place.
func (a *API) restore(w http.ResponseWriter, c *call) error {
	var o RestoreOrder
	if err := order(w, c, &o); err != nil {
		return err
	}
	dry, err := flag(c, "dry_run")
	if err != nil {
		return err
	}
	switch {
	case o.At == "":
		return invalid("at: name a moment")
	case (o.Into != "") == o.InPlace:
		return invalid("give either into, a new document, or in_place")
	case o.Into != "":
		if err := a.checkTarget(c, o.Into); err != nil {
			return err
		}
	}
	m, err := a.parseMoment(o.At)
	if err != nil {
		return err
	}
	t, err := terms(c)
	if err != nil {
		return err
	}
	past, point, err := a.opt.Keeper.At(c.ctx, c.document, m, snapshots.AtOptions{})
	if err != nil {
		return err
	}
	answer := Restored{Applied: Applied{DryRun: dry}, From: momentOf(point)}
	switch {
	case o.InPlace && dry:
		err = a.rehearseRevert(c, past, &answer)
	case o.InPlace:
		err = a.revert(c, t, past, &answer)
	default:
		err = a.restoreInto(c, o.Into, past, &answer)
	}
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, answer)
}

// restoreInto makes a new document of a past state.
func (a *API) restoreInto(c *call, into string, past *crdt.Doc, answer *Restored) error {
	sv := past.StateVector()
	for _, clock := range sv.All() {
		answer.Added += uint64(clock)
	}
	answer.Document = into
	if answer.DryRun {
		rec, err := a.opt.Log.Open(c.ctx, into)
		switch {
		case err != nil:
			return err
		case !rec.Tombstone.IsZero():
			return persistence.ErrErased
		case rec.Head > 0:
			return hub.ErrExists
		}
		return nil
	}
	// What waits for a dependency never was visible, and in a new document it
	// would wait for ever.
	update := past.AppendDiff(nil, crdt.V1, crdt.StateVector{})
	out, err := a.opt.Hub.Apply(c.ctx, into, hub.Terms{Author: c.grant.Subject, New: true}, update)
	answer.Applied = applied(into, out)
	return err
}

// revert makes a document what it was.
func (a *API) revert(c *call, t hub.Terms, past *crdt.Doc, answer *Restored) error {
	out, err := a.opt.Hub.Edit(c.ctx, c.document, t, func(tx *crdt.Txn) { tx.Revert(past) })
	if err != nil {
		return err
	}
	answer.Applied = applied(c.document, out)
	answer.Added, answer.Deleted = out.Added, out.Deleted
	if out.Changed {
		answer.Undo = snapshots.AtPosition(out.Position - 1).String()
	}
	return nil
}

// rehearseRevert tells what a revert would do, on a copy.
func (a *API) rehearseRevert(c *call, past *crdt.Doc, answer *Restored) error {
	doc, rec, _, err := a.opt.Keeper.Load(c.ctx, c.document)
	if err != nil {
		return err
	}
	commit, err := doc.Transact(nil, func(tx *crdt.Txn) { tx.Revert(past) })
	if err != nil {
		return err
	}
	out := hub.OutcomeOf(commit)
	out.Position = rec.Head
	answer.Applied = applied(c.document, out)
	answer.Added, answer.Deleted, answer.DryRun = out.Added, out.Deleted, true
	return nil
}
