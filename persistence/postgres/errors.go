package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/jackc/pgx/v5/pgconn"

	"ysync/persistence"
)

// SQLSTATEs that mean something to us.
const (
	codeUniqueViolation   = "23505"
	codeReadOnly          = "25006"
	codeBadPassword       = "28P01"
	codeBadAuthorization  = "28000"
	codeNoDatabase        = "3D000"
	codeSerialization     = "40001"
	codeUnknownCompletion = "40003"
	codeDeadlock          = "40P01"
	codeForbidden         = "42501"
	codeDuplicateSchema   = "42P06"
	codeDuplicateTable    = "42P07"
	codeNoTable           = "42P01"
	codeNoSchema          = "3F000"
	codeTooMany           = "53300"
	codeDiskFull          = "53100"
	codeLockTimeout       = "55P03"
	codeCancelled         = "57014"
	codeAdminShutdown     = "57P01"
	codeCrashShutdown     = "57P02"
	codeStarting          = "57P03"
)

// outcome is what an error says about the statement that it ended.
type outcome uint8

const (
	// refused: the server answered, and nothing of the statement is there.
	refused outcome = iota
	// again: as refused, and the same statement may succeed soon.
	again
	// unsent: the statement did not leave this process.
	unsent
	// unknown: it may have taken effect, or may still.
	unknown
)

// away reports whether the database did not answer.
func (o outcome) away() bool { return o == unsent || o == unknown }

// outcomeOf judges the error of a statement that commits by itself. An answer
// of severity ERROR means that the server rolled it back. What ends the
// connection instead may come after the commit.
func outcomeOf(err error) outcome {
	if errors.Is(err, errContended) {
		return refused
	}
	if _, ok := errors.AsType[*unsentError](err); ok {
		return unsent
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return unsent
	}
	if p, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch {
		case p.Code == codeUnknownCompletion || p.SeverityUnlocalized != "ERROR" && p.Severity != "ERROR":
			return unknown
		case p.Code == codeSerialization || p.Code == codeDeadlock || p.Code == codeLockTimeout || p.Code == codeCancelled || p.Code == codeTooMany:
			return again
		}
		return refused
	}
	if pgconn.SafeToRetry(err) {
		return unsent
	}
	return unknown
}

// code is the SQLSTATE of an answer, empty for other errors.
func code(err error) string {
	if p, ok := errors.AsType[*pgconn.PgError](err); ok {
		return p.Code
	}
	return ""
}

// fault is an error of the database or the way to it, as the caller sees it:
// on one line, and without what may hold a secret or a document's content.
type fault struct{ err error }

func (f fault) Unwrap() error { return f.err }

func (f fault) Error() string {
	if p, ok := errors.AsType[*pgconn.PgError](f.err); ok {
		return fmt.Sprintf("the database says: %s (SQLSTATE %s)", p.Message, p.Code)
	}
	if op, ok := errors.AsType[*net.OpError](f.err); ok {
		if number, ok := errors.AsType[*os.SyscallError](op.Err); ok {
			return fmt.Sprintf("the database cannot be reached: %v", number.Err)
		}
		return "the database cannot be reached: " + op.Op + " failed"
	}
	if _, ok := errors.AsType[*net.DNSError](f.err); ok {
		return "the database cannot be reached: its host name cannot be resolved"
	}
	if errors.Is(f.err, context.DeadlineExceeded) || isTimeout(f.err) {
		return "the database does not answer in time"
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](f.err); ok {
		return "the database cannot be reached"
	}
	return "the connection to the database broke"
}

func isTimeout(err error) bool {
	t, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err)
	return ok && t.Timeout()
}

// storeError is the class of a failure that the caller is told.
func storeError(err error) error {
	if errors.Is(err, errContended) {
		return err
	}
	switch code(err) {
	case codeDiskFull:
		return fmt.Errorf("%w: the database's disk is full: %w", persistence.ErrReadOnly, fault{err})
	case codeReadOnly:
		return fmt.Errorf("%w: the database is a read-only one: %w", persistence.ErrReadOnly, fault{err})
	case codeUniqueViolation:
		return fmt.Errorf("%w: there are entries past the head: %w", persistence.ErrCorrupt, fault{err})
	}
	return fault{err}
}

// openFailure says in one line why the log could not be opened.
func openFailure(where string, err error) error {
	var advice string
	switch code(err) {
	case codeBadPassword, codeBadAuthorization:
		advice = "the user name or the password is refused: "
	case codeNoDatabase:
		advice = "create the database first: "
	case codeForbidden:
		advice = "the user needs the right CREATE on the database, or a schema ysync of its own: "
	case codeNoTable, codeNoSchema:
		advice = "the tables are not there: "
	}
	for _, class := range []error{persistence.ErrNewerFormat, persistence.ErrInvalid, errUnsafe, errSchema, context.Canceled} {
		if errors.Is(err, class) {
			return fmt.Errorf("postgres at %s: %w", where, err)
		}
	}
	return fmt.Errorf("postgres at %s: %s%w", where, advice, fault{err})
}

// atPosition carries the place of a damaged entry to the error that the caller sees.
type atPosition struct {
	position persistence.Position
	err      error
}

func (e *atPosition) Error() string { return e.err.Error() }
func (e *atPosition) Unwrap() error { return e.err }

// callError is the error of a method.
func callError(op, name string, err error) error {
	out := &persistence.Error{Op: op, Document: name, Err: err}
	if at, ok := errors.AsType[*atPosition](err); ok {
		out.Position, out.Err = at.position, at.err
	}
	return out
}
