package api

import (
	"context"
	"net/http"
	"path/filepath"
)

// BackupOrder asks for a backup of the data folder.
type BackupOrder struct {
	// To is the folder of the backup, an absolute path on the server's machine:
	// one that does not exist, an empty one, or a backup that is brought up to
	// date.
	To string `json:"to"`
	// Copy copies files that could be hard links.
	Copy bool `json:"copy,omitempty"`
}

// BackedUp is the end of a backup.
type BackedUp struct {
	To string `json:"to"`
	// Files and Bytes are the stored files in the backup, NewFiles those that
	// it did not have. LogBytes is the size of the log.
	Files    int   `json:"files"`
	NewFiles int   `json:"new_files"`
	Bytes    int64 `json:"bytes"`
	LogBytes int64 `json:"log_bytes"`
}

// Backup makes a backup, and tells progress how far it is.
type Backup func(ctx context.Context, o BackupOrder, progress func(Progress)) (BackedUp, error)

// backup makes a backup of the data folder.
func (a *API) backup(w http.ResponseWriter, c *call) error {
	var o BackupOrder
	if err := order(w, c, &o); err != nil {
		return err
	}
	switch {
	case a.opt.Backup == nil:
		return invalid("the documents are not in a data folder alone: back the database and the bucket up, or copy them into a folder with `ysync migrate ysync`")
	case !filepath.IsAbs(o.To):
		return invalid("to: want an absolute path on the server's machine")
	}
	out := a.lines(w)
	end, err := a.opt.Backup(c.ctx, o, func(p Progress) {
		_ = out.put("progress", p) // when the reader went, the context ends
	})
	return out.finish(end, err)
}
