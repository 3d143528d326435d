package hub

import (
	"errors"
	"fmt"
)

// Close codes of subscriptions that the hub ends. 4400 to 4499: trying again
// does not help. 4500 to 4599 and 1012: it does.
const (
	// CodeRestart: the document moves or the process stops.
	CodeRestart = 1012
	// CodeMalformed: updates that can't be decoded, again and again.
	CodeMalformed = 4400
	// CodeErased: the document was erased.
	CodeErased = 4404
	// CodeReset: the document was reset, and the client holds what was before.
	CodeReset = 4409
	// CodeTooLarge: the update would grow a document over its size limit.
	CodeTooLarge = 4413
	// CodeRefused: the update is valid but breaks a limit other than size.
	CodeRefused = 4422
	// CodeIdentity: the client writes under an ID that is not its own, or writes
	// again what it has written, otherwise.
	CodeIdentity = 4423
	// CodeInternal: a fault of the server.
	CodeInternal = 4500
	// CodeUnavailable: the document could not be loaded, or is quarantined.
	CodeUnavailable = 4503
	// CodeSlow: the reader drained nothing for too long.
	CodeSlow = 4508
)

var (
	// ErrEnded: the subscription is over. Subscription.End tells why.
	ErrEnded = errors.New("the subscription has ended")
	// ErrMoved: the document is, or is about to be, served by another node. Ask
	// where it is and subscribe there; the connection need not be closed.
	ErrMoved = errors.New("the document is served by another node")
	// ErrClosed: the hub takes no new work.
	ErrClosed = errors.New("the hub is closed")
	// ErrInvalidName: the log can't hold a document of this name.
	ErrInvalidName = errors.New("invalid document name")
	// ErrNotFound: the document was never written.
	ErrNotFound = errors.New("the document does not exist")
	// ErrExists: the document has content already.
	ErrExists = errors.New("the document exists already")
	// ErrChanged: the document is not at the position that the caller saw.
	ErrChanged = errors.New("the document has changed meanwhile")
	// ErrNotCommitting: the log does not commit, so nothing is taken in now.
	ErrNotCommitting = errors.New("the update log does not commit now")
	// ErrTooLarge: the document is at its size limit, or too much of it waits
	// for what is missing.
	ErrTooLarge = errors.New("the document is at its size limit")
	// ErrRetired: the update is of a generation of the document that is over.
	ErrRetired = errors.New("the update is of what the document was before it was reset")
	// ErrInvalidKey: the log can't hold such an idempotency key.
	ErrInvalidKey = errors.New("invalid idempotency key")
)

// EndError is why the hub ended a subscription.
type EndError struct {
	// Code is the close code for the connection.
	Code int
	// Reason is a short text for the client. It quotes nothing that came in.
	Reason string
}

func (e *EndError) Error() string { return fmt.Sprintf("subscription ended: %d %s", e.Code, e.Reason) }

// Is makes every EndError an ErrEnded, and one that tells of a move an ErrMoved.
func (e *EndError) Is(target error) bool {
	return target == ErrEnded || target == ErrMoved && (e == endMoved || e == endHandedOver)
}

// toNewcomers is what the end of a document means to those who have not seen
// anything of it yet: after a reset they may come at once.
func (e *EndError) toNewcomers() *EndError {
	if e == endReset {
		return endRestart
	}
	return e
}

var (
	endClosed  = &EndError{Code: 1000, Reason: "closed"}
	endRestart = &EndError{Code: CodeRestart, Reason: "restarting"}
	endMoved   = &EndError{Code: CodeRestart, Reason: "the document has moved"}
	// endHandedOver is the same, when it was this node's will.
	endHandedOver = &EndError{Code: CodeRestart, Reason: "the document moves"}
	endErased     = &EndError{Code: CodeErased, Reason: "the document was erased"}
	endReset      = &EndError{Code: CodeReset, Reason: "the document was reset: reload it, what you have is of before"}
	endLoad       = &EndError{Code: CodeUnavailable, Reason: "the document could not be loaded"}
	// endUnjudged ends a session that must be judged and can't be: unlike after
	// endRestart, whoever keeps it for its client must not bring it again.
	endUnjudged    = &EndError{Code: CodeUnavailable, Reason: "the document was reset: connect again, to tell what you have"}
	endQuarantined = &EndError{Code: CodeUnavailable, Reason: "the document is quarantined: it is damaged"}
	endSlow        = &EndError{Code: CodeSlow, Reason: "nothing was read for too long"}
	endGarbled     = &EndError{Code: CodeMalformed, Reason: "malformed updates"}
	endLarge       = &EndError{Code: CodeTooLarge, Reason: "the document is at its size limit"}
	endRefused     = &EndError{Code: CodeRefused, Reason: "the update breaks a limit"}
	endForked      = &EndError{Code: CodeIdentity, Reason: "this client ID has written something else there: begin with an empty document and a new client ID"}
	endForeign     = &EndError{Code: CodeIdentity, Reason: "edits under a client ID of somebody else who is here and has not made them"}
	endClock       = &EndError{Code: CodeIdentity, Reason: "the clock of a client ID advances out of proportion"}
	endPending     = &EndError{Code: CodeRefused, Reason: "too much waits for what is missing"}
)
