//go:build !linux && !darwin

package gateway

import "net"

// initRaw leaves s.rc nil: reading and writing wait in the standard library.
func (s *socket) initRaw() {}

func (s *socket) tryWrite(*net.Buffers) error { return errWait }

// readAhead is for sockets that are waited for here.
func (s *socket) readAhead(uintptr) ahead { return aheadNothing }
