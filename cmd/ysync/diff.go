package main

import (
	"context"
	"fmt"
	"strings"

	"ysync/snapshots"
)

// diff sends a request whose answer is what changed between two moments, and
// prints that: for people a line per place, and below a text its runs with who
// wrote or removed them.
func (c *client) diff(ctx context.Context, r request, out *printer) error {
	var d snapshots.Diff
	if err := c.json(ctx, r, &d); err != nil {
		return err
	}
	out.row(&d, fmt.Sprintf("%s: position %d (%s) to %d (%s)", d.Document, d.From.Position, cell(d.From.Time), d.To.Position, cell(d.To.Time)))
	for _, m := range []snapshots.Mark{d.From, d.To} {
		if m.Short != "" {
			out.row(nil, "  earlier than asked: "+m.Short)
		}
	}
	if len(d.Changes) == 0 {
		out.row(nil, "no difference")
	}
	for _, e := range d.Changes {
		printEdit(out, &e)
	}
	return out.flush()
}

func printEdit(out *printer, e *snapshots.Edit) {
	var path strings.Builder
	for i, step := range e.Path {
		switch {
		case step.Indexed:
			fmt.Fprintf(&path, "[%d]", step.Index)
		case i > 0:
			path.WriteString("." + step.Key)
		default:
			path.WriteString(step.Key)
		}
	}
	if len(e.Text) == 0 {
		switch {
		case e.Old == nil:
			out.row(nil, "+ "+path.String(), string(e.New), by(e.By))
		case e.New == nil:
			out.row(nil, "- "+path.String(), string(e.Old), by(snapshots.By{Author: e.RemovedBy}))
		default:
			out.row(nil, "~ "+path.String(), string(e.Old)+" → "+string(e.New), by(e.By))
		}
		return
	}
	out.row(nil, "~ "+path.String())
	for _, run := range e.Text {
		text := fmt.Sprintf("%q", run.Text)
		if run.Embed != nil {
			text = string(run.Embed)
		}
		switch run.Change {
		case "added":
			out.row(nil, "    +", text, by(run.By))
		case "removed":
			out.row(nil, "    -", text, by(snapshots.By{Author: run.RemovedBy}))
		default:
			if before, after := string(run.Before), string(run.After); before != after {
				out.row(nil, "    ~", text, before+" → "+after)
				continue
			}
			out.row(nil, "     ", text)
		}
	}
}

func by(b snapshots.By) string {
	switch {
	case b.Author != "":
		return "by " + b.Author
	case b.DeliveredBy != "":
		return "delivered by " + b.DeliveredBy
	}
	return ""
}
