package crdt

// Limits bound what a document accepts. A zero field means its default.
type Limits struct {
	// TypeDepth is how deep shared types may nest; a type in a root has depth 1.
	// Default 512.
	TypeDepth int
	// BlocksPerUpdate is how many blocks one V2 update may hold: run-length
	// coding lets a few bytes claim millions. Default: 4096 and 4 per byte.
	// In V1 the bytes themselves are the bound.
	BlocksPerUpdate int
	// PendingBytes bounds the blocks that wait for a dependency, as counted by
	// Pending.Bytes. Default 256 MiB.
	PendingBytes int
}

// blocksPerUpdate is the default of Limits.BlocksPerUpdate. Real updates have
// less than one block a byte.
func blocksPerUpdate(size int) int { return 4096 + 4*size }

const (
	defaultTypeDepth    = 512
	defaultPendingBytes = 256 << 20
	// maxAnyDepth is how deep values (Any and JSON) may nest.
	maxAnyDepth = 100
)

func (l Limits) withDefaults() Limits {
	if l.TypeDepth <= 0 {
		l.TypeDepth = defaultTypeDepth
	}
	if l.PendingBytes <= 0 {
		l.PendingBytes = defaultPendingBytes
	}
	return l
}
