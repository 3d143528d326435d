package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"ysync/crdt"
	"ysync/internal/hub"
	"ysync/persistence"
	"ysync/snapshots"
)

// Code tells the errors of the API apart.
type Code string

// What an error can be.
const (
	// CodeInvalid (400): the request makes no sense.
	CodeInvalid Code = "invalid"
	// CodeDenied (401, 403): no grant, or not enough of one.
	CodeDenied Code = "denied"
	// CodeNotFound (404): no such document, route or root.
	CodeNotFound Code = "not_found"
	// CodeNoMoment (404): the document has no such moment.
	CodeNoMoment Code = "no_moment"
	// CodeExists (409): the document has content already.
	CodeExists Code = "exists"
	// CodeRetired (409): the update is of what the document was before a reset.
	CodeRetired Code = "retired"
	// CodeErased (410): the document was erased.
	CodeErased Code = "erased"
	// CodeThinned (410): retention has removed that moment.
	CodeThinned Code = "thinned"
	// CodeChanged (412): the document is not at the position of the condition.
	CodeChanged Code = "changed"
	// CodeTooLarge (413): the body, or the document, is too large.
	CodeTooLarge Code = "too_large"
	// CodeMalformed (422): the bytes are no update.
	CodeMalformed Code = "malformed"
	// CodeLimit (422): the update breaks a limit of the engine.
	CodeLimit Code = "limit"
	// CodeDamaged (500): stored bytes are damaged.
	CodeDamaged Code = "damaged"
	// CodeNewerFormat (500): a newer release wrote what is stored.
	CodeNewerFormat Code = "newer_format"
	// CodeInternal (500): anything not named here.
	CodeInternal Code = "internal"
	// CodeNotCommitting (503): the update log does not commit now.
	CodeNotCommitting Code = "not_committing"
	// CodeUnavailable (503): the document moves, or the server stops. It may
	// have happened or not; look, and try again.
	CodeUnavailable Code = "unavailable"
)

// Problem is an error as RFC 9457 writes it.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Code   Code   `json:"code"`
}

func (p *Problem) Error() string { return p.Detail }

func problem(status int, code Code, detail string) *Problem {
	return &Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail, Code: code}
}

func invalid(format string, args ...any) *Problem {
	return problem(http.StatusBadRequest, CodeInvalid, fmt.Sprintf(format, args...))
}

// classes say what an error is to a caller, the most telling first.
var classes = []struct {
	err    error
	status int
	code   Code
}{
	{persistence.ErrErased, http.StatusGone, CodeErased},
	{snapshots.ErrNoDocument, http.StatusNotFound, CodeNotFound},
	{hub.ErrNotFound, http.StatusNotFound, CodeNotFound},
	{snapshots.ErrThinned, http.StatusGone, CodeThinned},
	{snapshots.ErrMoment, http.StatusNotFound, CodeNoMoment},
	{hub.ErrExists, http.StatusConflict, CodeExists},
	{hub.ErrRetired, http.StatusConflict, CodeRetired},
	{hub.ErrChanged, http.StatusPreconditionFailed, CodeChanged},
	{hub.ErrTooLarge, http.StatusRequestEntityTooLarge, CodeTooLarge},
	{hub.ErrNotCommitting, http.StatusServiceUnavailable, CodeNotCommitting},
	{hub.ErrInvalidKey, http.StatusBadRequest, CodeInvalid},
	{hub.ErrInvalidName, http.StatusBadRequest, CodeInvalid},
	{crdt.ErrMalformed, http.StatusUnprocessableEntity, CodeMalformed},
	{crdt.ErrLimit, http.StatusUnprocessableEntity, CodeLimit},
	{persistence.ErrReadOnly, http.StatusServiceUnavailable, CodeNotCommitting},
	{persistence.ErrNewerFormat, http.StatusInternalServerError, CodeNewerFormat},
	{snapshots.ErrNewerFormat, http.StatusInternalServerError, CodeNewerFormat},
	{persistence.ErrCorrupt, http.StatusInternalServerError, CodeDamaged},
	{snapshots.ErrCorrupt, http.StatusInternalServerError, CodeDamaged},
	{snapshots.ErrUnrecoverable, http.StatusInternalServerError, CodeDamaged},
	{hub.ErrClosed, http.StatusServiceUnavailable, CodeUnavailable},
	{hub.ErrEnded, http.StatusServiceUnavailable, CodeUnavailable},
	{snapshots.ErrNoLog, http.StatusServiceUnavailable, CodeUnavailable},
	{context.Canceled, http.StatusServiceUnavailable, CodeUnavailable},
	{context.DeadlineExceeded, http.StatusServiceUnavailable, CodeUnavailable},
	{persistence.ErrTrimmed, http.StatusGone, CodeThinned},
	{persistence.ErrInvalid, http.StatusBadRequest, CodeInvalid},
	{snapshots.ErrNotFound, http.StatusNotFound, CodeNotFound},
}

// problemOf turns an error into what a caller is told.
func problemOf(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return problem(http.StatusRequestEntityTooLarge, CodeTooLarge, err.Error())
	}
	if end, ok := errors.AsType[*hub.EndError](err); ok && end.Code == hub.CodeErased {
		return problem(http.StatusGone, CodeErased, end.Reason)
	}
	for _, c := range classes {
		if errors.Is(err, c.err) {
			return problem(c.status, c.code, err.Error())
		}
	}
	return problem(http.StatusInternalServerError, CodeInternal, err.Error())
}

func writeProblem(w http.ResponseWriter, p *Problem) {
	w.Header().Set("Content-Type", "application/problem+json")
	if p.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p)
}
