package postgres

import (
	"context"
	"encoding/binary"
	"strings"

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

// withoutEpoch is the statement under any claim, for tests of fencing.
func withoutEpoch() string { return strings.Replace(appendSQL, "AND t.epoch = d.epoch", "", 1) }

// Type numbers of array elements in the protocol.
const (
	typeBytes  = 17
	typeBigint = 20
	typeInt    = 23
)

// array is an array of one dimension in the protocol's binary form: dimensions,
// whether there are nulls, element type, length, first index; then each
// element behind its length.
type array struct {
	b []byte
	n uint32
}

const arrayHeader = 20

func (a *array) start(elements uint32) {
	a.n = 0
	a.b = append(a.b[:0], make([]byte, arrayHeader)...)
	binary.BigEndian.PutUint32(a.b[8:], elements)
	binary.BigEndian.PutUint32(a.b[16:], 1)
}

func (a *array) bigint(n int64) {
	a.n++
	a.b = binary.BigEndian.AppendUint32(a.b, 8)
	a.b = binary.BigEndian.AppendUint64(a.b, uint64(n))
}

func (a *array) int(n int32) {
	a.n++
	a.b = binary.BigEndian.AppendUint32(a.b, 4)
	a.b = binary.BigEndian.AppendUint32(a.b, uint32(n))
}

func (a *array) bytes(v []byte) {
	a.n++
	a.b = binary.BigEndian.AppendUint32(a.b, uint32(len(v)))
	a.b = append(a.b, v...)
}

func (a *array) string(v string) {
	a.n++
	a.b = binary.BigEndian.AppendUint32(a.b, uint32(len(v)))
	a.b = append(a.b, v...)
}

// finish returns the array, which is valid until the next start.
func (a *array) finish() []byte {
	if a.n > 0 {
		binary.BigEndian.PutUint32(a.b, 1)
	}
	binary.BigEndian.PutUint32(a.b[12:], a.n)
	return a.b
}

// statement holds the arguments of one append, column by column, in the order
// of the parameters. Its room is used again by the next.
type statement struct {
	arguments [12]array
	taken     []int
}

// elements are the element types of the arguments.
var elements = [12]uint32{
	typeBigint, typeBigint, typeBigint, typeBigint, typeBigint, typeBigint, // documents
	typeBigint, typeBigint, typeBigint, typeInt, typeBytes, typeBytes, // entries
}

// maxRoom is how large an argument may be to be kept for the next statement.
const maxRoom = 4 << 20

// fill lays out the parts, which are in the order of their ids.
func (s *statement) fill(parts []*part) {
	for i := range s.arguments {
		if cap(s.arguments[i].b) > maxRoom {
			s.arguments[i].b = nil
		}
		s.arguments[i].start(elements[i])
	}
	for i, p := range parts {
		s.add(int64(i+1), p)
	}
}

func (s *statement) add(n int64, p *part) {
	p.crcs = p.crcs[:0]
	at := timeOf(p.head.updated)
	e := persistence.Entry{Position: p.head.position, Epoch: p.epoch}
	entries := s.arguments[6:]
	for _, r := range p.requests {
		for i := range r.batch.Entries {
			in := &r.batch.Entries[i]
			at = persistence.EntryTime(at, in.Time)
			e.Position++
			e.Time, e.Author, e.Update = at, in.Author, in.Update
			sum := checksum(p.name, p.generation, &e)
			p.crcs = append(p.crcs, sum)
			entries[0].bigint(n)
			entries[1].bigint(number(e.Position))
			entries[2].bigint(at.UnixMilli())
			entries[3].int(sum)
			entries[4].string(e.Author)
			entries[5].bytes(e.Update)
		}
	}
	p.last = at.UnixMilli()
	documents := s.arguments[:6]
	documents[0].bigint(p.head.id)
	documents[1].bigint(number(p.generation))
	documents[2].bigint(number(p.epoch))
	documents[3].bigint(number(p.head.position))
	documents[4].bigint(number(e.Position))
	documents[5].bigint(p.last)
}

// binaryFormat is the format of all arguments and results.
var binaryFormat = []int16{pgx.BinaryFormatCode}

// run sends the statement and returns the indices of the parts that it took,
// valid until the next run.
func (s *statement) run(ctx context.Context, conn *pgx.Conn) ([]int, error) {
	var values [len(s.arguments)][]byte
	for i := range s.arguments {
		values[i] = s.arguments[i].finish()
	}
	rows := conn.PgConn().ExecPrepared(ctx, appendStatement, values[:], binaryFormat, binaryFormat)
	s.taken = s.taken[:0]
	for rows.NextRow() {
		s.taken = append(s.taken, int(binary.BigEndian.Uint64(rows.Values()[0]))-1)
	}
	_, err := rows.Close()
	return s.taken, err
}
