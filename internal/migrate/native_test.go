//go:build native

package migrate

import "testing"

// TestFreshNativeStore is TestFreshStores for the store whose package is compiled
// when it is installed (make stores).
func TestFreshNativeStore(t *testing.T) {
	needNode(t)
	freshStore(t, nativeKind)
}
