// Package replica drives documents of package crdt by recorded commands, so
// that tests can replay what real Yjs did and compare the answers. It belongs
// to tests alone.
package replica
