package postgres_test

import (
	"context"
	"testing"
	"time"

	"ysync/internal/testpg"
	"ysync/persistence"
	"ysync/persistence/persistencetest"
	"ysync/persistence/postgres"
)

func TestConformance(t *testing.T) {
	server := shared(t)
	url := server.Database(t)
	prepared := false
	persistencetest.RunShared(t, func(t testing.TB) persistencetest.Reopen {
		if prepared {
			testpg.Exec(t, url, "TRUNCATE ysync.documents, ysync.update_log")
		}
		prepared = true
		return func() (persistence.Log, error) { return open(url) }
	})
}

// open is Open with bounds that a busy machine keeps, and an untyped nil for a failure.
func open(url string) (persistence.Log, error) {
	l, err := postgres.Open(context.Background(), patient(url))
	if err != nil {
		return nil, err
	}
	return l, nil
}

// patient is options for a test that is not about time.
func patient(url string) postgres.Options {
	return postgres.Options{
		URL: url, ConnectTimeout: time.Minute, StatementTimeout: time.Minute, LockTimeout: 30 * time.Second, Patience: time.Minute,
	}
}
