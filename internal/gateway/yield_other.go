//go:build !linux

package gateway

import "runtime"

// yielder lets other goroutines run. Connections that have become readable may
// have to wait until the scheduler looks at the network.
type yielder struct{}

func newYielder() *yielder { return nil }

func (*yielder) yield() { runtime.Gosched() }
