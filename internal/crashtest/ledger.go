package crashtest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"

	"ysync/crdt"
)

// maxFaults is how many faults are kept: the first ones tell the story.
const maxFaults = 20

// ledger knows every edit ever made and what the server said about it.
type ledger struct {
	mu        sync.Mutex
	documents map[string]*account
	acked     int
	faults    []string
}

// account is the ledger of one document.
type account struct {
	edits  []*edit
	tokens map[string]*edit
}

func newLedger() *ledger { return &ledger{documents: make(map[string]*account)} }

func (l *ledger) account(document string) *account {
	a := l.documents[document]
	if a == nil {
		a = &account{tokens: make(map[string]*edit)}
		l.documents[document] = a
	}
	return a
}

// made enters an edit before any byte of it is sent.
func (l *ledger) made(e *edit) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.account(e.document)
	a.edits = append(a.edits, e)
	if e.kind == kindErase {
		e.target.erased = append(e.target.erased, e)
	} else {
		a.tokens[e.token()] = e
	}
}

// settle notes that the server acknowledged edits.
func (l *ledger) settle(edits []*edit) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range edits {
		if e.acked {
			continue
		}
		e.acked = true
		l.acked++
	}
}

// victim draws an edit of the document that may be erased.
func (l *ledger) victim(document string, rng *rand.Rand) *edit {
	l.mu.Lock()
	defer l.mu.Unlock()
	edits := l.account(document).edits
	if len(edits) == 0 {
		return nil
	}
	e := edits[rng.IntN(len(edits))]
	if !e.acked || e.kind == kindErase || e.kind == kindLatest || len(e.erased) > 0 {
		return nil
	}
	return e
}

// unacknowledged returns the edits that were made and not yet acknowledged, by
// the first n authors.
func (l *ledger) unacknowledged(n int) []*edit {
	l.mu.Lock()
	defer l.mu.Unlock()
	var edits []*edit
	for _, a := range l.documents {
		for _, e := range a.edits {
			if !e.acked && e.author.id < n {
				edits = append(edits, e)
			}
		}
	}
	return edits
}

// outstanding counts the edits that are still not acknowledged.
func (l *ledger) outstanding(edits []*edit) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, e := range edits {
		if !e.acked {
			n++
		}
	}
	return n
}

func (l *ledger) fault(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faultLocked(format, args...)
}

func (l *ledger) faultLocked(format string, args ...any) {
	if len(l.faults) < maxFaults {
		l.faults = append(l.faults, fmt.Sprintf(format, args...))
	}
}

// broken reports whether a fault was found.
func (l *ledger) broken() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.faults) > 0
}

// scope says which edits an audit asks for.
type scope uint8

const (
	acknowledged scope = iota // after a crash, writers away
	everything                // at the end, writers back and silent
)

// wanted returns the edits of a document that an audit from now on asks for.
func (l *ledger) wanted(document string, s scope) []*edit {
	l.mu.Lock()
	defer l.mu.Unlock()
	var edits []*edit
	for _, e := range l.account(document).edits {
		if s == everything || e.acked {
			edits = append(edits, e)
		}
	}
	return edits
}

// audit compares a document with the edits that have to be in it.
func (l *ledger) audit(when, document string, doc *crdt.Doc, want []*edit) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.account(document)
	present := make(map[string]bool)
	found, rest := tokens(doc.Text(textRoot).String())
	if rest != "" {
		l.faultLocked("%s: %s: the text holds %.40q beside the tokens", when, document, rest)
	}
	for _, t := range found {
		if present[t] {
			l.faultLocked("%s: %s: token %s is there twice", when, document, t)
		}
		present[t] = true
	}
	for v := range doc.Array(arrayRoot).Values() {
		present[v.Str()] = true
	}
	latest := make(map[string]int)
	for key, v := range doc.Map(mapRoot).All() {
		if v.Kind() == crdt.ValueNumber {
			latest[key] = int(v.Number())
		} else {
			present[key] = true
		}
	}
	for _, t := range slices.Sorted(maps.Keys(present)) {
		if a.tokens[t] == nil {
			l.faultLocked("%s: %s: %s was never written", when, document, t)
		}
	}
	states := doc.StateVector()
	for _, e := range want {
		if have := uint64(states.Get(crdt.ClientID(e.author.client))); have < e.clock+e.length {
			l.faultLocked("%s: %s: %v is lost: the state of its client is %d", when, document, e, have)
			continue
		}
		switch {
		case e.kind == kindErase && present[e.target.token()]:
			l.faultLocked("%s: %s: %v is undone", when, document, e)
		case e.kind == kindLatest && latest[e.author.latestKey()] < e.n:
			l.faultLocked("%s: %s: %v is lost: the key holds %d", when, document, e, latest[e.author.latestKey()])
		case e.kind < kindLatest && len(e.erased) == 0 && !present[e.token()]:
			l.faultLocked("%s: %s: %v is lost: its token is not there", when, document, e)
		}
	}
}

// report returns what the ledger knows of a run.
func (l *ledger) report() report {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := report{acked: l.acked, faults: slices.Clone(l.faults)}
	for _, a := range l.documents {
		r.edits += len(a.edits)
	}
	return r
}
