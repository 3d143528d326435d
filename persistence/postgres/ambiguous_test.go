package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"ysync/persistence"
	"ysync/persistence/postgres"
)

// The connection is cut after each byte of the request and of the answer:
// before the server has the statement, while it has a part, after it has all,
// and at every place of the answer. Nothing is lost, nothing stored twice.
func TestCutAtEveryByte(t *testing.T) {
	server := shared(t)
	direct := server.Database(t)
	p := newProxy(t, server.Addr())
	l := mustOpen(t, postgres.Options{URL: p.url(direct), Writers: 1, Patience: 20 * time.Second})
	a := &author{log: l, record: mustClaim(t, l, "a")}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	n := 0
	try := func(f fate) {
		t.Helper()
		n++
		p.next(f)
		if err := a.append(ctx, fmt.Sprint(n, "/0"), fmt.Sprint(n, "/1")); err != nil {
			t.Fatalf("cut at %+v: %v", f, err)
		}
	}
	try(whole)
	request, answer := p.request, p.answer
	if request < 200 || answer < 20 {
		t.Fatalf("a request of %d bytes, an answer of %d: the proxy has not seen the append", request, answer)
	}
	for cut := 0; cut < request; cut++ {
		// Messages end among the last bytes; in front of them one place is like
		// the next.
		if cut%41 == 0 || cut > request-24 {
			try(fate{request: cut, answer: -1})
		}
	}
	for cut := range answer {
		try(fate{request: -1, answer: cut})
	}
	if a.unknown > 0 {
		t.Logf("%d outcomes were left to the caller", a.unknown)
	}
	a.audit(t, mustOpen(t, postgres.Options{URL: direct}))
	t.Logf("%d appends, %d sent", n, p.seen)
	if p.seen < 2*n-2 {
		t.Errorf("%d appends for %d cuts: not every one was sent again", p.seen, n)
	}
}

// A statement that was lost on its way turns up after the second one was
// taken: it changes nothing.
func TestLateStatementAfterTheSecond(t *testing.T) {
	server := shared(t)
	direct := server.Database(t)
	p := newProxy(t, server.Addr())
	l := mustOpen(t, postgres.Options{URL: p.url(direct), Writers: 1, Patience: 20 * time.Second})
	r := mustClaim(t, l, "a")
	p.next(fate{hold: true})
	if res := put(l, r, "1", "2"); res != (persistence.Result{First: 1, Last: 2}) {
		t.Fatalf("append: %+v", res)
	}
	p.release()
	if got := updates(t, l, "a"); len(got) != 2 {
		t.Errorf("the late statement was taken: %q", got)
	}
	if res := put(l, r, "3"); res != (persistence.Result{First: 3, Last: 3}) {
		t.Errorf("append: %+v", res)
	}
}

// The caller reads back, finds nothing and appends again; in between the lost
// statement arrives. The second append must not store the entries once more,
// whether the caller reads before or after.
func TestLateStatementBetweenReadingAndAppending(t *testing.T) {
	server := shared(t)
	direct := server.Database(t)
	p := newProxy(t, server.Addr())
	l := mustOpen(t, postgres.Options{URL: p.url(direct), Writers: 1, Patience: time.Millisecond})
	r := mustClaim(t, l, "a")
	for round := range 3 {
		head := persistence.Position(3 * round)
		p.next(fate{hold: true})
		res := put(l, r, "1", "2")
		if !errors.Is(res.Err, persistence.ErrUnknown) {
			t.Fatalf("append: %+v", res)
		}
		if now, err := l.Open(t.Context(), "a"); err != nil || now.Head != head {
			t.Fatalf("read back: %+v, %v", now, err)
		}
		p.release()
		// The lost statement may also come too late, or never.
		res = put(l, r, "1", "2")
		if res.Err == nil && res.First != head+1 || res.Err != nil && !errors.Is(res.Err, persistence.ErrUnknown) {
			t.Fatalf("the entries were appended once more: %+v", res)
		}
		if now, err := l.Open(t.Context(), "a"); err != nil || now.Head != head+2 {
			t.Fatalf("read back again: %+v, %v", now, err)
		}
		if res = put(l, r, "3"); res != (persistence.Result{First: head + 3, Last: head + 3}) {
			t.Fatalf("append: %+v", res)
		}
	}
	if got := fmt.Sprint(updates(t, l, "a")); got != "[1 2 3 1 2 3 1 2 3]" {
		t.Errorf("in the log: %s", got)
	}
}

// A statement in doubt is settled by appending the same again, too.
func TestDoubtIsSettledByAppendingAgain(t *testing.T) {
	server := shared(t)
	direct := server.Database(t)
	p := newProxy(t, server.Addr())
	l := mustOpen(t, postgres.Options{URL: p.url(direct), Writers: 1, Patience: time.Millisecond})
	r := mustClaim(t, l, "a")
	p.next(fate{hold: true})
	if res := put(l, r, "1"); !errors.Is(res.Err, persistence.ErrUnknown) {
		t.Fatalf("append: %+v", res)
	}
	if res := put(l, r, "1"); res != (persistence.Result{First: 1, Last: 1}) {
		t.Fatalf("append: %+v", res)
	}
	p.release()
	if got := updates(t, l, "a"); len(got) != 1 {
		t.Errorf("in the log: %q", got)
	}
}

// A statement of an old claim arrives after the next claim was taken.
func TestLateStatementAfterAClaim(t *testing.T) {
	server := shared(t)
	direct := server.Database(t)
	p := newProxy(t, server.Addr())
	old := mustOpen(t, postgres.Options{URL: p.url(direct), Writers: 1, Patience: time.Millisecond})
	r := mustClaim(t, old, "a")
	p.next(fate{hold: true})
	if res := put(old, r, "x"); !errors.Is(res.Err, persistence.ErrUnknown) {
		t.Fatalf("append: %+v", res)
	}
	next := mustOpen(t, postgres.Options{URL: direct})
	if claimed := mustClaim(t, next, "a"); claimed.Head != 0 || claimed.Epoch != r.Epoch+1 {
		t.Fatalf("claimed: %+v", claimed)
	}
	p.release()
	if got := updates(t, next, "a"); len(got) > 0 {
		t.Errorf("the old claim wrote %q", got)
	}
	if res := put(old, r, "x"); !errors.Is(res.Err, persistence.ErrFenced) {
		t.Errorf("append under the old claim: %+v", res)
	}
}

// While the database is away nothing is acknowledged and no call hangs; what
// was not sent is known not to have happened.
func TestUnreachable(t *testing.T) {
	server := shared(t)
	direct := server.Database(t)
	p := newProxy(t, server.Addr())
	l := mustOpen(t, postgres.Options{URL: p.url(direct), Patience: 100 * time.Millisecond, ConnectTimeout: time.Second})
	r := mustClaim(t, l, "a")
	if !l.Health().Up {
		t.Errorf("health: %+v", l.Health())
	}
	p.setDown(true)
	res := put(l, r, "1")
	if res.Err == nil || errors.Is(res.Err, persistence.ErrUnknown) || errors.Is(res.Err, persistence.ErrFenced) {
		t.Errorf("append without a database: %+v", res)
	}
	if _, err := l.Open(t.Context(), "a"); err == nil {
		t.Error("opened without a database")
	}
	if _, err := l.Claim(t.Context(), "b", "boot", 0); err == nil {
		t.Error("claimed without a database")
	}
	if h := l.Health(); h.Up || h.Error == "" {
		t.Errorf("health: %+v", h)
	}
	p.setDown(false)
	if res := put(l, r, "1"); res != (persistence.Result{First: 1, Last: 1}) {
		t.Errorf("append after it: %+v", res)
	}
	if !l.Health().Up {
		t.Errorf("health: %+v", l.Health())
	}
}
