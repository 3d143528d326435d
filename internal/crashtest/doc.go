// Package crashtest kills a running server again and again and audits that
// nothing it acknowledged is lost.
//
// The server is the real binary in a process of its own. Some fifty sessions
// write text, arrays and maps into a few documents, delete from each other, and
// ask for acknowledgements (message 102). Every edit carries a token that names
// it, so that an audit finds it in the document without trusting counters. At a
// random moment the process is killed with SIGKILL, now and then while it is
// still starting; sometimes the newest snapshot of a document is damaged while
// it is down; it starts again on the same folder, and fresh clients read every
// document before any writer is let back in.
//
// Audited after every restart:
//
//   - every acknowledged insertion is in the document, unless somebody sent a
//     deletion of it;
//   - whatever an acknowledged deletion removed is gone;
//   - a key holds the last acknowledged value or a newer one;
//   - nothing is there that nobody sent.
//
// Audited at all times: no acknowledgement of an update whose dependency was
// withheld. Some writers send update n+1 on one connection and n, later, on
// another. Audited at the end, with all writers back: every edit ever made.
//
// A kill leaves the page cache alone. For what a power loss takes, the same
// writers work on a hub in the test's process, with its log and snapshots on a
// file system in memory that forgets what was not synced. At every sync the
// power fails in a copy of it, and the copy is audited in the same way.
//
// A cluster suffers more than kills. Its servers and their stores stand on
// machines of their own, which are cut off from each other, and the writers are
// at all of them (chaos). There what is acknowledged is looked up in the
// database at any moment, and a witness in the database tells who wrote what.
package crashtest
