package crdt

// pending are the blocks and deletes that wait for something they depend on.
type pending struct{}
