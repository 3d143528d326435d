//go:build !linux

package gateway

// inheritedKeepAlive has the runtime set its own keepalive: not all systems let
// accepted connections inherit it.
const inheritedKeepAlive = 0

// socketOptions leaves the system's defaults: a peer that vanished is noticed
// when the system gives up on it.
func socketOptions(uintptr) error { return nil }
