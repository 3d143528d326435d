package api

import (
	"net/http"
	"time"

	"ysync/snapshots"
)

// Erased is the report of an erasure.
type Erased struct {
	Document string `json:"document"`
	// At is when the tombstone was put; every later connection is closed with
	// 4404.
	At *time.Time `json:"at,omitempty"`
	// Entries is how many log entries there were, Sessions how many clients
	// were connected.
	Entries  uint64 `json:"entries"`
	Sessions int    `json:"sessions"`
	// Snapshots and Segments are the files that were there, Files and Bytes
	// what was removed.
	Snapshots FilesState `json:"snapshots"`
	Segments  FilesState `json:"segments"`
	Files     int        `json:"files"`
	Bytes     int64      `json:"bytes"`
	// DryRun: nothing was changed; the rest tells what would be.
	DryRun bool `json:"dry_run,omitempty"`
}

// erase removes a document for good. Running it again completes one that was
// cut off.
func (a *API) erase(w http.ResponseWriter, c *call) error {
	dry, err := flag(c, "dry_run")
	if err != nil {
		return err
	}
	rec, err := a.opt.Log.Open(c.ctx, c.document)
	if err != nil {
		return err
	}
	var files Explanation
	if err := a.files(c, &files); err != nil {
		return err
	}
	if !rec.Exists() && files.Snapshots.Count+files.Segments.Count == 0 {
		return snapshots.ErrNoDocument
	}
	stats, _, err := a.opt.Hub.Inspect(c.ctx, c.document)
	if err != nil {
		return err
	}
	report := Erased{
		Document: c.document, Entries: uint64(rec.Head - rec.Trimmed), Sessions: stats.Subscriptions,
		Snapshots: files.Snapshots, Segments: files.Segments, DryRun: dry,
	}
	if dry {
		return writeJSON(w, http.StatusOK, report)
	}
	if err := a.opt.Hub.Erase(c.ctx, c.document); err != nil {
		return err
	}
	removed, err := a.opt.Keeper.Erase(c.ctx, c.document, a.opt.Now())
	if err != nil {
		return err
	}
	report.At = &removed.Tombstone
	report.Files, report.Bytes = len(removed.Keys), removed.Bytes
	return writeJSON(w, http.StatusOK, report)
}
