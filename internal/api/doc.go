// Package api is the HTTP interface for operators and programs: documents and
// their past, snapshots, restoring, seeding and erasing. It stands on the
// operations listener, beside /status and /metrics.
//
// # Routes
//
// All are below /api/v1. A document's name is one segment of the path,
// percent-encoded ("notes/a" is notes%2Fa). Moments (at, from, to) are those of
// snapshots.ParseMoment: now, 2026-11-17T14:05:00Z, 2h ago, #1234 (a position),
// #1234@1 (one of generation 1), label:name.
//
//	GET    /documents                        list, by ?prefix, ?after, ?limit
//	GET    /documents/{document}             explain: log, snapshots, memory, limits
//	GET    /documents/{document}/content     ?format=json|text|v1|v2, ?at, ?root
//	POST   /documents/{document}/updates     apply an update, ?format=v1|v2
//	PUT    /documents/{document}             create, {"ops": […]}
//	POST   /documents/{document}/edit        {"ops": […]}: all of them or none
//	POST   /documents/{document}/copy        {"into": …}
//	PUT    /documents/{document}/seed        initial content, once per Idempotency-Key
//	GET    /documents/{document}/history     who edited when
//	GET    /documents/{document}/diff        ?from, ?to: what changed, by whom
//	GET    /documents/{document}/authors     ?at: who wrote what is there
//	GET    /documents/{document}/snapshots   list
//	POST   /documents/{document}/snapshots   store one, {"label": …}
//	POST   /documents/{document}/restore     {"at": …, "into": …} or {"at": …, "in_place": true}
//	POST   /documents/{document}/reset       {"at": …}: begin anew, with clients of before refused
//	DELETE /documents/{document}             erase for good
//	POST   /documents/{document}/retry       end its quarantine and load it
//	POST   /documents/{document}/repair      find out what is damaged and put it right
//	GET    /documents/{document}/refused/{id}  the bytes of a refused update
//	DELETE /documents/{document}/refused/{id}  remove one
//	GET    /refused                          updates that broke a limit, ?document
//	POST   /verify                           read everything that is stored, ?prefix, ?document
//	POST   /prune                            apply the retention, ?prefix, ?document
//	POST   /backup                           back the data folder up, {"to": …}
//	GET    /stores/records                   the records of the log, ?after, ?document
//	GET    /stores/entries                   its entries, ?document, ?after, ?to
//	GET    /stores/objects                   the stored files, ?prefix
//	GET    /stores/object                    the bytes of one, ?key, ?first
//	GET    /stores/rulings                   what was taken back of rights, and lifted
//	GET    /rulings                          what was taken back of rights
//	POST   /rulings                          {"subject": …, "scope": "none"}: revoke, or change a role
//	GET    /openapi.json                     the description of all this
//
// What changes documents or their history takes ?dry_run=true: then it tells what
// it would do, and the audit log does not say that it was done.
//
// In a cluster every node answers. What changes a document, and what shows its
// memory, is passed on to the node that owns it, over the connection of the nodes
// with one another; tokens are checked at both.
//
// # Answers
//
// Reading shows what the log has committed. Writing goes through the owner of
// the document, like the edits of its clients, and is answered after the
// commit.
//
// Lists and long work are lines of JSON (application/x-ndjson), each an object
// with one member that says what it is: "document", "stint", "snapshot",
// "file", "entry", "unreadable", "refused", "ruling", "plan", "record", "object", "progress". The last one is "end" or "error"; without it the
// answer was cut off. All other answers are one JSON value, content and updates
// excepted.
//
// An error is application/problem+json (RFC 9457) with a member "code", see
// Problem.
//
// # Bounds
//
// A body is bounded by Options.MaxUpdate, and by 64 KiB where it is JSON. A
// request that is cancelled stops reading; a change that is on its way to the
// log may happen all the same.
package api
