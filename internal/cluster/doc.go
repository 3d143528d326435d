// Package cluster knows which nodes live, and at which of them a document is to
// be reached.
//
// What it says is a hint. Who may write is decided by the update log alone, by
// the epoch that every append carries; a wrong answer here costs a detour, not
// an edit.
package cluster
