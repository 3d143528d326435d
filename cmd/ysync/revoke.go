package main

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"ysync/internal/api"
	"ysync/internal/auth"
)

type accessCmd struct {
	Revoke revokeCmd     `cmd:"" help:"Take all rights back; sessions end within seconds."`
	Limit  limitCmd      `cmd:"" help:"Change a role: leave no more than a scope."`
	Lift   liftCmd       `cmd:"" help:"Lift what revoke or limit did on the same."`
	List   accessListCmd `cmd:"" help:"List what is taken back."`
}

// whomFlags say whom a ruling is on. All that are given have to match.
type whomFlags struct {
	Subject   string `help:"Whom: the subject of tokens." env:"-"`
	TokenID   string `help:"Which token: its ID (jti)." env:"-"`
	Documents string `help:"Which documents: a name, or a beginning and a *; acme/* is a tenant." env:"-"`
}

// moreFlags say how a ruling holds.
type moreFlags struct {
	For    time.Duration `help:"How long; 0 for as long as a token may be good." default:"0s" env:"-"`
	Later  bool          `help:"Tokens that are made from now on are meant too; without it a new token is a way in again." env:"-"`
	Reason string        `help:"What for." env:"-"`
}

type revokeCmd struct {
	target
	whomFlags
	moreFlags
	jsonFlag
}

// Run takes all rights back.
func (c *revokeCmd) Run(ctx context.Context, s streams) error {
	return rule(ctx, s, c.target, c.jsonFlag, c.order(auth.None, c.moreFlags))
}

type limitCmd struct {
	target
	whomFlags
	moreFlags
	To string `help:"The most that is left: ${enum}." required:"" enum:"silent,read,write" env:"-"`
	jsonFlag
}

// Run changes a role.
func (c *limitCmd) Run(ctx context.Context, s streams) error {
	scope, err := auth.ParseScope(c.To)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	return rule(ctx, s, c.target, c.jsonFlag, c.order(scope, c.moreFlags))
}

type liftCmd struct {
	target
	whomFlags
	jsonFlag
}

// Run lifts what was taken back.
func (c *liftCmd) Run(ctx context.Context, s streams) error {
	return rule(ctx, s, c.target, c.jsonFlag, c.order(auth.Admin, moreFlags{}))
}

func (w whomFlags) order(scope auth.Scope, more moreFlags) api.RulingOrder {
	o := api.RulingOrder{
		Subject: w.Subject, Token: w.TokenID, Documents: w.Documents,
		Scope: scope.String(), Later: more.Later, Reason: more.Reason,
	}
	if more.For != 0 {
		o.For = more.For.String()
	}
	return o
}

func rule(ctx context.Context, s streams, t target, f jsonFlag, o api.RulingOrder) error {
	return t.with(ctx, s, own, func(ctx context.Context, client *client) error {
		out := f.printer(s, rulingHeads...)
		return show(ctx, client, request{method: http.MethodPost, path: []string{"rulings"}, body: o}, out, func(r api.Ruling) { rulingRow(out, r) })
	})
}

var rulingHeads = []any{"SUBJECT", "TOKEN", "DOCUMENTS", "LEFT", "SINCE", "UNTIL", "BY"}

func rulingRow(out *printer, r api.Ruling) {
	out.row(r, orAny(r.Subject), orAny(r.Token), orAny(r.Documents), r.Scope, r.At, r.Until, r.By)
}

func orAny(s string) string {
	if s == "" {
		return "any"
	}
	return s
}

type accessListCmd struct {
	target
	jsonFlag
}

// Run lists what is taken back.
func (c *accessListCmd) Run(ctx context.Context, s streams) error {
	return c.with(ctx, s, look, func(ctx context.Context, client *client) error {
		out := c.printer(s, rulingHeads...)
		err := client.lines(ctx, request{method: http.MethodGet, path: []string{"rulings"}}, &struct{}{}, func(_ string, value json.RawMessage) error {
			var r api.Ruling
			if err := json.Unmarshal(value, &r); err != nil {
				return err
			}
			rulingRow(out, r)
			return nil
		})
		if err != nil {
			return err
		}
		return out.flush()
	})
}
