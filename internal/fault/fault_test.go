package fault_test

import (
	"testing"

	"ysync/internal/fault"
)

func TestActive(t *testing.T) {
	t.Setenv(fault.Variable, string(fault.TrimTooEarly))
	if got := fault.Active(fault.TrimTooEarly); got != fault.Enabled {
		t.Errorf("Active(TrimTooEarly) = %v in a build with Enabled = %v", got, fault.Enabled)
	}
	if fault.Active(fault.DropPending) {
		t.Error("a bug is planted that was not asked for")
	}
}
