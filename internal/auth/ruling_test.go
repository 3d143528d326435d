package auth

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// rulings opens the rulings of a file.
func rulings(t *testing.T, path string) *Rulings {
	t.Helper()
	f, err := OpenRulingFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewRulings(t.Context(), f, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRulingsLeave(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	ann := Grant{Pattern: "*", Scope: Write, Subject: "ann", Token: "1", Issued: now.Add(-time.Minute)}
	fresh := ann
	fresh.Issued = now.Add(time.Second)
	nameless := Grant{Pattern: "*", Scope: Admin, Subject: "bob"}
	for name, c := range map[string]struct {
		ruling   Ruling
		grant    Grant
		document string
		want     Scope
	}{
		"subject":                         {Ruling{Subject: "ann"}, ann, "a", None},
		"another subject":                 {Ruling{Subject: "bob"}, ann, "a", Write},
		"token":                           {Ruling{Token: "1"}, ann, "a", None},
		"another token":                   {Ruling{Token: "2"}, ann, "a", Write},
		"a token without ID":              {Ruling{Token: "1"}, nameless, "a", Admin},
		"document":                        {Ruling{Documents: "a"}, ann, "a", None},
		"another document":                {Ruling{Documents: "a"}, ann, "ab", Write},
		"tenant":                          {Ruling{Documents: "acme/*"}, ann, "acme/a", None},
		"another tenant":                  {Ruling{Documents: "acme/*"}, ann, "acme2/a", Write},
		"subject and document":            {Ruling{Subject: "ann", Documents: "a"}, ann, "a", None},
		"subject and another":             {Ruling{Subject: "ann", Documents: "a"}, ann, "b", Write},
		"role":                            {Ruling{Subject: "ann", Scope: Read}, ann, "a", Read},
		"role above":                      {Ruling{Subject: "ann", Scope: Write}, ann, "a", Write},
		"lifted":                          {Ruling{Subject: "ann", Scope: Admin}, ann, "a", Write},
		"a token made later":              {Ruling{Subject: "ann"}, fresh, "a", Write},
		"a token made later, meant":       {Ruling{Subject: "ann", Later: true}, fresh, "a", None},
		"a token that does not say when":  {Ruling{Subject: "bob"}, nameless, "a", None},
		"what is for all documents, too":  {Ruling{Documents: "*"}, nameless, "", None},
		"all documents of a tenant, only": {Ruling{Documents: "acme/*"}, nameless, "", Admin},
	} {
		t.Run(name, func(t *testing.T) {
			r := rulings(t, filepath.Join(t.TempDir(), "rulings"))
			c.ruling.At, c.ruling.Until = now, now.Add(time.Hour)
			changed := r.Changed()
			if err := r.Rule(t.Context(), c.ruling); err != nil {
				t.Fatal(err)
			}
			select {
			case <-changed:
			default:
				t.Error("nobody was told")
			}
			if got := r.Left(c.grant, c.document, now); got != c.want {
				t.Errorf("%v is left, want %v", got, c.want)
			}
			if got := r.Left(c.grant, c.document, now.Add(time.Hour)); got != c.grant.Scope {
				t.Errorf("%v is left afterwards", got)
			}
		})
	}
}

func TestRulingsOutliveTheProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rulings")
	r := rulings(t, path)
	now := time.Now()
	for _, scope := range []Scope{None, Read} { // the second replaces the first
		if err := r.Rule(t.Context(), Ruling{Subject: "ann", Scope: scope, At: now, Until: now.Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
	}
	again := rulings(t, path)
	if got := again.Left(Grant{Scope: Admin, Subject: "ann"}, "a", now); got != Read {
		t.Errorf("%v is left", got)
	}
	if list := again.List(now); len(list) != 1 || list[0].Scope != Read {
		t.Errorf("%+v", list)
	}
	for content, want := range map[string]string{
		"{}": "holds no rulings", `{"format": 1`: "unexpected end", `{"format": 2, "rulings": {}}`: "newer release",
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenRulingFile(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("a file with %s: %v, want %s", content, err, want)
		}
	}
}

func TestRulingsThatSayNothing(t *testing.T) {
	r := rulings(t, filepath.Join(t.TempDir(), "rulings"))
	now := time.Now()
	for _, bad := range []Ruling{
		{At: now, Until: now.Add(1)},
		{Subject: "ann", At: now, Until: now},
		{Documents: "a*b", At: now, Until: now.Add(1)},
		{Subject: "ann", Scope: Admin + 1, At: now, Until: now.Add(1)},
	} {
		if err := r.Rule(t.Context(), bad); !errors.Is(err, ErrRuling) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// What one node rules, the other hears of by looking.
func TestRulingsReachOtherNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, err := OpenRulingFile(filepath.Join(t.TempDir(), "rulings"))
		if err != nil {
			t.Fatal(err)
		}
		var nodes [2]*Rulings
		ctx, cancel := context.WithCancel(t.Context())
		for i := range nodes {
			if nodes[i], err = NewRulings(ctx, f, nil); err != nil {
				t.Fatal(err)
			}
			go nodes[i].Run(ctx)
		}
		changed := nodes[1].Changed()
		begin := time.Now()
		if err := nodes[0].Rule(ctx, Ruling{Subject: "ann", At: begin, Until: begin.Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
		<-changed
		if d := time.Since(begin); d > 2*lookEvery {
			t.Errorf("after %v", d)
		}
		cancel()
		synctest.Wait()
	})
}

func TestRevokedTokensAreRefused(t *testing.T) {
	r := rulings(t, filepath.Join(t.TempDir(), "rulings"))
	now := time.Now()
	a := Ruled{always{Grant{Pattern: "*", Scope: Write, Subject: "ann"}}, r}
	if g, err := a.Authorize(t.Context(), Request{Document: "a", Now: now}); err != nil || g.Scope != Write {
		t.Fatal(g, err)
	}
	if err := r.Rule(t.Context(), Ruling{Subject: "ann", Documents: "a", Scope: Silent, At: now, Until: now.Add(1 << 40)}); err != nil {
		t.Fatal(err)
	}
	if g, err := a.Authorize(t.Context(), Request{Document: "a", Now: now}); err != nil || g.Scope != Silent || g.Granted != Write {
		t.Error(g, err)
	}
	if err := r.Rule(t.Context(), Ruling{Subject: "ann", At: now, Until: now.Add(1 << 40)}); err != nil {
		t.Fatal(err)
	}
	if g, err := a.Authorize(t.Context(), Request{Document: "a", Now: now}); !errors.Is(err, ErrToken) || g.Scope != None {
		t.Error(g, err)
	}
}

type always struct{ grant Grant }

func (a always) Authorize(context.Context, Request) (Grant, error) { return a.grant, nil }

// TestMissingRulings: what one store has and another lacks, the later of two on
// the same.
func TestMissingRulings(t *testing.T) {
	from, err := OpenRulingFile(filepath.Join(t.TempDir(), "from"))
	if err != nil {
		t.Fatal(err)
	}
	to, err := OpenRulingFile(filepath.Join(t.TempDir(), "to"))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	rule := func(f *RulingFile, subject string, scope Scope, at, until time.Duration) {
		t.Helper()
		if err := f.Rule(t.Context(), Ruling{Subject: subject, Scope: scope, At: now.Add(at), Until: now.Add(until)}); err != nil {
			t.Fatal(err)
		}
	}
	missing := func(to RulingSource, now time.Time) map[string]Scope {
		t.Helper()
		list, err := MissingRulings(t.Context(), from, to, now)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]Scope{}
		for _, r := range list {
			got[r.Subject] = r.Scope
		}
		return got
	}
	rule(from, "both", Read, 0, time.Hour)
	rule(to, "both", Read, 0, time.Hour)
	rule(from, "later here", Read, 0, time.Hour)
	rule(to, "later here", None, time.Second, time.Hour)
	rule(from, "later there", Read, time.Second, time.Hour)
	rule(to, "later there", None, 0, time.Hour)
	rule(to, "lifted", None, 0, time.Hour)
	rule(from, "lifted", Admin, time.Second, time.Hour)
	rule(from, "lifted before it came", Admin, time.Second, time.Hour)
	rule(from, "new", None, 0, time.Hour)
	rule(from, "short", None, 0, time.Minute)
	want := map[string]Scope{"later there": Read, "lifted": Admin, "new": None, "short": None}
	if got := missing(to, now); !maps.Equal(got, want) {
		t.Errorf("missing are %v, want %v", got, want)
	}
	delete(want, "short")
	if got := missing(to, now.Add(2*time.Minute)); !maps.Equal(got, want) {
		t.Errorf("later missing are %v, want %v", got, want)
	}
	if got := missing(nil, now); len(got) != 5 || got["both"] != Read {
		t.Errorf("of nothing, missing are %v", got)
	}
}

// TestRulingFileIsFull: what only lifts makes room for what is in force.
func TestRulingFileIsFull(t *testing.T) {
	f, err := OpenRulingFile(filepath.Join(t.TempDir(), "rulings"))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for i := range MaxRulings {
		r := Ruling{Subject: strconv.Itoa(i), Scope: None, At: now, Until: now.Add(time.Hour)}
		if i == 0 {
			r.Scope = Admin
		}
		f.kept.Rulings[r.Key()] = r
	}
	for _, c := range []struct {
		subject string
		want    error
	}{{"one more", nil}, {"two more", ErrRuling}} {
		if err := f.Rule(t.Context(), Ruling{Subject: c.subject, At: now, Until: now.Add(time.Hour)}); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.subject, err, c.want)
		}
	}
}
