package postgres_test

import (
	"context"
	"testing"

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

// open is Open, with an untyped nil for a failure.
func open(url string) (persistence.Log, error) {
	l, err := postgres.Open(context.Background(), postgres.Options{URL: url})
	if err != nil {
		return nil, err
	}
	return l, nil
}
