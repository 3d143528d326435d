package crdt

import "testing"

// CheckAtEnd checks a document when its test is over.
func CheckAtEnd(t testing.TB, d *Doc) {
	t.Helper()
	t.Cleanup(func() {
		if err := d.Check(); err != nil {
			t.Error(err)
		}
	})
}
