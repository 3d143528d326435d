package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"

	planted "ysync/internal/fault"
	"ysync/persistence"
)

// commit appends a group and ends its requests, whatever happens.
func (w *writer) commit(group []*part) {
	p := w.log.patience()
	for {
		left, err := w.attempt(group)
		if len(left) == 0 {
			return
		}
		group = left
		if err == nil { // some heads were looked up
			if p.wait(contexts(group)...) {
				continue
			}
			err = errContended
		}
		how := w.log.health.failed(err)
		if how.away() {
			w.disconnect()
		}
		if how == unknown {
			for _, part := range group {
				part.sent = true
			}
		}
		if how == refused && len(group) > 1 && alone(err) {
			// One document must not keep the others from committing.
			for i := range group {
				w.commit(group[i : i+1])
			}
			return
		}
		if how == refused || !p.wait(contexts(group)...) {
			w.giveUp(group, err)
			return
		}
	}
}

// alone reports whether a refusal may be due to one document of many.
func alone(err error) bool {
	c := code(err)
	return c != codeDiskFull && c != codeReadOnly
}

func contexts(group []*part) []context.Context {
	var all []context.Context
	for _, p := range group {
		for _, r := range p.requests {
			if len(all) == 0 || all[len(all)-1] != r.ctx {
				all = append(all, r.ctx)
			}
		}
	}
	return all
}

// giveUp ends the requests of a group that could not be committed. A document
// whose statement may have reached the server is in doubt from here on.
func (w *writer) giveUp(group []*part, err error) {
	cause := storeError(err)
	for _, p := range group {
		if !p.sent {
			p.fail(cause)
			continue
		}
		h := p.head
		h.doubt = true
		w.learn(p.name, h)
		p.fail(fmt.Errorf("%w: %w", persistence.ErrUnknown, cause))
	}
}

func (p *part) fail(err error) {
	for _, r := range p.requests {
		r.fail(err)
	}
}

func (p *part) succeed() {
	at := p.head.position + 1
	for _, r := range p.requests {
		n := persistence.Position(len(r.batch.Entries))
		r.succeed(at)
		at += n
	}
}

// learn keeps a head in mind, unless a newer claim is known.
func (w *writer) learn(name string, h head) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if now, ok := w.known[name]; !ok || now.epoch <= h.epoch {
		w.keep(name, h)
	}
}

// attempt sends a group once. It ends the requests of those parts of which the
// fate is known, and returns the others: with the error, or without one when
// their heads were looked up again.
func (w *writer) attempt(group []*part) (left []*part, err error) {
	if err := w.connect(); err != nil {
		return group, err
	}
	ctx, cancel := w.bounded()
	defer cancel()
	if group, err = w.place(ctx, group); err != nil {
		return group, &unsentError{err}
	}
	if len(group) == 0 {
		return nil, nil
	}
	w.statement.fill(group)
	taken, err := w.statement.run(ctx, w.conn)
	if err != nil {
		return group, err
	}
	w.log.health.up()
	for _, i := range taken {
		last := group[i].last // the head must not keep the part alive
		w.committed(group[i], group[i].head.position+persistence.Position(group[i].entries), &last)
		group[i] = nil
	}
	left = slices.DeleteFunc(group, func(p *part) bool { return p == nil })
	if len(left) == 0 {
		return nil, nil
	}
	left, err = w.judge(ctx, left)
	if err != nil {
		err = &unsentError{err} // of the parts left nothing was taken
	}
	return left, err
}

// committed ends the requests of a part that is in the log.
func (w *writer) committed(p *part, position persistence.Position, updated *int64) {
	h := p.head
	h.position, h.updated, h.doubt = position, updated, false
	w.learn(p.name, h)
	p.succeed()
}

// place tells each part where its document's log ends, reads that of documents
// which it does not know, and refuses those that may not append. What is left
// is in the order of ids.
func (w *writer) place(ctx context.Context, group []*part) ([]*part, error) {
	var unknown []*part
	w.mu.Lock()
	for _, p := range group {
		if p.sent {
			continue // the place of the first attempt is what makes the second safe
		}
		if h, ok := w.known[p.name]; ok && h.epoch == p.epoch && h.generation == p.generation {
			p.head = h
		} else {
			unknown = append(unknown, p)
		}
	}
	w.mu.Unlock()
	rows, err := w.find(ctx, unknown)
	if err != nil {
		return group, err
	}
	for _, p := range unknown {
		if r := rows[p.name]; !w.admit(p, r) {
			group = slices.DeleteFunc(group, func(q *part) bool { return q == p })
		}
	}
	slices.SortFunc(group, func(a, b *part) int { return cmp.Compare(a.head.id, b.head.id) })
	return group, nil
}

// admit asks the rule whether a part may be appended after a record. If not,
// it ends its requests.
func (w *writer) admit(p *part, r row) bool {
	for _, q := range p.requests {
		if _, err := r.Appended(q.batch); err != nil && !(planted.Active(planted.IgnoreEpoch) && errors.Is(err, persistence.ErrFenced)) {
			p.fail(err)
			return false
		}
	}
	p.head = headOf(r)
	w.learn(p.name, p.head)
	return true
}

// find reads the rows of documents.
func (w *writer) find(ctx context.Context, parts []*part) (map[string]row, error) {
	if len(parts) == 0 {
		return nil, nil
	}
	names := make([][]byte, len(parts))
	for i, p := range parts {
		names[i] = []byte(p.name)
	}
	rows, err := w.conn.Query(ctx, "SELECT "+columns+" FROM ysync.documents WHERE document = ANY($1)", names)
	if err != nil {
		return nil, err
	}
	found := make(map[string]row, len(parts))
	for rows.Next() {
		r, err := scanRow(rows)
		if err != nil {
			rows.Close()
			return nil, err
		}
		found[r.Document] = r
	}
	return found, rows.Err()
}

// errContended is for a row that changes faster than it can be looked at.
var errContended = errors.New("others keep changing the document")

// errLost explains why a writer is fenced whose claim is the newest.
var errLost = errors.New("the database has lost entries that it had committed")

// errMoved explains why the caller has to look again.
var errMoved = errors.New("an earlier append has been committed since")

// judge finds out why the statement did not take parts: the claim is not the
// newest any more; or the head is elsewhere, because an earlier attempt of
// this call was committed after all, or one of an earlier call.
func (w *writer) judge(ctx context.Context, parts []*part) (left []*part, err error) {
	rows, err := w.find(ctx, parts)
	if err != nil {
		return parts, err
	}
	for i, p := range parts {
		r := rows[p.name]
		if ours := r.Tombstone.IsZero() && r.Epoch == p.epoch && r.Generation == p.generation; ours && r.id == p.head.id {
			if r.Head == p.head.position {
				left = append(left, p)
				continue
			}
			if r.Head < p.head.position {
				w.lost(p, r)
				continue
			}
			landed := false
			if p.sent {
				if landed, err = w.landed(ctx, p); err != nil {
					return append(left, parts[i:]...), err
				}
			}
			switch {
			case landed:
				w.committed(p, r.Head, millisOf(r.Updated))
				continue
			case p.head.doubt:
				w.learn(p.name, headOf(r))
				p.fail(fmt.Errorf("%w: %w", persistence.ErrUnknown, errMoved))
				continue
			}
			// The head has passed the place of whatever was sent: that will
			// never be taken.
			p.sent = false
		}
		if w.admit(p, r) {
			left = append(left, p)
		}
	}
	return left, nil
}

// lost ends the requests of a part whose document has fewer entries than were
// committed: the database was restored, or has failed over to a standby that
// was behind. Whoever holds the document must load it again; the clients then
// bring what is missing.
func (w *writer) lost(p *part, r row) {
	w.log.options.Logger.Error("the database has lost entries that it had committed",
		zap.String("document", p.name), zap.Uint64("committed", uint64(p.head.position)), zap.Uint64("left", uint64(r.Head)))
	w.mu.Lock()
	delete(w.known, p.name)
	w.mu.Unlock()
	p.fail(fmt.Errorf("%w: %w", persistence.ErrFenced, errLost))
}

// landed reports whether the entries behind a part's head are the part's own.
func (w *writer) landed(ctx context.Context, p *part) (bool, error) {
	rows, err := w.conn.Query(ctx, `SELECT epoch, crc FROM ysync.update_log
		WHERE id = $1 AND generation = $2 AND position > $3 AND position <= $4 ORDER BY position`,
		p.head.id, number(p.generation), number(p.head.position), number(p.head.position)+int64(p.entries))
	if err != nil {
		return false, err
	}
	n, same := 0, true
	var (
		epoch int64
		crc   int32
	)
	_, err = pgx.ForEachRow(rows, []any{&epoch, &crc}, func() error {
		same = same && n < len(p.crcs) && epoch == number(p.epoch) && crc == p.crcs[n]
		n++
		return nil
	})
	return same && n == p.entries, err
}
