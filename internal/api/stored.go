package api

import (
	"errors"
	"net/http"
	"time"
	"unicode"
	"unicode/utf8"

	"ysync/persistence"
	"ysync/snapshots"
)

// Snapshot is one stored state in a list.
type Snapshot struct {
	Key        string     `json:"key"`
	Generation uint64     `json:"generation"`
	Position   uint64     `json:"position"`
	Time       *time.Time `json:"time,omitempty"`
	Label      string     `json:"label,omitempty"`
	// StoredBytes is the size of the file, StateBytes that of the state in it.
	StoredBytes int64 `json:"stored_bytes"`
	StateBytes  int64 `json:"state_bytes"`
	// Use is what the log has it for: "newest", "previous", or nothing.
	Use string `json:"use,omitempty"`
	// Damage is why its header cannot be read.
	Damage string `json:"damage,omitempty"`
}

// snapshots streams the stored states of a document, oldest first.
func (a *API) snapshots(w http.ResponseWriter, c *call) error {
	rec, err := a.known(c)
	if err != nil {
		return err
	}
	list, err := a.opt.Keeper.Snapshots(c.ctx, c.document)
	if err != nil {
		return err
	}
	out := a.lines(w)
	for _, info := range list {
		s := Snapshot{
			Key: info.Key, StoredBytes: info.Size, StateBytes: info.Header.RawBytes,
			Generation: uint64(info.Header.Generation), Position: uint64(info.Header.Position), Label: info.Header.Label,
		}
		switch info.Key {
		case rec.Snapshot.Key:
			s.Use = "newest"
		case rec.Previous.Key:
			s.Use = "previous"
		}
		if info.Err != nil {
			s.Damage = info.Err.Error()
		} else {
			s.Time = &info.Header.Time
		}
		if out.put("snapshot", s) != nil {
			return nil // the reader went
		}
	}
	return out.finish(count{Count: len(list)}, nil)
}

// known is the record of a document that exists and was not erased.
func (a *API) known(c *call) (persistence.Record, error) {
	rec, err := a.opt.Log.Open(c.ctx, c.document)
	switch {
	case err != nil:
		return rec, err
	case !rec.Tombstone.IsZero():
		return rec, persistence.ErrErased
	case !rec.Exists():
		return rec, snapshots.ErrNoDocument
	}
	return rec, nil
}

// maxLabel bounds the label of a snapshot, in bytes.
const maxLabel = 256

// SnapshotOrder asks for a snapshot.
type SnapshotOrder struct {
	// Label keeps it for ever and names the moment; may be empty.
	Label string `json:"label,omitempty"`
}

// Stored is the answer to a SnapshotOrder.
type Stored struct {
	Document string `json:"document"`
	Position uint64 `json:"position"`
	Key      string `json:"key"`
	Label    string `json:"label,omitempty"`
}

// snapshot stores a snapshot now.
func (a *API) snapshot(w http.ResponseWriter, c *call) error {
	var o SnapshotOrder
	if err := order(w, c, &o); err != nil {
		return err
	}
	if len(o.Label) > maxLabel || !utf8.ValidString(o.Label) || hasControl(o.Label) {
		return invalid("label: want at most %d bytes of UTF-8 without control characters", maxLabel)
	}
	p, err := a.opt.Hub.Snapshot(c.ctx, c.document, o.Label)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusCreated, Stored{c.document, uint64(p.Position), p.Key, o.Label})
}

func hasControl(s string) bool {
	for _, r := range s {
		if unicode.IsControl(r) {
			return true
		}
	}
	return false
}

// chosen yields the records of the documents that a request is about: the one
// that ?document names, or those whose names begin with ?prefix. Erased ones
// are left out.
func (a *API) chosen(c *call) func(func(persistence.Record, error) bool) {
	return func(yield func(persistence.Record, error) bool) {
		query := c.URL.Query()
		if document := query.Get("document"); document != "" {
			one := *c
			one.document = document
			rec, err := a.known(&one)
			yield(rec, err)
			return
		}
		for rec, err := range a.records(c, query.Get("prefix"), "") {
			if err == nil && !rec.Tombstone.IsZero() {
				continue
			}
			if !yield(rec, err) {
				return
			}
		}
	}
}

// total counts what chosen yields, for a progress bar.
func (a *API) total(c *call) (int64, error) {
	var n int64
	for _, err := range a.chosen(c) {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// File is one stored file that was read whole.
type File struct {
	Document string `json:"document"`
	Key      string `json:"key"`
	Kind     string `json:"kind"`
	From     uint64 `json:"from,omitempty"`
	To       uint64 `json:"to"`
	Bytes    int64  `json:"bytes"`
	Label    string `json:"label,omitempty"`
	// Damage is what is wrong, empty for a good file.
	Damage string `json:"damage,omitempty"`
}

// Verified is the end of a verification.
type Verified struct {
	Documents int `json:"documents"`
	Files     int `json:"files"`
	// Entries are the good ones of the log, Bytes those of files and entries,
	// Damaged the files and entries that are not good.
	Entries uint64 `json:"entries"`
	Bytes   int64  `json:"bytes"`
	Damaged int    `json:"damaged"`
	// Unreadable are documents that cannot be loaded.
	Unreadable int `json:"unreadable"`
}

// Entry is a damaged entry of the log.
type Entry struct {
	Document string `json:"document"`
	Position uint64 `json:"position"`
	Damage   string `json:"damage"`
}

// Unreadable is a document that cannot be loaded.
type Unreadable struct {
	Document string `json:"document"`
	Damage   string `json:"damage"`
}

// verify reads all stored files and log entries of the chosen documents, and
// loads each as the server would.
func (a *API) verify(w http.ResponseWriter, c *call) error {
	total, err := a.total(c)
	if err != nil {
		return err
	}
	out := a.lines(w)
	var end Verified
	for rec, err := range a.chosen(c) {
		if err != nil {
			return out.finish(nil, err)
		}
		for f, err := range a.opt.Keeper.Check(c.ctx, rec.Document) {
			if err != nil {
				return out.finish(nil, err)
			}
			line := File{Document: rec.Document, Key: f.Key, Kind: f.Kind, From: uint64(f.From), To: uint64(f.To), Bytes: f.Size, Label: f.Label}
			if f.Err != nil {
				line.Damage = f.Err.Error()
				end.Damaged++
			}
			end.Files++
			end.Bytes += f.Size
			if out.put("file", line) != nil {
				return nil // the reader went
			}
		}
		log, err := a.opt.Keeper.CheckLog(c.ctx, rec.Document)
		if err != nil {
			return out.finish(nil, err)
		}
		end.Entries += log.Entries
		end.Bytes += log.Bytes
		for _, e := range log.Damaged {
			end.Damaged++
			if out.put("entry", Entry{rec.Document, uint64(e.Position), e.Err.Error()}) != nil {
				return nil
			}
		}
		if _, _, _, err := a.opt.Keeper.Load(c.ctx, rec.Document); err != nil {
			if c.ctx.Err() != nil {
				return out.finish(nil, err)
			}
			end.Unreadable++
			if out.put("unreadable", Unreadable{rec.Document, err.Error()}) != nil {
				return nil
			}
		}
		end.Documents++
		if out.put("progress", Progress{"documents verified", int64(end.Documents), total}) != nil {
			return nil
		}
	}
	return out.finish(end, nil)
}

// PruneOrder says what history to keep. Empty durations are those of the
// server's policy; "0s" of full keeps every moment for ever.
type PruneOrder struct {
	Full   string `json:"full,omitempty"`
	Hourly string `json:"hourly,omitempty"`
	Daily  string `json:"daily,omitempty"`
}

// Pruned is the end of a pruning.
type Pruned struct {
	Documents    int   `json:"documents"`
	Written      int   `json:"written"`
	Removed      int   `json:"removed"`
	RemovedBytes int64 `json:"removed_bytes"`
	Kept         int   `json:"kept"`
	KeptBytes    int64 `json:"kept_bytes"`
	Damaged      int   `json:"damaged"`
	DryRun       bool  `json:"dry_run,omitempty"`
}

// prune applies the retention to the chosen documents.
func (a *API) prune(w http.ResponseWriter, c *call) error {
	var o PruneOrder
	if err := order(w, c, &o); err != nil {
		return err
	}
	dry, err := flag(c, "dry_run")
	if err != nil {
		return err
	}
	policy, err := o.policy(a.opt.Policy)
	if err != nil {
		return err
	}
	total, err := a.total(c)
	if err != nil {
		return err
	}
	run := a.opt.Keeper.Retain
	if dry {
		run = a.opt.Keeper.PlanRetention
	}
	now := a.opt.Now()
	out := a.lines(w)
	end := Pruned{DryRun: dry}
	for rec, err := range a.chosen(c) {
		if err != nil {
			return out.finish(nil, err)
		}
		plan, err := run(c.ctx, rec.Document, now, policy)
		if errors.Is(err, snapshots.ErrNoDocument) {
			continue // a claim without an entry, or erased since
		}
		if err != nil {
			return out.finish(nil, err)
		}
		end.Documents++
		end.Written += len(plan.Write)
		end.Removed += plan.Removed
		end.RemovedBytes += plan.RemovedBytes
		end.Kept += plan.Kept
		end.KeptBytes += plan.KeptBytes
		end.Damaged += len(plan.Damaged)
		if !plan.Empty() || len(plan.Damaged) > 0 {
			if out.put("plan", plan) != nil {
				return nil // the reader went
			}
		}
		if out.put("progress", Progress{"documents looked at", int64(end.Documents), total}) != nil {
			return nil
		}
	}
	return out.finish(end, nil)
}

func (o PruneOrder) policy(p snapshots.Policy) (snapshots.Policy, error) {
	for _, f := range []struct {
		name, text string
		to         *time.Duration
	}{{"full", o.Full, &p.Full}, {"hourly", o.Hourly, &p.Hourly}, {"daily", o.Daily, &p.Daily}} {
		if f.text == "" {
			continue
		}
		d, err := time.ParseDuration(f.text)
		if err != nil || d < 0 {
			return p, invalid("%s: want a duration such as 168h", f.name)
		}
		*f.to = d
	}
	return p, nil
}
