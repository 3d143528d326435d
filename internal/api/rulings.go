package api

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"ysync/internal/auth"
)

// RulingOrder takes rights back that tokens have given.
type RulingOrder struct {
	// Subject, Token (an ID, jti) and Documents (a name, or a beginning and a *)
	// say whom and what it is on: all that are given have to match.
	Subject   string `json:"subject,omitempty"`
	Token     string `json:"token,omitempty"`
	Documents string `json:"documents,omitempty"`
	// Scope is the most that is left: none, silent, read or write; admin lifts an
	// earlier ruling on the same.
	Scope string `json:"scope"`
	// For is how long, such as 24h; empty for as long as a token may be good.
	For string `json:"for,omitempty"`
	// Later: tokens that are made from now on are meant too.
	Later  bool   `json:"later,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// Ruling is one that is in force.
type Ruling struct {
	Subject   string    `json:"subject,omitempty"`
	Token     string    `json:"token,omitempty"`
	Documents string    `json:"documents,omitempty"`
	Scope     string    `json:"scope"`
	Later     bool      `json:"later,omitempty"`
	At        time.Time `json:"at"`
	Until     time.Time `json:"until"`
	By        string    `json:"by,omitempty"`
	Reason    string    `json:"reason,omitempty"`
}

func rulingOf(r auth.Ruling) Ruling {
	return Ruling{r.Subject, r.Token, r.Documents, r.Scope.String(), r.Later, r.At, r.Until, r.By, r.Reason}
}

// Ruling undoes it.
func (r Ruling) Ruling() (auth.Ruling, error) {
	out := auth.Ruling{
		Subject: r.Subject, Token: r.Token, Documents: r.Documents, Later: r.Later,
		At: r.At, Until: r.Until, By: r.By, Reason: r.Reason,
	}
	return out, out.Scope.UnmarshalText([]byte(r.Scope))
}

// rule records a ruling.
func (a *API) rule(w http.ResponseWriter, c *call) error {
	if a.opt.Rulings == nil {
		return problem(http.StatusNotImplemented, CodeInvalid, "this server asks for no tokens, so there is nothing to take back")
	}
	var o RulingOrder
	if err := order(w, c, &o); err != nil {
		return err
	}
	now := a.opt.Now().UTC()
	r := auth.Ruling{
		Subject: o.Subject, Token: o.Token, Documents: o.Documents, Later: o.Later,
		At: now, Until: now.Add(a.opt.TokenLife), By: c.grant.Subject, Reason: o.Reason,
	}
	if err := r.Scope.UnmarshalText([]byte(o.Scope)); err != nil {
		return invalid("scope: %v", err)
	}
	if o.For != "" {
		d, err := time.ParseDuration(o.For)
		if err != nil || d <= 0 {
			return invalid("for: want a duration such as 24h")
		}
		r.Until = now.Add(d)
	}
	if err := r.Check(); err != nil {
		return invalid("%v", err)
	}
	if err := a.opt.Rulings.Rule(c.ctx, r); errors.Is(err, auth.ErrRuling) {
		return invalid("%v", err)
	} else if err != nil {
		return err
	}
	c.detail = rulingOf(r)
	return writeJSON(w, http.StatusCreated, rulingOf(r))
}

// rulings streams those in force, oldest first.
func (a *API) rulings(w http.ResponseWriter, _ *call) error {
	var list []auth.Ruling
	if a.opt.Rulings != nil {
		list = a.opt.Rulings.List(a.opt.Now())
	}
	return a.streamRulings(w, list)
}

func (a *API) streamRulings(w http.ResponseWriter, list []auth.Ruling) error {
	slices.SortFunc(list, func(x, y auth.Ruling) int {
		if d := x.At.Compare(y.At); d != 0 {
			return d
		}
		return strings.Compare(x.Key(), y.Key())
	})
	out := a.lines(w)
	end := count{}
	for _, r := range list {
		if out.put("ruling", rulingOf(r)) != nil {
			return nil // the reader went
		}
		end.Count++
	}
	return out.finish(end, nil)
}
