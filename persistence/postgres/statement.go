package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"ysync/persistence"
)

const appendStatement = "append"

// appendSQL moves the heads that are where the writer thinks they are, under
// the writer's claim, inserts the entries of those documents, and returns the
// ordinal numbers of the documents. It commits by itself. The documents come
// in the order of their ids, so that two such statements lock them in the same order.
const appendSQL = `WITH d AS (
	SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
		WITH ORDINALITY AS d(id, generation, epoch, base, head, updated_ms, n)
), h AS (
	UPDATE ysync.documents AS t SET head = d.head, updated_ms = d.updated_ms FROM d
	WHERE t.id = d.id AND t.epoch = d.epoch AND t.generation = d.generation AND t.head = d.base AND t.tombstone_ms IS NULL
	RETURNING d.n, t.id, t.generation, t.epoch
), e AS (
	INSERT INTO ysync.update_log (id, generation, position, epoch, time_ms, crc, author, data)
	SELECT h.id, h.generation, e.position, h.epoch, e.time_ms, e.crc, e.author, e.data
	FROM unnest($7::bigint[], $8::bigint[], $9::bigint[], $10::integer[], $11::bytea[], $12::bytea[])
		AS e(n, position, time_ms, crc, author, data) JOIN h ON h.n = e.n
)
SELECT n FROM h`

// statement holds the arguments of one append, column by column.
type statement struct {
	ids, generations, epochs, bases, heads, updated []int64

	owners, positions, times []int64
	crcs                     []int32
	authors, data            [][]byte
}

// newStatement lays out the parts, which are in the order of their ids.
func newStatement(parts []*part) *statement {
	entries := 0
	for _, p := range parts {
		entries += p.entries
	}
	s := &statement{
		ids: make([]int64, 0, len(parts)), generations: make([]int64, 0, len(parts)), epochs: make([]int64, 0, len(parts)),
		bases: make([]int64, 0, len(parts)), heads: make([]int64, 0, len(parts)), updated: make([]int64, 0, len(parts)),
		owners: make([]int64, 0, entries), positions: make([]int64, 0, entries), times: make([]int64, 0, entries),
		crcs: make([]int32, 0, entries), authors: make([][]byte, 0, entries), data: make([][]byte, 0, entries),
	}
	for i, p := range parts {
		s.add(int64(i+1), p)
	}
	return s
}

func (s *statement) add(n int64, p *part) {
	p.crcs = p.crcs[:0]
	at := timeOf(p.head.updated)
	e := persistence.Entry{Position: p.head.position, Epoch: p.epoch}
	author := []byte{}
	for _, r := range p.requests {
		for i := range r.batch.Entries {
			in := &r.batch.Entries[i]
			at = persistence.EntryTime(at, in.Time)
			e.Position++
			if e.Author != in.Author {
				author = []byte(in.Author)
			}
			e.Time, e.Author, e.Update = at, in.Author, in.Update
			p.crcs = append(p.crcs, checksum(p.name, p.generation, &e))
			s.owners = append(s.owners, n)
			s.positions = append(s.positions, number(e.Position))
			s.times = append(s.times, at.UnixMilli())
			s.authors = append(s.authors, author)
			s.data = append(s.data, notNull(e.Update))
		}
	}
	s.crcs = append(s.crcs, p.crcs...)
	p.last = millisOf(at)
	s.ids = append(s.ids, p.head.id)
	s.generations = append(s.generations, number(p.generation))
	s.epochs = append(s.epochs, number(p.epoch))
	s.bases = append(s.bases, number(p.head.position))
	s.heads = append(s.heads, number(e.Position))
	s.updated = append(s.updated, at.UnixMilli())
}

// notNull is b, or no bytes for a nil slice, which would become a NULL.
func notNull(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// run sends the statement and returns the indices of the parts that it took.
func (s *statement) run(ctx context.Context, conn *pgx.Conn) ([]int, error) {
	rows, err := conn.Query(ctx, appendStatement,
		s.ids, s.generations, s.epochs, s.bases, s.heads, s.updated,
		s.owners, s.positions, s.times, s.crcs, s.authors, s.data)
	if err != nil {
		return nil, err
	}
	taken := make([]int, 0, len(s.ids))
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&n}, func() error {
		taken = append(taken, int(n-1))
		return nil
	})
	return taken, err
}
