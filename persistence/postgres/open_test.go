package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"ysync/internal/testpg"
	"ysync/persistence"
	"ysync/persistence/postgres"
)

// canary is a password that must turn up nowhere.
const canary = "cAnArY-s3cret"

// An error on opening is one line that says what to do, and nothing secret.
func TestOpenFailures(t *testing.T) {
	server := testpg.Start(t)
	url := server.Database(t)
	testpg.Exec(t, url, "CREATE ROLE locked LOGIN PASSWORD 'right'", "CREATE ROLE poor LOGIN")
	server.DemandPassword(t, url, "locked")
	newer := server.Database(t)
	if err := mustOpen(t, patient(newer)).Close(); err != nil {
		t.Fatal(err)
	}
	testpg.Exec(t, newer, "INSERT INTO ysync.migrations (version_id, is_applied) VALUES (99, true)")
	as := func(who, url string) string { return strings.Replace(url, "postgres@", who+"@", 1) }
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := closed.Addr().String()
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		url, want string
		schema    postgres.Schema
		class     error
	}{
		"wrong password":    {url: as("locked:"+canary, url), want: "the user name or the password is refused"},
		"no such database":  {url: as("postgres:"+canary, server.URL("nowhere")), want: "create the database first"},
		"nobody listens":    {url: "postgres://u:" + canary + "@" + addr + "/db", want: "connection refused"},
		"no such host":      {url: "postgres://u:" + canary + "@host.invalid/db", want: "cannot be resolved"},
		"no right":          {url: as("poor:"+canary, url), want: "needs the right CREATE"},
		"a newer release":   {url: as("postgres:"+canary, newer), want: "schema version 99, this release knows up to 3", class: persistence.ErrNewerFormat},
		"no tables":         {url: as("postgres:"+canary, url), schema: postgres.Require, want: "`ysync serve` migrates it"},
		"malformed port":    {url: "postgres://u:" + canary + "@h:port" + canary + "/db", want: "malformed", class: persistence.ErrInvalid},
		"malformed escape":  {url: "postgres://u:" + canary + "%zz@h/db", want: "malformed", class: persistence.ErrInvalid},
		"malformed setting": {url: "postgres://u@h/db?sslmode=" + canary, want: "malformed", class: persistence.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			core, logged := observer.New(zap.DebugLevel)
			o := patient(c.url)
			o.Schema, o.Logger = c.schema, zap.New(core)
			l, err := postgres.Open(t.Context(), o)
			if err == nil {
				_ = l.Close()
				t.Fatal("it opened")
			}
			text := err.Error()
			if !strings.Contains(text, c.want) || strings.Contains(text, "\n") {
				t.Errorf("got %q, want %q in one line", text, c.want)
			}
			if c.class != nil && !errors.Is(err, c.class) {
				t.Errorf("%v is not %v", err, c.class)
			}
			if all := fmt.Sprint(text, logged.All()); strings.Contains(all, canary) {
				t.Errorf("the password is shown: %s", all)
			}
		})
	}
}

// The password in the URL appears in no error and no log line while the
// database goes away and comes back either.
func TestSecretsStaySecretInOperation(t *testing.T) {
	server := shared(t)
	direct := server.Database(t)
	p := newProxy(t, server.Addr())
	core, logged := observer.New(zap.DebugLevel)
	l := mustOpen(t, postgres.Options{
		URL: strings.Replace(p.url(direct), "postgres@", "postgres:"+canary+"@", 1), Logger: zap.New(core), Patience: 100 * time.Millisecond,
	})
	r := mustClaim(t, l, "a")
	p.setDown(true)
	texts := []string{fmt.Sprint(put(l, r, "1").Err)}
	_, err := l.Open(t.Context(), "a")
	texts = append(texts, fmt.Sprint(err), l.Health().Error, l.Address(), l.Durability().String())
	p.setDown(false)
	for put(l, r, "1").Err != nil {
	}
	for _, entry := range logged.All() {
		texts = append(texts, fmt.Sprint(entry.Entry, entry.Context))
	}
	if len(logged.FilterMessage("the database does not answer").All()) == 0 || len(logged.FilterMessage("the database answers again").All()) == 0 {
		t.Errorf("logged: %v", logged.All())
	}
	if all := strings.Join(texts, "\n"); strings.Contains(all, canary) {
		t.Errorf("the password is shown: %s", all)
	}
}

// Many processes migrate an empty database at once; each finds it done once.
func TestMigrationsAtOnce(t *testing.T) {
	server := shared(t)
	for range 3 {
		url := server.Database(t)
		start := make(chan struct{})
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() {
				<-start
				l, err := open(url)
				if err != nil {
					t.Error(err)
					return
				}
				if err := l.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		close(start)
		wg.Wait()
		awaitTrue(t, connect(t, url), "SELECT count(*) = 1 + max(version_id) AND max(version_id) = 3 FROM ysync.migrations") // the first row is version 0
	}
}

// What a user without the right to make tables can do when they are there.
func TestTablesMadeBefore(t *testing.T) {
	server := shared(t)
	url := server.Database(t)
	if err := mustOpen(t, patient(url)).Close(); err != nil {
		t.Fatal(err)
	}
	role := fmt.Sprint("writer", time.Now().UnixNano())
	testpg.Exec(t, url, "CREATE ROLE "+role+" LOGIN", "GRANT USAGE ON SCHEMA ysync TO "+role,
		"GRANT SELECT, INSERT, UPDATE, DELETE ON ysync.documents, ysync.update_log TO "+role, "GRANT SELECT ON ysync.migrations TO "+role)
	l := mustOpen(t, patient(strings.Replace(url, "postgres@", role+"@", 1)))
	if res := put(l, mustClaim(t, l, "a"), "1"); res.Err != nil {
		t.Error(res.Err)
	}
}

func TestDurability(t *testing.T) {
	server := testpg.Start(t, "synchronous_commit=off")
	url := server.Database(t)
	l := mustOpen(t, patient(url))
	d := l.Durability()
	if d.SynchronousCommit != "on" || d.Fsync != "on" || d.FullPageWrites != "on" || d.SynchronousStandbyNames != "" || !strings.HasPrefix(d.Server, "1") {
		t.Errorf("got %+v: the session must commit durably whatever the server's default is", d)
	}
	if want := "synchronous_commit on, fsync on, full_page_writes on, synchronous standbys none"; d.String() != want {
		t.Errorf("got %q", d)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	unsafe := testpg.Start(t, "fsync=off")
	if _, err := postgres.Open(context.Background(), patient(unsafe.Database(t))); err == nil || !strings.Contains(err.Error(), "fsync is off") {
		t.Errorf("a server that does not sync: %v", err)
	}
}
