package main

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	"ysync/internal/api"
)

type docResetCmd struct {
	target
	documentArg
	atFlag
	DryRun bool `help:"Only tell what would happen." env:"-"`
	confirm
	jsonFlag
}

// Run resets a document.
func (c *docResetCmd) Run(ctx context.Context, s streams) error {
	at, err := moment(c.At)
	if err != nil {
		return err
	}
	what := own
	if c.DryRun {
		what = look
	} else if err := c.ask(s, fmt.Sprintf("Resetting %q closes its clients and refuses what they have, edits that they made offline included.", c.Document)); err != nil {
		return err
	}
	return c.with(ctx, s, what, func(ctx context.Context, client *client) error {
		r := c.request(http.MethodPost, "reset")
		r.query.Set("dry_run", strconv.FormatBool(c.DryRun))
		r.body = api.ResetOrder{At: at}
		out := c.printer(s)
		return show(ctx, client, r, out, func(t api.ResetReport) {
			did := "reset"
			if c.DryRun {
				did = "would be reset"
			}
			out.row(t, t.Document, did)
			for _, line := range [][]any{
				{"generation", t.Generation},
				{"holds", shownMoment(t.From)},
				{"sessions closed", t.Sessions},
				{"clients retired", t.Clients},
				{"before it", t.Before},
			} {
				out.row(nil, line...)
			}
			if t.From.Short != "" {
				out.row(nil, "earlier than asked", t.From.Short)
			}
		})
	})
}

// shownMoment is a moment for people.
func shownMoment(m api.RestoredMoment) string {
	text := fmt.Sprintf("position %d", m.Position)
	if m.Generation > 1 {
		text += fmt.Sprintf(" of generation %d", m.Generation)
	}
	return fmt.Sprintf("%s, of %s", text, cell(m.Time))
}
