package session

import "fmt"

// The close codes that the server sends (RFC 6455 §7.4; 4000–4999 are
// private). Clients of y-websocket 3.1 stop reconnecting on 4400–4499 and
// retry on everything else, so no code of that band is used for what a retry
// can cure.
const (
	// CloseUnsupportedData: a text frame; the dialects are binary.
	CloseUnsupportedData = 1003
	// CloseTooBig: a message over Limits.MessageBytes.
	CloseTooBig = 1009
	// CloseRestart: the server shuts down; reconnect.
	CloseRestart = 1012
	// CloseTryLater: the server has no room for what the client asks.
	CloseTryLater = 1013

	// CloseMalformed: messages that do not decode, repeatedly or from the start.
	CloseMalformed = 4400
	// CloseUnauthorized: no token, one that is not good, or one that has
	// expired meanwhile.
	CloseUnauthorized = 4401
	// CloseForbidden: no grant for the document.
	CloseForbidden = 4403
	// CloseName: there is no document of this name, as none can have it. (An
	// erased document ends with the same code.)
	CloseName = 4404
	// CloseDialect: a protocol that the server does not speak.
	CloseDialect = 4406

	// CloseInternal: a fault of the server.
	CloseInternal = 4500
	// CloseUnavailable: whether the client may come in cannot be told now.
	CloseUnavailable = 4503
	// CloseTooMany: more connections of one subject or tenant than it may have.
	CloseTooMany = 4529
	// CloseSlowReader: nothing was read from the connection for Limits.StallFor.
	CloseSlowReader = 4508
	// CloseSlowSender: a large message came too slowly for the memory it holds.
	CloseSlowSender = 4509
)

// MaxReasonBytes bounds the reason of a close (RFC 6455 §5.5: a control frame
// carries 125 bytes, two of which are the code).
const MaxReasonBytes = 123

// Close says why a connection ends.
type Close struct {
	Code   int
	Reason string
}

func (c *Close) Error() string { return fmt.Sprintf("closed %d: %s", c.Code, c.Reason) }

// Closef makes a Close. The reason is cut to MaxReasonBytes, at a character.
func Closef(code int, format string, args ...any) *Close {
	reason := fmt.Sprintf(format, args...)
	if len(reason) > MaxReasonBytes {
		cut := 0
		for i := range reason {
			if i > MaxReasonBytes {
				break
			}
			cut = i
		}
		reason = reason[:cut]
	}
	return &Close{Code: code, Reason: reason}
}
