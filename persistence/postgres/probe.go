package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"ysync/persistence"
)

// Probe is what a database says of itself to somebody who looks before the log
// is served from it.
type Probe struct {
	// Address names the server and the database, without user and password.
	Address    string
	Durability Durability
	// Unsafe is why a session cannot keep the log's promises; nil when it can.
	Unsafe error
	// Schema is the version of the tables, 0 for none; Needs is this release's.
	Schema, Needs int64
	// MayMigrate: the user may make what is lacking.
	MayMigrate bool
	// Ahead is how much the database's clock is ahead of ours, give or take half
	// of RoundTrip, the time of a statement.
	Ahead, RoundTrip time.Duration
	// Connections are open at the server, of at most MaxConnections.
	Connections, MaxConnections int
	// ReadOnly: the server takes no writes; it may be a standby.
	ReadOnly bool
}

// Examine looks at a database and changes nothing. The error is why it cannot
// be reached, without the password; ErrInvalid for a malformed URL.
func Examine(ctx context.Context, o Options) (Probe, error) {
	o = o.withDefaults()
	config, err := connConfig(o)
	if err != nil {
		return Probe{}, &persistence.Error{Op: "examine", Err: err}
	}
	p := Probe{Address: where(config)}
	if err := p.look(ctx, o, config); err != nil {
		return p, &persistence.Error{Op: "examine", Err: openFailure(p.Address, err)}
	}
	return p, nil
}

func (p *Probe) look(ctx context.Context, o Options, config *pgx.ConnConfig) error {
	ctx, cancel := context.WithTimeout(ctx, o.ConnectTimeout+4*o.StatementTimeout)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if p.Needs, err = schemaVersion(); err != nil {
		return err
	}
	if p.Schema, err = storedVersion(ctx, conn); err != nil {
		return err
	}
	if p.Durability, err = readDurability(ctx, conn); err != nil {
		return err
	}
	p.Unsafe = prepareSession(ctx, conn, o)
	var now time.Time
	began := time.Now()
	if err := conn.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&now); err != nil {
		return err
	}
	p.RoundTrip = time.Since(began)
	p.Ahead = now.Sub(began.Add(p.RoundTrip / 2))
	err = conn.QueryRow(ctx, `SELECT has_database_privilege(current_database(), 'CREATE'),
		current_setting('transaction_read_only') = 'on',
		(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
		current_setting('max_connections')::int`).Scan(&p.MayMigrate, &p.ReadOnly, &p.Connections, &p.MaxConnections)
	if err != nil || p.Schema == 0 {
		return err
	}
	// Whoever owns the tables may change them.
	return conn.QueryRow(ctx, `SELECT pg_has_role(current_user, nspowner, 'USAGE') OR has_schema_privilege(oid, 'CREATE')
		FROM pg_namespace WHERE nspname = 'ysync'`).Scan(&p.MayMigrate)
}
