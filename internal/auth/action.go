package auth

import (
	"fmt"
	"time"
)

// Action is what somebody wants to do with a document.
type Action uint8

// Everything that is asked for anywhere is one of these.
const (
	// Look receives the document: to connect, to ask for what one lacks and for
	// an acknowledgement, and to say what one has.
	Look Action = 1 + iota
	// Show takes part in presence: to be seen, and to see the others.
	Show
	// Edit changes the document.
	Edit
	// Operate does what the API does, on one document or, without a name, on all.
	Operate
)

// String is the action in words, for refusals.
func (a Action) String() string {
	switch a {
	case Look:
		return "read"
	case Show:
		return "presence"
	case Edit:
		return "write"
	case Operate:
		return "admin"
	default:
		return "unknown"
	}
}

// least is the least scope that each action takes.
var least = [...]Scope{Look: Silent, Show: Read, Edit: Write, Operate: Admin}

// Allows is the one place where it is judged what a scope is good for. Messages
// of every kind, connections, requests and commands of the command line come
// here, by way of Grant.Check where a document and the time count too. What is
// not an action is not allowed.
func (s Scope) Allows(a Action) bool {
	return a != 0 && int(a) < len(least) && s >= least[a] && s <= Admin
}

// Check refuses an action on a document at a time, with an error that wraps
// ErrDenied and quotes nothing. The empty name stands for all documents.
func (g Grant) Check(a Action, document string, now time.Time) error {
	switch {
	case g.Expired(now):
		return fmt.Errorf("%w: it has expired", ErrToken)
	case !g.Covers(document):
		return fmt.Errorf("%w: the grant does not cover the document", ErrDenied)
	case !g.Scope.Allows(a):
		return fmt.Errorf("%w: the token does not grant %v here", ErrDenied, a)
	}
	return nil
}
