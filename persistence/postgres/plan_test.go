package postgres_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"ysync/persistence/postgres"
)

// The plan of an append looks its documents up by their numbers, also when it
// was made before there were any: it is kept for as long as the connection.
func TestAppendPlanUsesTheIndex(t *testing.T) {
	url := shared(t).Database(t)
	mustOpen(t, patient(url))
	conn := connect(t, url)
	for _, s := range postgres.WriterSettings() {
		execute(t, conn, "SELECT set_config($1, $2, false)", s[0], s[1])
	}
	execute(t, conn, "PREPARE plan AS "+postgres.AppendSQL)
	arguments := strings.Repeat("'{1,2,3}',", 12)
	rows, err := conn.Query(context.Background(), fmt.Sprintf("EXPLAIN EXECUTE plan(%s)", strings.TrimSuffix(arguments, ",")))
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var plan strings.Builder
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		plan.WriteString(line + "\n")
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(plan.String(), "Index Scan using documents_pkey") || strings.Contains(plan.String(), "Seq Scan on documents") {
		t.Errorf("the plan reads every document:\n%s", plan.String())
	}
}
