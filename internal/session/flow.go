package session

import "time"

// WriteStarted notes that the transport was given a frame at now.
func (s *Session) WriteStarted(now time.Time) { s.writing = s.at(now) }

// WriteEnded notes that the transport took the whole frame.
func (s *Session) WriteEnded(now time.Time) {
	s.writing = 0
	s.sent = s.at(now)
}

// Progress answers a probe: n bytes were taken since the write started or the
// last probe. It returns why the connection must end, or nil if the write may
// go on. A reader that takes a byte now and then is never closed, only one
// that took none for Limits.StallFor.
func (s *Session) Progress(n int, now time.Time) *Close {
	if n > 0 {
		s.writing = s.at(now)
		return nil
	}
	if s.at(now).since(s.writing) < s.limits.StallFor {
		return nil
	}
	s.state = closed
	return Closef(CloseSlowReader, "nothing was read for %v", s.limits.StallFor)
}

// LargeStarted notes that a message under way holds a part of the budget for
// large messages from now on.
func (s *Session) LargeStarted(now time.Time) { s.large, s.largeRead = s.at(now), 0 }

// LargeRead notes n more bytes of it.
func (s *Session) LargeRead(n int) { s.largeRead += n }

// LargeEnded notes that the message was read whole.
func (s *Session) LargeEnded() { s.large = 0 }

// tooSlow reports whether the large message under way holds its memory for too
// few bytes.
func (s *Session) tooSlow(now instant) bool {
	if s.large == 0 {
		return false
	}
	late := now.since(s.large) - s.limits.LargeGrace
	return late > 0 && float64(s.largeRead) < late.Seconds()*float64(s.limits.LargeBytesPerSecond)
}
