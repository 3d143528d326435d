package main

import "strconv"

// rehearsal is what commands have that change something.
type rehearsal struct {
	DryRun bool `help:"Only tell what would happen, and change nothing." env:"-"`
}

// use is what the command does with the stores.
func (f rehearsal) use() use {
	if f.DryRun {
		return look
	}
	return own
}

// order asks for the change, or for the rehearsal.
func (f rehearsal) order(r request) request {
	r.query.Set("dry_run", strconv.FormatBool(f.DryRun))
	return r
}

// did says for people that something was done, or would be.
func (f rehearsal) did(done string) string {
	if f.DryRun {
		return "would be " + done
	}
	return done
}
