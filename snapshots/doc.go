// Package snapshots keeps the stored states and the history of documents in a
// blob store, and rebuilds documents from them and the update log.
//
// A snapshot is the full state of a document at one position of its log. A
// segment is a row of log entries with their times and authors. Both are
// written once, never changed, verified by reading back before anything points
// at them, and self-describing: with every other store lost, a folder of these
// files still tells which documents there were and what they held.
//
// # The past
//
// Keeper.At gives a document as it was at a Moment, Between and Diff what
// changed between two, Timeline who worked when, Authors who wrote and who
// deleted what. Retain thins the files of a document out by age, a Retainer
// those of all. Rebuild fills an empty log from the files alone, Erase removes
// a document. All of them read the files and the log together: entries out of
// the log where it has them, out of segments elsewhere.
//
// # Envelope
//
// Both files have one envelope. Integers outside the header are big-endian.
//
//	 offset   bytes
//	+------+ 0
//	| magic    8     "YSYNCSNP" or "YSYNCSEG"
//	| version  4     format version, 1
//	| H        4     length of the header, at most 64 KiB
//	+------+ 16
//	| header   H     fields, see below
//	+------+ 16+H
//	| crc      4     CRC-32C of bytes 0 … 16+H
//	+------+ 20+H
//	| body     B     one zstd frame, window at most 8 MiB
//	+------+ 20+H+B
//	| digest   32    SHA-256 of everything before it
//	+------+ 52+H+B
//
// Magic, version, header length, header and crc keep their places in every
// later version, so that a file of a newer format is told from a damaged one
// and refused by name. The crc lets a listing trust a header without reading
// the body; the digest finds any flipped or missing byte of the file.
//
// # Header fields
//
// uvarint and varint are those of encoding/binary; a string is a uvarint length
// and its bytes; times are varint milliseconds since 1970 UTC.
//
//	snapshot                          segment
//	string   document                 string   document
//	uvarint  generation               uvarint  generation
//	uvarint  epoch of the writer      uvarint  epoch of the writer
//	uvarint  position                 uvarint  from (exclusive)
//	varint   time                     uvarint  to (inclusive)
//	string   label                    varint   time of the first entry
//	byte     encoding, 2 = update V2  varint   time of the last entry
//	uvarint  raw size R               uvarint  raw size R
//	uvarint  stored size B            uvarint  stored size B
//	32 bytes SHA-256 of the raw body  32 bytes SHA-256 of the raw body
//
// # Bodies
//
// The raw body of a snapshot is one update V2 with everything the document
// holds, what is pending included. That of a segment is its entries from+1 … to:
//
//	uvarint  epoch under which it was appended, less that of the entry before
//	uvarint  milliseconds since the entry before
//	string   author
//	string   update (update V1)
//
// The first entry counts from epoch 0 and from the header's first time.
//
// # Authors
//
// Before retention removes segments it stores who wrote what is in them, in the
// same envelope with the magic "YSYNCAUT". Header: string document, uvarint
// generation, from and to (of the entries known, as in a segment), raw size and
// stored size, and the digest of the raw body. Body: the number of bound client
// IDs, each with its subject as a string; then the number of other client IDs,
// each with a number of ranges of clocks: from, to (exclusive), who delivered
// them. Numbers are uvarints.
//
// # Retired clients
//
// A generation that a reset began has a file with the clients of all before it,
// in the same envelope with the magic "YSYNCRET". Header: string document, uvarint
// generation and epoch, varint time and string author of the reset, uvarint number
// of clients, raw size and stored size, and the digest of the raw body. Body: the
// client IDs in ascending order, each as a uvarint less the one before. Beside it
// stand a segment (0, 1] and a snapshot at 1 with the content. Of several such files
// that of the newest epoch counts: the others are of resets that were cut off.
package snapshots
