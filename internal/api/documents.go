package api

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"ysync/crdt"
	"ysync/internal/hub"
	"ysync/persistence"
	"ysync/snapshots"
)

// Document is one document in a list.
type Document struct {
	Document   string     `json:"document"`
	Generation uint64     `json:"generation"`
	Position   uint64     `json:"position"`
	Logged     uint64     `json:"logged_entries"`
	Snapshot   uint64     `json:"snapshot_position"`
	Updated    *time.Time `json:"updated,omitempty"`
	Erased     *time.Time `json:"erased,omitempty"`
	// Quarantined: the document is damaged and this server does not load it.
	Quarantined *QuarantineState `json:"quarantined,omitempty"`
	// Sizes are there when they were asked for.
	Sizes *SizesState `json:"sizes,omitempty"`
}

func documentOf(r persistence.Record) Document {
	d := Document{
		Document:   r.Document,
		Generation: uint64(r.Generation),
		Position:   uint64(r.Head),
		Logged:     uint64(r.Head - r.Trimmed),
		Snapshot:   uint64(r.Snapshot.Position),
	}
	if !r.Updated.IsZero() {
		d.Updated = &r.Updated
	}
	if !r.Tombstone.IsZero() {
		d.Erased = &r.Tombstone
	}
	return d
}

// list streams the documents by name.
func (a *API) list(w http.ResponseWriter, c *call) error {
	query := c.URL.Query()
	prefix, after := query.Get("prefix"), query.Get("after")
	limit, err := number(c, "limit")
	if err != nil {
		return err
	}
	sizes, err := flag(c, "sizes")
	if err != nil {
		return err
	}
	quarantined, err := flag(c, "quarantined")
	if err != nil {
		return err
	}
	out := a.lines(w)
	end := count{}
	for rec, err := range a.records(c, prefix, after) {
		if err != nil {
			return out.finish(nil, err)
		}
		if limit > 0 && uint64(end.Count) == limit {
			break
		}
		d := documentOf(rec)
		if d.Quarantined = a.quarantine(rec.Document); quarantined && d.Quarantined == nil {
			continue
		}
		if sizes && rec.Tombstone.IsZero() {
			if d.Sizes, err = a.sizes(c, rec.Document); err != nil {
				return out.finish(nil, err)
			}
		}
		if err := out.put("document", d); err != nil {
			return nil // the reader went
		}
		end.Count++
		end.Next = rec.Document
	}
	if limit == 0 || uint64(end.Count) < limit {
		end.Next = ""
	}
	return out.finish(end, nil)
}

// records yields the records of the documents whose name begins with prefix and
// is greater than after.
func (a *API) records(c *call, prefix, after string) func(func(persistence.Record, error) bool) {
	return func(yield func(persistence.Record, error) bool) {
		// The prefix itself is a name too, and greater than what it is cut to.
		if after < prefix {
			rec, err := a.opt.Log.Open(c.ctx, prefix)
			if persistence.ValidName(prefix) && (err != nil || rec.Exists()) && !yield(rec, err) {
				return
			}
			after = prefix
		}
		for rec, err := range a.opt.Log.List(c.ctx, after) {
			if err == nil && !strings.HasPrefix(rec.Document, prefix) {
				return // they are in order
			}
			if !yield(rec, err) || err != nil {
				return
			}
		}
	}
}

// Header fields of an answer with content.
const (
	// HeaderPosition is the newest log entry in the content.
	HeaderPosition = "Ysync-Position"
	// HeaderGeneration is the document's.
	HeaderGeneration = "Ysync-Generation"
	// HeaderTime is the time of that entry, in RFC 3339.
	HeaderTime = "Ysync-Time"
	// HeaderShort says why the moment is an earlier one than was asked for.
	HeaderShort = "Ysync-Short"
)

// content answers with what a document holds, now or at a moment.
func (a *API) content(w http.ResponseWriter, c *call) error {
	m, err := a.moment(c, "at")
	if err != nil {
		return err
	}
	query := c.URL.Query()
	format := query.Get("format")
	switch format {
	case "":
		format = "json"
	case "json", "text", "v1", "v2":
	default:
		return invalid("format: want json, text, v1 or v2")
	}
	doc, point, err := a.opt.Keeper.At(c.ctx, c.document, m, snapshots.AtOptions{})
	if err != nil {
		return err
	}
	var body []byte
	kind := "application/octet-stream"
	switch format {
	case "v1":
		body = doc.AppendStored(nil, crdt.V1)
	case "v2":
		body = doc.AppendStored(nil, crdt.V2)
	case "text":
		kind = "text/plain; charset=utf-8"
		if body, err = textOf(doc, query.Get("root")); err != nil {
			return err
		}
	default:
		kind = "application/json"
		body = append(doc.AppendJSON(nil, nil), '\n')
	}
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set(HeaderPosition, strconv.FormatUint(uint64(point.Position), 10))
	h.Set(HeaderGeneration, strconv.FormatUint(uint64(point.Generation), 10))
	h.Set("ETag", `"`+strconv.FormatUint(uint64(point.Position), 10)+`"`)
	if !point.Time.IsZero() {
		h.Set(HeaderTime, point.Time.Format(time.RFC3339Nano))
	}
	if point.Short != nil {
		h.Set(HeaderShort, strings.ReplaceAll(point.Short.Error(), "\n", "; "))
	}
	_, _ = w.Write(body) // the reader went, or has it
	return nil
}

// textOf is the text of a root; without a name, of the only one that has any.
func textOf(doc *crdt.Doc, name string) ([]byte, error) {
	var found []crdt.Root
	for root := range doc.Roots() {
		switch root.Shown() {
		case crdt.KindText, crdt.KindXMLFragment, crdt.KindXMLElement, crdt.KindXMLText:
			if name == "" || root.Name == name {
				found = append(found, root)
			}
		}
	}
	switch {
	case len(found) == 0 && name == "":
		return nil, problem(http.StatusNotFound, CodeNotFound, "the document has no text")
	case len(found) == 0:
		return nil, problem(http.StatusNotFound, CodeNotFound, "the document has no text of that name")
	case len(found) > 1:
		return nil, invalid("the document has %d texts: name one with root", len(found))
	}
	root := found[0]
	switch root.Shown() {
	case crdt.KindText:
		return []byte(doc.Text(root.Name).String()), nil
	case crdt.KindXMLText:
		return []byte(doc.XMLText(root.Name).String()), nil
	case crdt.KindXMLElement:
		return []byte(doc.XMLElement(root.Name).String()), nil
	}
	return []byte(doc.XMLFragment(root.Name).String()), nil
}

// Explanation is the state of one document.
type Explanation struct {
	Document
	Epoch   uint64 `json:"epoch"`
	Owner   string `json:"owner,omitempty"`
	SeedKey string `json:"seed_key,omitempty"`
	// Log is what the update log holds of it.
	Log LogState `json:"log"`
	// Snapshots and Segments are its stored files.
	Snapshots FilesState `json:"snapshots"`
	Segments  FilesState `json:"segments"`
	// Since is the position after which every moment can be given.
	Since uint64 `json:"every_moment_since"`
	// Memory is its state in this server, absent when it is not loaded.
	Memory *MemoryState `json:"memory,omitempty"`
	Limits LimitsState  `json:"limits"`
	// Refused are updates that broke a limit and are kept, without their bytes.
	Refused []Refused `json:"refused,omitempty"`
}

// LogState is what the update log holds of a document.
type LogState struct {
	Head      uint64 `json:"head"`
	Trimmed   uint64 `json:"trimmed"`
	Segmented uint64 `json:"segmented"`
	// Newest and Previous are the positions of the two snapshots on record.
	Newest   uint64 `json:"newest_snapshot"`
	Previous uint64 `json:"previous_snapshot"`
}

// FilesState counts stored files.
type FilesState struct {
	Count   int   `json:"count"`
	Bytes   int64 `json:"bytes"`
	Damaged int   `json:"damaged,omitempty"`
	// Newest is the time of the newest content.
	Newest *time.Time `json:"newest,omitempty"`
}

// MemoryState is the state of a loaded document.
type MemoryState struct {
	Sessions         int        `json:"sessions"`
	Writers          int        `json:"writers"`
	Presences        int        `json:"presences"`
	Version          uint64     `json:"version"`
	Committed        uint64     `json:"committed"`
	UncommittedBytes int        `json:"uncommitted_bytes"`
	Bytes            int        `json:"bytes"`
	PendingBlocks    int        `json:"pending_blocks"`
	PendingDeletes   int        `json:"pending_deletes"`
	PendingBytes     int        `json:"pending_bytes"`
	Owned            bool       `json:"owned"`
	Discarding       bool       `json:"discarding"`
	Storing          bool       `json:"storing"`
	TailEntries      int        `json:"tail_entries"`
	TailBytes        int        `json:"tail_bytes"`
	Unsegmented      *time.Time `json:"unsegmented_since,omitempty"`
}

// LimitsState are the limits that hold for a document, in bytes.
type LimitsState struct {
	DocumentBytes    int `json:"document_bytes"`
	PendingBytes     int `json:"pending_bytes"`
	UncommittedBytes int `json:"uncommitted_bytes"`
	OutboxBytes      int `json:"outbox_bytes"`
}

// explain answers with the state of a document.
func (a *API) explain(w http.ResponseWriter, c *call) error {
	rec, err := a.opt.Log.Open(c.ctx, c.document)
	if err != nil {
		return err
	}
	if !rec.Exists() {
		return snapshots.ErrNoDocument
	}
	l := a.opt.Hub.Limits()
	e := Explanation{
		Document: documentOf(rec), Epoch: uint64(rec.Epoch), Owner: rec.Owner, SeedKey: rec.SeedKey,
		Log: LogState{
			Head: uint64(rec.Head), Trimmed: uint64(rec.Trimmed), Segmented: uint64(rec.Segmented),
			Newest: uint64(rec.Snapshot.Position), Previous: uint64(rec.Previous.Position),
		},
		Limits: LimitsState{
			DocumentBytes: l.DocumentBytes, PendingBytes: l.PendingBytes,
			UncommittedBytes: l.DocumentUncommittedBytes, OutboxBytes: l.OutboxBytes,
		},
	}
	e.Quarantined = a.quarantine(c.document)
	for r, err := range a.refusedOf(c, c.document) {
		if err != nil {
			return err
		}
		e.Refused = append(e.Refused, r)
	}
	if err := a.files(c, &e); err != nil {
		return err
	}
	if rec.Tombstone.IsZero() {
		reach, err := a.opt.Keeper.Reach(c.ctx, c.document, 0)
		if err != nil {
			return err
		}
		e.Since = uint64(reach.Entries)
		if e.Sizes, err = a.sizes(c, c.document); err != nil {
			return err
		}
		stats, loaded, err := a.opt.Hub.Inspect(c.ctx, c.document)
		if err != nil {
			return err
		}
		if loaded {
			e.Memory = memoryOf(stats)
		}
	}
	return writeJSON(w, http.StatusOK, e)
}

// files counts the stored files of a document.
func (a *API) files(c *call, e *Explanation) error {
	list, err := a.opt.Keeper.Snapshots(c.ctx, c.document)
	if err != nil {
		return err
	}
	for _, f := range list {
		e.Snapshots.add(f.Size, f.Err, f.Header.Time)
	}
	segments, err := a.opt.Keeper.Segments(c.ctx, c.document)
	if err != nil {
		return err
	}
	for _, f := range segments {
		e.Segments.add(f.Size, f.Err, f.Header.Last)
	}
	return nil
}

func (f *FilesState) add(size int64, damage error, newest time.Time) {
	f.Count++
	f.Bytes += size
	switch {
	case damage != nil:
		f.Damaged++
	case f.Newest == nil || newest.After(*f.Newest):
		f.Newest = &newest
	}
}

func memoryOf(s hub.DocumentStats) *MemoryState {
	m := &MemoryState{
		Sessions: s.Subscriptions, Writers: s.Writers, Presences: s.Presences,
		Version: uint64(s.Version), Committed: uint64(s.Committed), UncommittedBytes: s.UncommittedBytes,
		Bytes: s.MemoryBytes, PendingBlocks: s.Pending.Blocks, PendingDeletes: s.Pending.Deletes, PendingBytes: s.Pending.Bytes,
		Owned: s.Owned, Discarding: s.Discarding, Storing: s.Storing,
		TailEntries: s.Tail.Entries, TailBytes: s.Tail.Bytes,
	}
	if !s.Unsegmented.IsZero() {
		m.Unsegmented = &s.Unsegmented
	}
	return m
}
