package api

import (
	"net/http"

	"ysync/snapshots"
)

// route is one operation: how it is asked for, who answers, and what is said of
// it in the OpenAPI file.
type route struct {
	method, path string
	serve        handler
	// audit is what the audit log calls it; empty for what only tells how things
	// stand.
	audit   string
	summary string
	query   []parameter
	header  []parameter
	// body is a value of the JSON that is wanted, or rawBody; nil for none.
	body any
	// status is that of success, 200 for 0; also is a second one.
	status, also int
	// answer is a value of the JSON that comes, a lineSet, or rawBody.
	answer any
}

// parameter is of a query or a header.
type parameter struct {
	name, kind, about string
	required          bool
}

// rawBody is a body of bytes that are no JSON.
type rawBody struct{}

// lineSet is an answer line by line: values of its members, the end included.
type lineSet map[string]any

func text(name, about string) parameter { return parameter{name: name, kind: "string", about: about} }

func integer(name, about string) parameter {
	return parameter{name: name, kind: "integer", about: about}
}

func truth(name, about string) parameter { return parameter{name: name, kind: "boolean", about: about} }

func needed(p parameter) parameter {
	p.required = true
	return p
}

var (
	atParameter      = text("at", "moment: now, RFC 3339, 2h ago, #120 (a position), label:NAME")
	dryRun           = truth("dry_run", "only tell what would be done")
	onlyDocument     = text("document", "only this document")
	onlyPrefix       = text("prefix", "only documents whose name begins so")
	ifMatch          = text("If-Match", "only while the document is at this position")
	ifNoneMatch      = text("If-None-Match", "*: only a document that does not exist yet")
	updateFormat     = text("format", "v1 or v2: the encoding of the update")
	anonymous        = truth("anonymous", "leave authors out")
	progressAndError = lineSet{"progress": Progress{}, "error": Problem{}}
)

func (s lineSet) with(more lineSet) lineSet {
	for member, value := range more {
		s[member] = value
	}
	return s
}

// routes are all routes. What New serves and what the OpenAPI file says are
// both made of it.
func (a *API) routes() []route {
	const document = "/documents/{document}"
	return []route{
		{
			method: "GET", path: "/documents", serve: a.list, summary: "List documents by name.",
			query: []parameter{
				onlyPrefix, text("after", "only names greater than this"), integer("limit", "at most so many"),
				truth("sizes", "tell what each takes; reads its whole log"), truth("quarantined", "only those in quarantine"),
			},
			answer: lineSet{"document": Document{}, "end": count{}, "error": Problem{}},
		},
		{method: "GET", path: document, serve: a.explain, summary: "Explain the state of a document.", answer: Explanation{}},
		{
			method: "PUT", path: document, serve: a.create, audit: "created", summary: "Create a document that does not exist yet.",
			query: []parameter{dryRun}, body: EditOrder{}, status: http.StatusCreated, also: http.StatusOK, answer: Applied{},
		},
		{
			method: "DELETE", path: document, serve: a.erase, audit: "erased", summary: "Erase a document for good.",
			query: []parameter{dryRun}, answer: Erased{},
		},
		{
			method: "GET", path: document + "/content", serve: a.content, audit: "exported", summary: "What a document holds, now or at a moment.",
			query:  []parameter{atParameter, text("format", "json, text, v1 or v2"), text("root", "root to give as text")},
			answer: rawBody{},
		},
		{
			method: "POST", path: document + "/updates", serve: a.apply, audit: "changed", summary: "Apply an update.",
			query: []parameter{updateFormat, dryRun}, header: []parameter{ifMatch, ifNoneMatch}, body: rawBody{}, answer: Applied{},
		},
		{
			method: "POST", path: document + "/edit", serve: a.edit, audit: "changed", summary: "Edit a document in one transaction.",
			query: []parameter{dryRun}, header: []parameter{ifMatch, ifNoneMatch}, body: EditOrder{}, answer: Applied{},
		},
		{
			method: "PUT", path: document + "/seed", serve: a.seed, audit: "seeded", summary: "Initial content, once per key.",
			query: []parameter{updateFormat, dryRun}, header: []parameter{needed(text("Idempotency-Key", "1 to 256 bytes"))},
			body: rawBody{}, status: http.StatusCreated, also: http.StatusOK, answer: Applied{},
		},
		{
			method: "POST", path: document + "/copy", serve: a.copy, audit: "copied", summary: "Copy a document into a new one.",
			query: []parameter{dryRun}, body: CopyOrder{}, status: http.StatusCreated, also: http.StatusOK, answer: Restored{},
		},
		{
			method: "GET", path: document + "/history", serve: a.history, summary: "Who edited when.",
			query: []parameter{
				text("since", "RFC 3339"), text("until", "RFC 3339"), text("pause", "rest that ends a stint, such as 5m"), integer("after", "position"),
				integer("to", "position"), integer("generation", "0 for the newest"), integer("limit", "at most so many"), truth("newest_first", ""),
			},
			answer: lineSet{"stint": snapshots.Stint{}, "end": count{}, "error": Problem{}},
		},
		{
			method: "GET", path: document + "/diff", serve: a.diff, audit: "exported", summary: "What changed between two moments, by whom.",
			query: []parameter{needed(text("from", "earlier moment")), text("to", "later moment"), anonymous}, answer: snapshots.Diff{},
		},
		{
			method: "GET", path: document + "/authors", serve: a.authors, audit: "exported", summary: "Who wrote what is there.",
			query: []parameter{atParameter, anonymous}, answer: snapshots.Diff{},
		},
		{
			method: "GET", path: document + "/snapshots", serve: a.snapshots, summary: "List the stored states.",
			answer: lineSet{"snapshot": Snapshot{}, "end": count{}, "error": Problem{}},
		},
		{
			method: "POST", path: document + "/snapshots", serve: a.snapshot, audit: "stored", summary: "Store a state now.",
			body: SnapshotOrder{}, status: http.StatusCreated, answer: Stored{},
		},
		{
			method: "POST", path: document + "/restore", serve: a.restore, audit: "restored", summary: "Bring a moment back, in place or into a new document.",
			query: []parameter{dryRun}, header: []parameter{ifMatch}, body: RestoreOrder{}, answer: Restored{},
		},
		{
			method: "POST", path: document + "/reset", serve: a.reset, audit: "reset", summary: "Begin anew, with clients of before refused.",
			query: []parameter{dryRun}, body: ResetOrder{}, answer: ResetReport{},
		},
		{
			method: "POST", path: document + "/retry", serve: a.retry, audit: "retried", summary: "End the quarantine of a document and load it.",
			answer: Retried{},
		},
		{
			method: "POST", path: document + "/repair", serve: a.repair, audit: "repaired", summary: "Find out what is damaged of a document and put it right.",
			query: []parameter{dryRun}, answer: snapshots.Repair{},
		},
		{
			method: "GET", path: "/refused", serve: a.refused, summary: "List valid updates that broke a limit and are kept.",
			query: []parameter{onlyDocument}, answer: lineSet{"refused": Refused{}, "end": count{}, "error": Problem{}},
		},
		{
			method: "GET", path: document + "/refused/{id}", serve: a.refusedUpdate, audit: "exported", summary: "The bytes of a refused update.",
			answer: rawBody{},
		},
		{
			method: "DELETE", path: document + "/refused/{id}", serve: a.dropRefused, summary: "Remove a refused update.",
			answer: Refused{},
		},
		{
			method: "POST", path: "/verify", serve: a.verify, summary: "Read everything that is stored.",
			query:  []parameter{onlyDocument, onlyPrefix},
			answer: lineSet{"file": File{}, "entry": Entry{}, "unreadable": Unreadable{}, "end": Verified{}}.with(progressAndError),
		},
		{
			method: "POST", path: "/prune", serve: a.prune, audit: "pruned", summary: "Thin the history out.",
			query: []parameter{onlyDocument, onlyPrefix, dryRun}, body: PruneOrder{},
			answer: lineSet{"plan": snapshots.Plan{}, "end": Pruned{}}.with(progressAndError),
		},
		{
			method: "POST", path: "/backup", serve: a.backup, audit: "backed up", summary: "Back the data folder up.",
			body: BackupOrder{}, answer: lineSet{"end": BackedUp{}}.with(progressAndError),
		},
		{
			method: "GET", path: "/stores/records", serve: a.storedRecords, summary: "The records of the log, as they are.",
			query: []parameter{onlyDocument, text("after", "only names greater than this")}, answer: lineSet{"record": StoredRecord{}, "end": count{}, "error": Problem{}},
		},
		{
			method: "GET", path: "/stores/entries", serve: a.storedEntries, audit: "exported", summary: "Entries of the log, as they are.",
			query:  []parameter{needed(text("document", "of this document")), integer("after", "position"), integer("to", "position")},
			answer: lineSet{"entry": StoredEntry{}, "end": count{}, "error": Problem{}},
		},
		{
			method: "GET", path: "/stores/objects", serve: a.storedObjects, summary: "The stored files.",
			query: []parameter{text("prefix", "of their keys")}, answer: lineSet{"object": StoredObject{}, "end": count{}, "error": Problem{}},
		},
		{
			method: "GET", path: "/stores/object", serve: a.storedObject, audit: "exported", summary: "The bytes of a stored file.",
			query: []parameter{needed(text("key", "of the file")), integer("first", "so many bytes from its front")}, answer: rawBody{},
		},
		{
			method: "GET", path: "/stores/rulings", serve: a.storedRulings, summary: "What was taken back of rights, and what lifts it, as it is.",
			answer: lineSet{"ruling": Ruling{}, "end": count{}},
		},
		{method: "GET", path: "/rulings", serve: a.rulings, summary: "List what was taken back of rights.", answer: lineSet{"ruling": Ruling{}, "end": count{}}},
		{
			method: "POST", path: "/rulings", serve: a.rule, audit: "rights", summary: "Take rights back, or lift what was taken.",
			body: RulingOrder{}, status: http.StatusCreated, answer: Ruling{},
		},
		{method: "GET", path: "/openapi.json", serve: a.openAPI, summary: "This description.", answer: map[string]any{}},
	}
}
