package crashtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ysync/crdt"
	"ysync/internal/fault"
	"ysync/internal/teststores"
	"ysync/persistence"
	"ysync/persistence/pebble"
	"ysync/persistence/postgres"
	"ysync/snapshots"
	"ysync/snapshots/dir"
	"ysync/snapshots/s3"
)

// storedPoints are the steps of a snapshot, of the segments after it and of the
// trim at which a server is killed, in their order.
var storedPoints = []fault.Point{
	fault.BeforePut, fault.AfterPut, fault.BeforePointer, fault.AfterPointer,
	fault.AfterSegment, fault.BeforeTrim, fault.MidTrim, fault.AfterTrim,
}

const (
	// pointTimeout bounds the time until a server comes to its point.
	pointTimeout = 20 * time.Second
	// momentsPerAudit is how many moments of a document are restored after a kill.
	momentsPerAudit = 4
)

// past is what is known of one document's history: every entry that was ever
// read back after a kill. Entries never change, so it is an oracle for every
// moment that apart from the engine shares nothing with the server.
type past struct {
	entries []persistence.Entry
}

// killsAtPoints has servers die at the points in turn, under the writers, and
// audits after each what its disk holds.
func (h *harness) killsAtPoints(ctx context.Context) error {
	for h.report.crashes < h.config.kills && !h.ledger.broken() {
		point := h.points[h.report.crashes%len(h.points)]
		pass := 1 + h.rng.IntN(h.latest)
		env := append(slices.Clone(h.env), fmt.Sprintf("%s=%s:%d", fault.PointVariable, point, pass))
		s, err := startServer(ctx, h.binary, h.data, env)
		if err != nil {
			return err
		}
		h.gate.lift(dial(s.addr))
		timeout := time.NewTimer(pointTimeout)
		select {
		case <-s.done:
		case <-timeout.C:
			h.ledger.fault("the server did not come to %s for the %d. time in %v:\n%s", point, pass, pointTimeout, s.tail(10))
		case <-ctx.Done():
		}
		timeout.Stop()
		h.gate.shut()
		s.kill()
		h.inspect(s)
		h.report.crashes++
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := h.auditDisk(ctx, fmt.Sprintf("after kill %d, at %s:%d", h.report.crashes, point, pass)); err != nil {
			return err
		}
	}
	return nil
}

// auditDisk reads what a kill left: a copy of the data folder, so that the next
// server finds it as it was, or the database and the bucket, to which reading does
// nothing.
func (h *harness) auditDisk(ctx context.Context, when string) (err error) {
	open := h.copied
	if h.stores != (teststores.Stores{}) {
		open = h.external
	}
	log, files, end, err := open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	keeper := snapshots.New(files, log, snapshots.Options{Damaged: func(document, key string, err error) {
		h.ledger.fault("%s: %s: %s: %v", when, document, key, err)
	}})
	for _, name := range h.names {
		want := h.ledger.wanted(name, acknowledged)
		doc, rec, _, err := keeper.Load(ctx, name)
		if err != nil {
			h.ledger.fault("%s: %s cannot be loaded: %v", when, name, err)
			continue
		}
		h.ledger.audit(when, name, doc, want)
		if err := h.auditPast(ctx, keeper, name, rec.Head); err != nil {
			h.ledger.fault("%s: %s: %v", when, name, err)
		}
	}
	return nil
}

// copied opens a copy of the data folder. end closes and removes it.
func (h *harness) copied(context.Context) (log persistence.Log, files snapshots.Store, end func() error, err error) {
	copied, err := os.MkdirTemp("", "ysync-crash")
	if err != nil {
		return nil, nil, nil, err
	}
	end = func() error { return os.RemoveAll(copied) }
	// The folders of the hub without a process are those of the server, below data.
	if err := os.CopyFS(filepath.Join(copied, "data"), os.DirFS(h.data)); err != nil {
		return nil, nil, nil, errors.Join(err, end())
	}
	at := func(folder string) string { return filepath.Join(copied, folder) }
	log, err = pebble.Open(pebble.Options{Dir: at(logFolder), Space: pebble.Space{BallastBytes: -1}})
	if err != nil {
		return nil, nil, nil, errors.Join(err, end())
	}
	end = func() error { return errors.Join(log.Close(), os.RemoveAll(copied)) }
	files, err = dir.Open(vfs.Default, at(snapshotFolder))
	if err != nil {
		return nil, nil, nil, errors.Join(err, end())
	}
	return log, files, end, nil
}

// external opens the database and the bucket. end closes them.
func (h *harness) external(ctx context.Context) (log persistence.Log, files snapshots.Store, end func() error, err error) {
	where, err := s3.Parse(h.stores.Snapshots)
	if err != nil {
		return nil, nil, nil, err
	}
	files, err = s3.Open(ctx, where)
	if err != nil {
		return nil, nil, nil, err
	}
	log, err = postgres.Open(ctx, postgres.Options{URL: h.stores.Log, Schema: postgres.Require})
	if err != nil {
		return nil, nil, nil, err
	}
	return log, files, log.Close, nil
}

// auditPast compares the history of a document with what it was before, entry by
// entry, and some moments with what these entries make.
func (h *harness) auditPast(ctx context.Context, k *snapshots.Keeper, name string, head persistence.Position) error {
	p := h.pasts[name]
	if p == nil {
		p = new(past)
		h.pasts[name] = p
	}
	if head == 0 {
		return nil
	}
	n := 0
	for e, err := range k.Entries(ctx, name, 0, 0, head) {
		switch {
		case err != nil:
			return fmt.Errorf("its history: %w", err)
		case e.Position != persistence.Position(n+1):
			return fmt.Errorf("entry %d comes after entry %d", e.Position, n)
		case n == len(p.entries):
			p.entries = append(p.entries, e)
		case !bytes.Equal(e.Update, p.entries[n].Update) || !e.Time.Equal(p.entries[n].Time) || e.Epoch != p.entries[n].Epoch:
			return fmt.Errorf("entry %d was another one before", e.Position)
		}
		n++
	}
	if n < len(p.entries) {
		return fmt.Errorf("of %d entries of its history %d are left", len(p.entries), n)
	}
	moments := map[int]bool{n: true}
	for range momentsPerAudit - 1 {
		moments[1+h.rng.IntN(n)] = true
	}
	doc := crdt.New(crdt.Options{NoFormatCleanup: true, RetryAll: true})
	for i, e := range p.entries {
		if _, err := doc.Apply(nil, crdt.V1, e.Update); err != nil {
			return err
		}
		if !moments[i+1] {
			continue
		}
		restored, point, err := k.At(ctx, name, snapshots.AtPosition(e.Position), snapshots.AtOptions{})
		if err == nil && point.Short != nil {
			err = point.Short
		}
		if err == nil {
			err = sameContent(restored, doc)
		}
		if err != nil {
			return fmt.Errorf("the moment of position %d: %w", e.Position, err)
		}
		h.report.moments++
	}
	return nil
}

// sameContent compares all that can be seen of two documents, and what they know.
func sameContent(a, b *crdt.Doc) error {
	var contents [2]any
	for i, d := range []*crdt.Doc{a, b} {
		if err := json.Unmarshal(d.AppendJSON(nil, nil), &contents[i]); err != nil {
			return err
		}
	}
	deletes, others := a.Deletes(), b.Deletes()
	switch {
	case !reflect.DeepEqual(contents[0], contents[1]):
		return errors.New("it has other content")
	case !a.StateVector().Equal(b.StateVector()):
		return errors.New("it has another state vector")
	case !deletes.Equal(&others):
		return errors.New("it has other deletions")
	}
	return nil
}
