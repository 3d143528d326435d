//go:build crash

package crashtest

import (
	"testing"
	"time"
)

// TestManyDocumentsOfADeadNode kills the owner of CHAOS_DOCUMENTS (2000)
// documents, a tenth of them with a writer who waits: all take edits within ten
// seconds, and those come first.
func TestManyDocumentsOfADeadNode(t *testing.T) {
	needSite(t)
	documents := int(number(t, "CHAOS_DOCUMENTS", 2000))
	waiting, others, last := legacy{binary: buildServer(t), dir: t.TempDir(), documents: documents, waiting: documents / 10}.play(t)
	if last > 10*time.Second {
		t.Errorf("the last document took an edit after %v", last)
	}
	before := 0
	for _, at := range others {
		if at < waiting[len(waiting)-1] {
			before++
		}
	}
	t.Logf("%d of %d documents without a waiting writer were back before the last of those with one", before, len(others))
	if w, o := waiting[len(waiting)/2], others[len(others)/2]; w >= o {
		t.Errorf("the median of documents with waiting writers is %v, that of the others %v", w, o)
	}
}
