package crashtest

import (
	"os"
	"testing"

	"ysync/internal/testpg"
)

// The disk of the database fills up, twice.
func TestPostgresDiskFull(t *testing.T) {
	testpg.Need(t)
	disk := testpg.SmallDisk(t, 160<<20)
	database := testpg.StartIn(t, disk, "min_wal_size=32MB", "max_wal_size=32MB", "restart_after_crash=on")
	var ballast string
	h := endure(t, database, database.Database(t), 2, []outage{{
		"disk full",
		func() (err error) {
			ballast, err = testpg.FillUp(disk, 0)
			return err
		},
		func() error { return os.Remove(ballast) },
	}})
	t.Log(h.ledger.report())
}
