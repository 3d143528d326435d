package api

import (
	"encoding/hex"
	"errors"
	"math"
	"net/http"
	"time"

	"ysync/internal/auth"
	"ysync/persistence"
	"ysync/snapshots"
)

// The routes below /stores give what the update log and the snapshot store hold,
// as it is: for a copy of everything while the server goes on serving. They name
// no document in the path, so that they ask for admin on all documents.

// maxObject is more than any stored file has.
const maxObject = 2 * snapshots.MaxRawBytes

// StoredRecord is a record of the update log.
type StoredRecord struct {
	Document   string        `json:"document"`
	Generation uint64        `json:"generation"`
	Epoch      uint64        `json:"epoch"`
	Owner      string        `json:"owner,omitempty"`
	Head       uint64        `json:"head"`
	Trimmed    uint64        `json:"trimmed"`
	Segmented  uint64        `json:"segmented"`
	Snapshot   StoredPointer `json:"snapshot,omitzero"`
	Previous   StoredPointer `json:"previous,omitzero"`
	Updated    time.Time     `json:"updated,omitzero"`
	Tombstone  time.Time     `json:"tombstone,omitzero"`
	SeedKey    string        `json:"seed_key,omitempty"`
}

// StoredPointer names a snapshot file.
type StoredPointer struct {
	Position uint64 `json:"position"`
	Key      string `json:"key"`
	SHA256   string `json:"sha256"`
}

// StoredRecordOf is the record as the API gives it.
func StoredRecordOf(r persistence.Record) StoredRecord {
	return StoredRecord{
		Document: r.Document, Generation: uint64(r.Generation), Epoch: uint64(r.Epoch), Owner: r.Owner,
		Head: uint64(r.Head), Trimmed: uint64(r.Trimmed), Segmented: uint64(r.Segmented),
		Snapshot: storedPointer(r.Snapshot), Previous: storedPointer(r.Previous),
		Updated: r.Updated, Tombstone: r.Tombstone, SeedKey: r.SeedKey,
	}
}

func storedPointer(p persistence.Pointer) StoredPointer {
	if p.IsZero() {
		return StoredPointer{}
	}
	return StoredPointer{uint64(p.Position), p.Key, hex.EncodeToString(p.SHA256[:])}
}

// Record undoes StoredRecordOf.
func (s StoredRecord) Record() (persistence.Record, error) {
	newest, err := s.Snapshot.pointer()
	previous, err2 := s.Previous.pointer()
	return persistence.Record{
		Document: s.Document, Generation: persistence.Generation(s.Generation), Epoch: persistence.Epoch(s.Epoch), Owner: s.Owner,
		Head: persistence.Position(s.Head), Trimmed: persistence.Position(s.Trimmed), Segmented: persistence.Position(s.Segmented),
		Snapshot: newest, Previous: previous,
		Updated: s.Updated.UTC(), Tombstone: s.Tombstone.UTC(), SeedKey: s.SeedKey,
	}, errors.Join(err, err2)
}

func (s StoredPointer) pointer() (persistence.Pointer, error) {
	p := persistence.Pointer{Position: persistence.Position(s.Position), Key: s.Key}
	if p.IsZero() {
		return p, nil
	}
	sum, err := hex.DecodeString(s.SHA256)
	if err != nil || len(sum) != len(p.SHA256) {
		return p, errors.New("a pointer without a digest")
	}
	copy(p.SHA256[:], sum)
	return p, nil
}

// StoredEntry is an entry of the update log.
type StoredEntry struct {
	Position uint64 `json:"position"`
	Epoch    uint64 `json:"epoch"`
	// Time is in milliseconds since 1970, UTC.
	Time   int64  `json:"time_ms"`
	Author string `json:"author,omitempty"`
	// Update is an update V1.
	Update []byte `json:"update"`
}

// Entry is the entry as the log has it.
func (s StoredEntry) Entry() persistence.Entry {
	return persistence.Entry{
		Position: persistence.Position(s.Position), Epoch: persistence.Epoch(s.Epoch),
		Time: time.UnixMilli(s.Time).UTC(), Author: s.Author, Update: s.Update,
	}
}

// StoredObject is a file of the snapshot store.
type StoredObject struct {
	Key  string `json:"key"`
	Size int64  `json:"size"`
}

// storedRulings streams the rulings that have not ended, those included that
// only lift an earlier one.
func (a *API) storedRulings(w http.ResponseWriter, _ *call) error {
	var all []auth.Ruling
	if a.opt.Rulings != nil {
		all = a.opt.Rulings.All(a.opt.Now())
	}
	return a.streamRulings(w, all)
}

// storedRecords streams the records by name, or the one that ?document names.
func (a *API) storedRecords(w http.ResponseWriter, c *call) error {
	out := a.lines(w)
	end := count{}
	if document := c.URL.Query().Get("document"); document != "" {
		rec, err := a.opt.Log.Open(c.ctx, document)
		if err != nil {
			return err
		}
		if out.put("record", StoredRecordOf(rec)) != nil {
			return nil // the reader went
		}
		return out.finish(count{Count: 1}, nil)
	}
	for rec, err := range a.opt.Log.List(c.ctx, c.URL.Query().Get("after")) {
		if err != nil {
			return out.finish(nil, err)
		}
		if out.put("record", StoredRecordOf(rec)) != nil {
			return nil
		}
		end.Count++
	}
	return out.finish(end, nil)
}

// storedEntries streams the log entries of ?document between ?after and ?to.
func (a *API) storedEntries(w http.ResponseWriter, c *call) error {
	after, err := number(c, "after")
	if err != nil {
		return err
	}
	to, err := number(c, "to")
	if err != nil {
		return err
	}
	if to == 0 {
		to = math.MaxUint64
	}
	out := a.lines(w)
	end := count{}
	for e, err := range a.opt.Log.Read(c.ctx, c.URL.Query().Get("document"), persistence.Position(after)) {
		if err != nil {
			return out.finish(nil, err)
		}
		if uint64(e.Position) > to {
			break
		}
		if out.put("entry", StoredEntry{uint64(e.Position), uint64(e.Epoch), e.Time.UnixMilli(), e.Author, e.Update}) != nil {
			return nil // the reader went
		}
		end.Count++
	}
	return out.finish(end, nil)
}

// storedObjects streams the files of the snapshot store below ?prefix.
func (a *API) storedObjects(w http.ResponseWriter, c *call) error {
	out := a.lines(w)
	end := count{}
	for o, err := range a.opt.Files.List(c.ctx, c.URL.Query().Get("prefix")) {
		if err != nil {
			return out.finish(nil, err)
		}
		if out.put("object", StoredObject{o.Key, o.Size}) != nil {
			return nil // the reader went
		}
		end.Count++
	}
	return out.finish(end, nil)
}

// storedObject answers with the bytes of ?key, or with the ?first of them.
func (a *API) storedObject(w http.ResponseWriter, c *call) error {
	key := c.URL.Query().Get("key")
	if err := snapshots.CheckKey(key); err != nil {
		return invalid("key: %v", err)
	}
	first, err := number(c, "first")
	if err != nil {
		return err
	}
	var blob []byte
	if first > 0 {
		blob, err = a.opt.Files.Head(c.ctx, key, int(min(first, math.MaxInt32)))
	} else {
		blob, err = a.opt.Files.Get(c.ctx, key, maxObject)
	}
	if err != nil {
		return err
	}
	return writeBytes(w, blob)
}

func writeBytes(w http.ResponseWriter, blob []byte) error {
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write(blob) // the reader went, or has it
	return nil
}
