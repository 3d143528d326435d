package hub

import (
	"iter"

	"ysync/crdt"
)

func added(commit *crdt.Commit) []addedRange { return nil }

func chunksOf(doc *crdt.Doc, sv crdt.StateVector, bytes int) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) { yield(doc.AppendDiff(nil, crdt.V1, sv)) }
}
