// Package migrate reads the stores of other servers for Yjs documents and
// imports what they hold.
//
// A Source lists documents by name and reads them one by one: as updates in the
// encoding V1, which all of these servers keep. It writes nothing. An Importer
// applies the updates to a document of its own, writes that document's state
// into the update log and the snapshots, loads it back and compares.
//
// # y-leveldb
//
// Package y-leveldb 0.1 and 0.2, which y-websocket up to version 2 keeps its
// documents with (YPERSISTENCE), in a LevelDB folder. A key is a row of parts: a
// byte 0 and a string (a length as a varint, then UTF-8), or a byte 1 and a
// number (32 bits, big-endian).
//
//	"v1", name, "update", clock   an update; clocks are dense
//	"v1", name, "meta", key       a value of the application's, encoded as Any
//	"v1_sv", name                 clock (varint), state vector (a length, then bytes)
//
// Flushing a document writes its whole state as one more update, then the state
// vector with that update's clock, and removes all clocks before it.
//
// # Hocuspocus
//
// The SQLite extension has a table "documents" (name, data), the S3 extension an
// object of the name <prefix><document>.bin. Both hold one update: the state.
//
// # y-sweet
//
// A file, or an object, <document>/data.ysweet. It is a sorted map of bytes to
// bytes in the encoding of bincode 1.3: the number of entries, then for each
// entry the key and the value, each with its length in front; these numbers have
// 64 bits, little-endian. Keys are those of yrs-kvstore 0.3 (numbers there have
// 32 bits, big-endian):
//
//	0 0 "doc" 0        the number n by which other keys name the document
//	0 1 n 0            the state
//	0 1 n 1            the state vector
//	0 1 n 2 clock 0    an update that the state does not hold yet
//	0 1 n 3 key 0      a value of the application's
package migrate
