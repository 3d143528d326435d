package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"ysync/persistence"
)

// errUnsafe is for a server that may lose what it said was committed.
var errUnsafe = errors.New("the database may lose what it has committed")

// Durability is what the server promises about a commit, by its own words. A
// setting that the server does not have is empty.
type Durability struct {
	Server                  string `json:"server"`
	SynchronousCommit       string `json:"synchronous_commit"`
	Fsync                   string `json:"fsync"`
	FullPageWrites          string `json:"full_page_writes"`
	SynchronousStandbyNames string `json:"synchronous_standby_names"`
}

func (d Durability) String() string {
	standbys := d.SynchronousStandbyNames
	if standbys == "" {
		standbys = "none"
	}
	return fmt.Sprintf("synchronous_commit %s, fsync %s, full_page_writes %s, synchronous standbys %s",
		orUnknown(d.SynchronousCommit), orUnknown(d.Fsync), orUnknown(d.FullPageWrites), standbys)
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

// connConfig is how connections are made.
func connConfig(o Options) (*pgx.ConnConfig, error) {
	c, err := pgx.ParseConfig(o.URL)
	if err != nil || c.Host == "" {
		// The parser's error quotes the URL, with what it takes for something
		// else than the password.
		return nil, fmt.Errorf("%w: the connection URL is malformed (it is not shown, as it may hold a password); want postgres://user:password@host:port/database", persistence.ErrInvalid)
	}
	c.ConnectTimeout = o.ConnectTimeout
	dialer := &net.Dialer{
		Timeout:         o.ConnectTimeout,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 3},
	}
	c.DialFunc = dialer.DialContext
	if c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = applicationName
	}
	return c, nil
}

// applicationName names our connections to the server, unless the URL does.
const applicationName = "ysync"

// where names the server for an error: without user and password.
func where(c *pgx.ConnConfig) string {
	if strings.HasPrefix(c.Host, "/") {
		return c.Host + "/" + c.Database
	}
	return net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port))) + "/" + c.Database
}

// setting is a session setting that every connection gets. Those that matter
// are checked afterwards: something between us and the server may swallow them.
type setting struct {
	name, value string
	matters     bool
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

func settings(o Options) []setting {
	return []setting{
		{"statement_timeout", milliseconds(o.StatementTimeout), true},
		{"lock_timeout", milliseconds(o.LockTimeout), true},
		{"idle_in_transaction_session_timeout", milliseconds(o.StatementTimeout), true},
		{"standard_conforming_strings", "on", true},
		{"default_transaction_isolation", "read committed", false},
		// A server that waits for a client that is gone holds its locks.
		{"client_connection_check_interval", "2000", false},
		{"tcp_keepalives_idle", "10", false},
		{"tcp_keepalives_interval", "5", false},
		{"tcp_keepalives_count", "3", false},
		{"tcp_user_timeout", "15000", false},
	}
}

// writing are the settings of a connection that appends. A plan that is made
// while there are no documents reads them all, and would be kept when there
// are many.
var writing = []setting{{"enable_seqscan", "off", false}, {"plan_cache_mode", "force_generic_plan", false}}

// prepareSession gives a new connection its settings and refuses one that
// cannot keep the log's promises.
func prepareSession(ctx context.Context, conn *pgx.Conn, o Options, more ...setting) error {
	want := append(settings(o), more...)
	has, err := readSettings(ctx, conn, want)
	if err != nil {
		return err
	}
	if has["synchronous_commit"] == "off" {
		want = append(want, setting{"synchronous_commit", "on", true})
	}
	batch := &pgx.Batch{}
	for _, s := range want {
		if now, ok := has[s.name]; s.matters || ok && now != s.value {
			batch.Queue("SELECT set_config($1, $2, false)", s.name, s.value)
		}
	}
	if err := conn.SendBatch(ctx, batch).Close(); err != nil {
		return err
	}
	if has, err = readSettings(ctx, conn, want); err != nil {
		return err
	}
	for _, s := range want {
		if now, ok := has[s.name]; s.matters && ok && now != s.value {
			return fmt.Errorf("%w: the session setting %s stays %q, want %q (a pooler that shares connections between sessions?)", errUnsafe, s.name, now, s.value)
		}
	}
	switch {
	case has["synchronous_commit"] == "off":
		return fmt.Errorf("%w: synchronous_commit is off", errUnsafe)
	case has["fsync"] == "off":
		return fmt.Errorf("%w: fsync is off in its configuration", errUnsafe)
	}
	return nil
}

// durable are the settings that Durability shows.
var durable = []string{"synchronous_commit", "fsync", "full_page_writes", "synchronous_standby_names", "server_version"}

// readSettings reads the settings of a session, those that there are.
func readSettings(ctx context.Context, conn *pgx.Conn, more []setting) (map[string]string, error) {
	names := durable
	for _, s := range more {
		names = append(names[:len(names):len(names)], s.name)
	}
	rows, err := conn.Query(ctx, "SELECT name, setting FROM pg_settings WHERE name = ANY($1)", names)
	if err != nil {
		return nil, err
	}
	has := make(map[string]string)
	var name, value string
	_, err = pgx.ForEachRow(rows, []any{&name, &value}, func() error {
		has[name] = value
		return nil
	})
	return has, err
}

// readDurability reads what the server promises.
func readDurability(ctx context.Context, conn *pgx.Conn) (Durability, error) {
	has, err := readSettings(ctx, conn, nil)
	return Durability{
		Server:                  has["server_version"],
		SynchronousCommit:       has["synchronous_commit"],
		Fsync:                   has["fsync"],
		FullPageWrites:          has["full_page_writes"],
		SynchronousStandbyNames: has["synchronous_standby_names"],
	}, err
}
