package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"ysync/internal/api"
	"ysync/snapshots"
)

// jsonFlag is what commands with a table for people have.
type jsonFlag struct {
	JSON bool `help:"Print JSON instead, one object per line." env:"-"`
}

// printer prints rows: aligned for people, or as JSON.
type printer struct {
	json  *json.Encoder
	table *tabwriter.Writer
	err   error // the first of writing JSON
}

func (f jsonFlag) printer(s streams, heads ...any) *printer {
	if f.JSON {
		return &printer{json: json.NewEncoder(s.out)}
	}
	p := &printer{table: tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)}
	if len(heads) > 0 {
		p.row(nil, heads...)
	}
	return p
}

// row prints a value as JSON, or its cells.
func (p *printer) row(value any, cells ...any) {
	if p.json != nil {
		if value != nil && p.err == nil {
			p.err = p.json.Encode(value)
		}
		return
	}
	texts := make([]string, len(cells))
	for i, c := range cells {
		// What was stored under a hostile name must not move the cursor.
		texts[i] = strings.Map(func(r rune) rune {
			if r < ' ' || r == 0x7f {
				return '?'
			}
			return r
		}, cell(c))
	}
	fmt.Fprintln(p.table, strings.Join(texts, "\t"))
}

// flush writes what is left, and returns what kept a row from being written.
func (p *printer) flush() error {
	if p.table != nil {
		return p.table.Flush()
	}
	return p.err
}

// show sends a request and prints its answer, by rows.
func show[T any](ctx context.Context, c *client, r request, out *printer, rows func(t T)) error {
	var t T
	if err := c.json(ctx, r, &t); err != nil {
		return err
	}
	rows(t)
	return out.flush()
}

// cell is how a value is shown to people.
func cell(v any) string {
	switch v := v.(type) {
	case time.Time:
		if v.IsZero() {
			return "-"
		}
		return v.Format(time.RFC3339)
	case *time.Time:
		if v == nil {
			return "-"
		}
		return cell(*v)
	case size:
		return v.String()
	case string:
		if v == "" {
			return "-"
		}
		return v
	}
	return fmt.Sprint(v)
}

// String is the size for people, in binary units.
func (s size) String() string {
	n, unit := float64(s), "B"
	for _, u := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if n < 1024 {
			break
		}
		n, unit = n/1024, u
	}
	if unit == "B" {
		return fmt.Sprintf("%d B", int64(s))
	}
	return fmt.Sprintf("%.1f %s", n, unit)
}

// moment reads a moment as people write it, in the zone of this machine, and
// returns it as the API reads it.
func moment(text string) (string, error) {
	m, err := snapshots.ParseMoment(text, time.Now())
	if err != nil {
		return "", &exitError{exitUsage, err}
	}
	return m.String(), nil
}

// instant reads a time as people write it; empty stays empty.
func instant(name, text string) (string, error) {
	if text == "" {
		return "", nil
	}
	at, err := moment(text)
	if err == nil {
		_, err = time.Parse(time.RFC3339Nano, at)
	}
	if err != nil {
		return "", &exitError{exitUsage, fmt.Errorf("--%s: %q: want a time, such as 2026-11-17 14:05 or 2h ago", name, text)}
	}
	return at, nil
}

// bar shows how far long work is, on a terminal only.
type bar struct {
	w    *os.File
	what string
	bar  *progressbar.ProgressBar
}

func newBar() *bar {
	if !term.IsTerminal(int(os.Stderr.Fd())) {
		return &bar{}
	}
	return &bar{w: os.Stderr}
}

func (b *bar) show(p api.Progress) {
	if b.w == nil {
		return
	}
	if b.bar == nil || b.what != p.What {
		b.done()
		b.what = p.What
		b.bar = progressbar.NewOptions64(max(p.Total, -1), progressbar.OptionSetWriter(b.w),
			progressbar.OptionSetDescription(p.What), progressbar.OptionShowCount(),
			progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
	}
	_ = b.bar.Set64(p.Done) // it is shown when it can be
}

func (b *bar) done() {
	if b.bar != nil {
		_ = b.bar.Clear()
		b.bar = nil
	}
}

// confirm asks before something is done that cannot be undone.
type confirm struct {
	rehearsal

	Yes bool `help:"Do not ask. Needed when nobody is at the terminal." env:"-"`
}

func (c confirm) ask(s streams, question string) error {
	if c.Yes || c.DryRun {
		return nil
	}
	if !term.IsTerminal(int(os.Stdin.Fd())) || !term.IsTerminal(int(os.Stderr.Fd())) {
		return &exitError{exitUsage, errors.New(question + " Give --yes, or --dry-run to see what would happen.")}
	}
	fmt.Fprint(s.err, question+" Type yes: ")
	line, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if strings.TrimSpace(line) != "yes" {
		return errors.New("nothing was done")
	}
	return nil
}
