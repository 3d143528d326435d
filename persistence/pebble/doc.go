// Package pebble is the embedded update log: one database of
// github.com/cockroachdb/pebble in a folder, for one process at a time.
//
// # Keys
//
// A document's name is escaped so that names sort bytewise and no name's keys
// lie inside another's: a zero byte becomes 00 ff, and 00 01 ends the name.
//
//	'm' "format"                               version of this layout, in decimal
//	'r' name 00 01                             the record
//	'e' name 00 01 generation(8) position(8)   entries up to a position; numbers are big-endian
//
// # Values
//
//	record: version(1) crc32c(4) fields
//	group:  version(1) crc32c(4) epoch count time span (time author-length+1 author update-length update)...
//
// A group is what one append brought for a document, cut at some 16 KiB. Its key has
// the position of its last entry, so a seek to any of them finds it. Times are
// milliseconds: that of the first entry, and from there to the last and to each; an
// author-length of 0 stands for the author before. A trim keeps a group of
// which any entry stays. Layout 1 had a key for each entry: version(1)
// crc32c(4) epoch time author-length author update.
//
// The checksum covers the key's document, generation and position too, so a
// group that turns up in another place is found damaged. Head and Updated are
// not stored: they are the position and time of the newest entry (or Trimmed,
// when there is none), so that an append writes entries and nothing else.
//
// # Commits
//
// Every call of Append is one atomic write; the write-ahead log takes
// concurrent writes in groups, one fsync each. The check of the epoch and the
// choice of positions happen under the locks of the documents concerned, which
// are let go before the fsync: a lock is held for microseconds, and the
// next batch of the same document can join the same fsync. The write-ahead log
// is sequential, so what depends on a write is never durable before it.
//
// # Failing disks
//
// After a failed fsync nobody knows what the disk holds, and asking again may
// answer "fine". The process ends at once, with one line in the log and exit
// code ExitDiskFailed; the next start reads what is really there. A full disk
// is different: below a mark of free space appends are refused with
// ErrReadOnly, before a write can fail, until space returns (Space).
package pebble
