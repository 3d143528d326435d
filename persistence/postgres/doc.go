// Package postgres is the update log in PostgreSQL, for one process or many.
//
// # Tables
//
// Everything is in the schema "ysync":
//
//	documents   one row per document: epoch, head, pointers, tombstone
//	update_log  one row per entry, keyed by document id, generation, position
//	migrations  which versions of the schema were applied
//
// Names and authors are bytes, since they may hold what a text cannot; times
// are milliseconds since 1970. The checksum of an entry covers the document's
// name, generation, position, epoch, time, author and update, so that a row
// which turns up in another place, or in another document, is found damaged.
//
// # Appending
//
// An append is one statement for many documents, which commits by itself. It
// moves the head of each document from the position that the writer knows to
// the one after the batch, if the generation and the epoch are still the
// writer's, and inserts the entries of those documents whose head it moved. So
// an epoch is fenced by the database alone: a statement of an old epoch that
// waits behind a claim looks at the row again when it gets the lock, and
// changes nothing.
//
// The comparison of the head makes the statement idempotent. When a connection
// breaks, nobody knows whether the statement took effect, takes effect later
// or never reached the server. The same statement is sent again: either it
// takes effect now, and the first one never will; or it finds the head moved,
// and the rows behind it tell by their epoch and checksums whose they are. When
// the database stays away the caller is told persistence.ErrUnknown, and the
// position is kept in mind until a later append of that document settles it:
// appending the same again can never store it twice.
//
// A document belongs to one of a few writers, by its number; each has a
// connection of its own and one statement on its way. What arrives meanwhile
// makes the next statement: groups form by themselves and nothing waits for
// the sake of a group.
//
// # Changes of a record
//
// Claims, pointers, trims and erasures read the row, ask the rule of package
// persistence, and write the row if its stamp is still the one that was read.
// Each writes a new random stamp, which answers after a broken connection
// whether the change is there. A claim that has to wait behind an owner which
// stalled in the middle of a statement ends that owner's connection.
//
// # Other databases
//
// The statements avoid advisory locks, triggers, functions and notifications,
// so that databases which speak PostgreSQL's protocol can run them. Settings
// that a server does not have are left out. Two conveniences are PostgreSQL's
// own, and do without where they fail: the termination of a stalled owner's
// connection (pg_blocking_pids), and the reading of pg_settings.
package postgres
