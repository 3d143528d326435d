package postgres

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	planted "ysync/internal/fault"
	"ysync/persistence"
)

// row is a document's row: its record, and what the record does not show.
type row struct {
	persistence.Record
	id    int64
	stamp int64 // changes with every change of the record, but not with appends
}

const columns = `document, id, stamp, generation, epoch, owner, head, trimmed, segmented,
	snapshot_position, snapshot_key, snapshot_sha256, previous_position, previous_key, previous_sha256,
	updated_ms, tombstone_ms, seed_key`

// scanRow reads the columns.
func scanRow(from pgx.Row) (row, error) {
	var (
		r                                   row
		document, snapshotSHA, previousSHA  []byte
		generation, epoch                   int64
		head, trimmed, segmented            int64
		snapshotPosition, previousPosition  int64
		snapshotKey, previousKey, seed, who string
		updated, tombstone                  *int64
	)
	if err := from.Scan(&document, &r.id, &r.stamp, &generation, &epoch, &who, &head, &trimmed, &segmented,
		&snapshotPosition, &snapshotKey, &snapshotSHA, &previousPosition, &previousKey, &previousSHA,
		&updated, &tombstone, &seed); err != nil {
		return r, err
	}
	r.Record = persistence.Record{
		Document:   string(document),
		Generation: persistence.Generation(generation),
		Epoch:      persistence.Epoch(epoch),
		Owner:      who,
		Head:       persistence.Position(head),
		Trimmed:    persistence.Position(trimmed),
		Segmented:  persistence.Position(segmented),
		Snapshot:   pointerOf(snapshotPosition, snapshotKey, snapshotSHA),
		Previous:   pointerOf(previousPosition, previousKey, previousSHA),
		Updated:    timeOf(updated),
		Tombstone:  timeOf(tombstone),
		SeedKey:    seed,
	}
	return r, nil
}

func pointerOf(at int64, key string, sum []byte) persistence.Pointer {
	p := persistence.Pointer{Position: persistence.Position(at), Key: key}
	copy(p.SHA256[:], sum)
	return p
}

func timeOf(ms *int64) time.Time {
	if ms == nil {
		return time.Time{}
	}
	return time.UnixMilli(*ms).UTC()
}

func millisOf(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	ms := t.UnixMilli()
	return &ms
}

// find reads the row of a document; one that was never written has id 0.
func find(ctx context.Context, conn *pgxpool.Conn, name string) (row, error) {
	r, err := scanRow(conn.QueryRow(ctx, "SELECT "+columns+" FROM ysync.documents WHERE document = $1", []byte(name)))
	if errors.Is(err, pgx.ErrNoRows) {
		return row{Record: persistence.Record{Document: name}}, nil
	}
	return r, err
}

// load is find, again and again while the database is away for a moment.
func (l *Log) load(ctx context.Context, name string) (r row, err error) {
	err = l.do(ctx, func(ctx context.Context, conn *pgxpool.Conn) error {
		r, err = find(ctx, conn, name)
		return err
	})
	return r, err
}

// Open implements persistence.Log.
func (l *Log) Open(ctx context.Context, name string) (persistence.Record, error) {
	r, err := l.opened(ctx, name)
	if err != nil {
		return persistence.Record{}, callError("open", name, err)
	}
	return r.Record, nil
}

func (l *Log) opened(ctx context.Context, name string) (row, error) {
	if err := persistence.CheckName(name); err != nil {
		return row{}, err
	}
	if err := l.calls.Begin(ctx); err != nil {
		return row{}, err
	}
	defer l.calls.End()
	r, err := l.load(ctx, name)
	return r, callFailure(ctx, err)
}

// callFailure is the class of a failed read: the context's end, or the database.
func callFailure(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return storeError(err)
}

const insertRow = `INSERT INTO ysync.documents (` + columns + `)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
	ON CONFLICT (document) DO NOTHING RETURNING ` + columns

// updateRow leaves the head and its time to the appends, which may run
// meanwhile. A tombstone takes the head as it is when it gets there.
const updateRow = `UPDATE ysync.documents SET stamp = $1, generation = $2, epoch = $3, owner = $4,
	trimmed = CASE WHEN $13::bigint IS NULL THEN $5 ELSE head END, segmented = $6,
	snapshot_position = $7, snapshot_key = $8, snapshot_sha256 = $9,
	previous_position = $10, previous_key = $11, previous_sha256 = $12,
	updated_ms = CASE WHEN $13::bigint IS NULL THEN updated_ms ELSE NULL END, tombstone_ms = $13, seed_key = $14
	WHERE id = $15 AND stamp = $16 RETURNING ` + columns

// resetRow is updateRow for the next generation, whose head it sets; it does
// nothing when an append has moved the head meanwhile.
const resetRow = `UPDATE ysync.documents SET stamp = $1, generation = $2, epoch = $3, owner = $4,
	head = $5, trimmed = $6, segmented = $7, snapshot_position = $8, snapshot_key = $9, snapshot_sha256 = $10,
	previous_position = $11, previous_key = $12, previous_sha256 = $13, updated_ms = $14, tombstone_ms = $15, seed_key = $16
	WHERE id = $17 AND stamp = $18 AND head = $19 RETURNING ` + columns

// store writes a record in the place of the row that it was made from. It
// reports whether it did: not when somebody else has changed the row since.
func store(ctx context.Context, conn *pgxpool.Conn, before row, after persistence.Record, stamp int64) (row, bool, error) {
	var answer pgx.Row
	switch {
	case before.id == 0:
		answer = conn.QueryRow(ctx, insertRow, insertArguments(idOf(before), after, stamp)...)
	case after.Generation != before.Generation:
		answer = conn.QueryRow(ctx, resetRow, stamp, number(after.Generation), number(after.Epoch), after.Owner,
			number(after.Head), number(after.Trimmed), number(after.Segmented),
			number(after.Snapshot.Position), after.Snapshot.Key, after.Snapshot.SHA256[:],
			number(after.Previous.Position), after.Previous.Key, after.Previous.SHA256[:],
			millisOf(after.Updated), millisOf(after.Tombstone), after.SeedKey, before.id, before.stamp, number(before.Head))
	default:
		answer = conn.QueryRow(ctx, updateRow, updateArguments(before, after, stamp)...)
	}
	r, err := scanRow(answer)
	if errors.Is(err, pgx.ErrNoRows) {
		return r, false, nil
	}
	return r, err == nil, err
}

// idOf is the id of a row, or one for a row that is to be made.
func idOf(r row) int64 {
	if r.id == 0 {
		return rand.Int64N(1<<62) + 1
	}
	return r.id
}

// insertArguments are those of insertRow.
func insertArguments(id int64, after persistence.Record, stamp int64) []any {
	return []any{
		[]byte(after.Document), id, stamp,
		number(after.Generation), number(after.Epoch), after.Owner,
		number(after.Head), number(after.Trimmed), number(after.Segmented),
		number(after.Snapshot.Position), after.Snapshot.Key, after.Snapshot.SHA256[:],
		number(after.Previous.Position), after.Previous.Key, after.Previous.SHA256[:],
		millisOf(after.Updated), millisOf(after.Tombstone), after.SeedKey,
	}
}

// updateArguments are those of updateRow.
func updateArguments(before row, after persistence.Record, stamp int64) []any {
	return []any{
		stamp, number(after.Generation), number(after.Epoch), after.Owner,
		number(after.Trimmed), number(after.Segmented),
		number(after.Snapshot.Position), after.Snapshot.Key, after.Snapshot.SHA256[:],
		number(after.Previous.Position), after.Previous.Key, after.Previous.SHA256[:],
		millisOf(after.Tombstone), after.SeedKey, before.id, before.stamp,
	}
}

type rule func(persistence.Record) (persistence.Record, error)

// change applies a rule to a record and commits what follows from it.
func (l *Log) change(ctx context.Context, op, name string, rule rule) (row, error) {
	r, err := l.changed(ctx, name, rule)
	if err != nil {
		return row{}, callError(op, name, err)
	}
	return r, nil
}

func (l *Log) changed(ctx context.Context, name string, rule rule) (row, error) {
	if err := persistence.CheckName(name); err != nil {
		return row{}, err
	}
	if err := l.calls.Begin(ctx); err != nil {
		return row{}, err
	}
	defer l.calls.End()
	stamp := rand.Int64()
	doubt := false // a write of this call may have happened, or may still
	for p := l.patience(); ; {
		before, err := l.load(ctx, name)
		if err != nil {
			if doubt {
				return row{}, fmt.Errorf("%w: %w", persistence.ErrUnknown, storeError(err))
			}
			return row{}, callFailure(ctx, err)
		}
		if doubt && before.stamp == stamp {
			return before, nil
		}
		after, err := rule(before.Record)
		if err != nil || after == before.Record {
			return before, err
		}
		got, done, err := l.write(ctx, before, after, stamp)
		if done {
			return got, nil
		}
		if err == nil { // somebody was faster: look again
			continue
		}
		switch how := l.health.failed(err); {
		case how == unknown:
			doubt = true
		case how == refused && !doubt:
			return row{}, storeError(err)
		}
		if !p.wait(ctx) {
			if doubt {
				return row{}, fmt.Errorf("%w: %w", persistence.ErrUnknown, storeError(err))
			}
			return row{}, storeError(err)
		}
	}
}

// write is one attempt to store a record. It waits for no context: a commit
// under way is not abandoned.
func (l *Log) write(ctx context.Context, before row, after persistence.Record, stamp int64) (got row, done bool, err error) {
	err = l.once(context.WithoutCancel(ctx), func(ctx context.Context, conn *pgxpool.Conn) error {
		// The connection may be given back when the function runs.
		pid := conn.Conn().PgConn().PID()
		watch := time.AfterFunc(l.options.LockTimeout/2, func() { l.endStalled(pid) })
		defer watch.Stop()
		got, done, err = store(ctx, conn, before, after, stamp)
		return err
	})
	return got, done, err
}

// endStalled ends the connections that hold what a writer waits for, if they
// are ours and wait for their client: a process that was stopped in the middle
// of a statement holds its locks as long as it sleeps.
func (l *Log) endStalled(pid uint32) {
	err := l.once(context.Background(), func(ctx context.Context, conn *pgxpool.Conn) error {
		_, err := conn.Exec(ctx, `SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity a
			WHERE a.pid = ANY(pg_blocking_pids($1)) AND a.usename = current_user
			AND a.application_name = current_setting('application_name') AND a.wait_event = 'ClientRead'`, int32(pid))
		return err
	})
	if err != nil {
		l.options.Logger.Debug("stalled connections could not be looked for: " + fault{err}.Error())
	}
}

// isText tells whether the database can hold s as a text.
func isText(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

// Claim implements persistence.Log.
func (l *Log) Claim(ctx context.Context, name, owner string, seen persistence.Epoch) (persistence.Record, error) {
	r, err := l.change(ctx, "claim", name, func(r persistence.Record) (persistence.Record, error) {
		if !isText(owner) {
			return r, fmt.Errorf("%w: the owner's name is no text", persistence.ErrInvalid)
		}
		return r.Claimed(owner, seen)
	})
	if err != nil {
		return persistence.Record{}, err
	}
	l.writerOf(name).claimed(r)
	return r.Record, nil
}

// SetSnapshot implements persistence.Log.
func (l *Log) SetSnapshot(ctx context.Context, name string, e persistence.Epoch, p persistence.Pointer) error {
	_, err := l.change(ctx, "set snapshot", name, func(r persistence.Record) (persistence.Record, error) { return r.WithSnapshot(e, p) })
	return err
}

// SetSegmented implements persistence.Log.
func (l *Log) SetSegmented(ctx context.Context, name string, e persistence.Epoch, p persistence.Position) error {
	_, err := l.change(ctx, "set segmented", name, func(r persistence.Record) (persistence.Record, error) { return r.WithSegmented(e, p) })
	return err
}

// SetSeed implements persistence.Log.
func (l *Log) SetSeed(ctx context.Context, name string, e persistence.Epoch, key string) error {
	_, err := l.change(ctx, "set seed", name, func(r persistence.Record) (persistence.Record, error) { return r.WithSeed(e, key) })
	return err
}

// Trim implements persistence.Log. The record is durable when it returns. When
// the process dies before the entries are gone, the next trim removes them.
func (l *Log) Trim(ctx context.Context, name string, e persistence.Epoch, upTo persistence.Position) error {
	moved := false
	r, err := l.change(ctx, "trim", name, func(r persistence.Record) (persistence.Record, error) {
		if planted.Active(planted.TrimTooEarly) {
			moved, r.Trimmed = true, upTo
			return r, nil
		}
		after, err := r.TrimmedTo(e, upTo)
		moved = err == nil && after != r
		return after, err
	})
	if err != nil || !moved {
		return err
	}
	planted.Reach(planted.MidTrim)
	return l.purge(ctx, "trim", r, r.Trimmed)
}

// Reset implements persistence.Log. The record is durable before the entries
// go: when that fails, the next trim goes on with it.
func (l *Log) Reset(ctx context.Context, name string, e persistence.Epoch, head persistence.Position, p persistence.Pointer) error {
	r, err := l.change(ctx, "reset", name, func(r persistence.Record) (persistence.Record, error) { return r.Renewed(e, head, p) })
	if err != nil {
		return err
	}
	return l.purge(ctx, "reset", r, r.Trimmed)
}

// Erase implements persistence.Log. The tombstone is durable before the
// entries go: when that fails, erasing again goes on with it.
func (l *Log) Erase(ctx context.Context, name string, at time.Time) error {
	r, err := l.change(ctx, "erase", name, func(r persistence.Record) (persistence.Record, error) { return r.ErasedAt(at), nil })
	if err != nil {
		return err
	}
	return l.purge(ctx, "erase", r, r.Head)
}

// purgeRows bounds one statement that removes entries.
const purgeRows = 5000

// purge removes the entries of a generation up to a position, and all of those
// before it, a part at a time.
func (l *Log) purge(ctx context.Context, op string, r row, upTo persistence.Position) error {
	for generation := persistence.Generation(1); generation <= r.Generation; generation++ {
		to := upTo
		if generation < r.Generation {
			to = math.MaxInt64
		}
		if err := l.purgeGeneration(ctx, r, generation, to); err != nil {
			return callError(op, r.Document, err)
		}
	}
	return nil
}

func (l *Log) purgeGeneration(ctx context.Context, r row, g persistence.Generation, upTo persistence.Position) error {
	if err := l.calls.Begin(ctx); err != nil {
		return err
	}
	defer l.calls.End()
	for first := int64(-1); ; {
		err := l.do(ctx, func(ctx context.Context, conn *pgxpool.Conn) error {
			if err := conn.QueryRow(ctx, `SELECT coalesce(min(position), 0) FROM ysync.update_log
				WHERE id = $1 AND generation = $2 AND position <= $3`, r.id, number(g), number(upTo)).Scan(&first); err != nil || first == 0 {
				return err
			}
			_, err := conn.Exec(ctx, `DELETE FROM ysync.update_log
				WHERE id = $1 AND generation = $2 AND position <= least($3::bigint, $4::bigint)`,
				r.id, number(g), number(upTo), first+purgeRows-1)
			return err
		})
		if err != nil || first == 0 {
			return callFailure(ctx, err)
		}
	}
}
