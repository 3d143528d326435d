package main

import (
	"context"
	"fmt"
	"net/http"

	"ysync/internal/api"
)

type docResetCmd struct {
	target
	documentArg
	atFlag
	confirm
	jsonFlag
}

// Run resets a document.
func (c *docResetCmd) Run(ctx context.Context, s streams) error {
	at, err := moment(c.At)
	if err != nil {
		return err
	}
	if err := c.ask(s, fmt.Sprintf("Resetting %q closes its clients and refuses what they have, edits that they made offline included.", c.Document)); err != nil {
		return err
	}
	return c.with(ctx, s, c.use(), func(ctx context.Context, client *client) error {
		r := c.order(c.request(http.MethodPost, "reset"))
		r.body = api.ResetOrder{At: at}
		out := c.printer(s)
		return show(ctx, client, r, out, func(t api.ResetReport) {
			out.row(t, t.Document, c.did("reset"))
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
