package main

import (
	"fmt"
	"strings"

	"ysync/snapshots"
)

// printDiff prints what changed between two moments for people: a line per
// place, and below a text its runs with who wrote or removed them.
func printDiff(s streams, d *snapshots.Diff) error {
	out := jsonFlag{}.printer(s)
	out.row(nil, fmt.Sprintf("%s: position %d (%s) to %d (%s)", d.Document, d.From.Position, cell(d.From.Time), d.To.Position, cell(d.To.Time)))
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
			out.row(nil, "- "+path.String(), string(e.Old), removed(e.RemovedBy))
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
			out.row(nil, "    -", text, removed(run.RemovedBy))
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

func removed(subject string) string {
	if subject == "" {
		return ""
	}
	return "by " + subject
}
