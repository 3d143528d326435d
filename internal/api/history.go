package api

import (
	"net/http"
	"time"

	"ysync/persistence"
	"ysync/snapshots"
)

// history streams who edited when.
func (a *API) history(w http.ResponseWriter, c *call) error {
	var opts snapshots.TimelineOptions
	var err error
	if opts.Since, err = instant(c, "since"); err != nil {
		return err
	}
	if opts.Until, err = instant(c, "until"); err != nil {
		return err
	}
	if opts.NewestFirst, err = flag(c, "newest_first"); err != nil {
		return err
	}
	if text := c.URL.Query().Get("pause"); text != "" {
		if opts.Pause, err = time.ParseDuration(text); err != nil || opts.Pause <= 0 {
			return invalid("pause: want a duration such as 5m")
		}
	}
	numbers := map[string]uint64{"after": 0, "to": 0, "generation": 0, "limit": 0}
	for name := range numbers {
		if numbers[name], err = number(c, name); err != nil {
			return err
		}
	}
	opts.After, opts.To = persistence.Position(numbers["after"]), persistence.Position(numbers["to"])
	opts.Generation = persistence.Generation(numbers["generation"])
	out := a.lines(w)
	end := count{}
	for stint, err := range a.opt.Keeper.Timeline(c.ctx, c.document, opts) {
		if err != nil {
			return out.finish(nil, err)
		}
		if n := numbers["limit"]; n > 0 && uint64(end.Count) == n {
			break
		}
		if out.put("stint", stint) != nil {
			return nil // the reader went
		}
		end.Count++
	}
	return out.finish(end, nil)
}

// diff answers with what changed between two moments.
func (a *API) diff(w http.ResponseWriter, c *call) error {
	if c.URL.Query().Get("from") == "" {
		return invalid("from: name a moment")
	}
	from, err := a.moment(c, "from")
	if err != nil {
		return err
	}
	to, err := a.moment(c, "to")
	if err != nil {
		return err
	}
	return a.writeDiff(w, c, from, to)
}

// authors answers with who wrote what is there at a moment: what changed since
// the document was empty.
func (a *API) authors(w http.ResponseWriter, c *call) error {
	at, err := a.moment(c, "at")
	if err != nil {
		return err
	}
	return a.writeDiff(w, c, snapshots.AtPosition(0), at)
}

func (a *API) writeDiff(w http.ResponseWriter, c *call, from, to snapshots.Moment) error {
	anonymous, err := flag(c, "anonymous")
	if err != nil {
		return err
	}
	d, err := a.opt.Keeper.Diff(c.ctx, c.document, from, to, snapshots.DiffOptions{Anonymous: anonymous})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, d)
}
