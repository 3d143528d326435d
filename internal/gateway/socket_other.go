//go:build !linux && !darwin

package gateway

// initRaw leaves s.rc nil: reading and writing wait in the standard library.
func (s *socket) initRaw() {}

func (s *socket) tryWrite(*attempt) error { return errWait }

// readAhead is for sockets that are waited for here.
func (s *socket) readAhead(uintptr) ahead { return aheadNothing }
