package main

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"ysync/internal/s3test"
	"ysync/internal/testpg"
)

// consult runs the doctor and returns what it says of each check.
func consult(t *testing.T, want int, env []string, args ...string) map[string]checkup {
	t.Helper()
	cmd := command(t, append([]string{"doctor", "--json", "--listen", "127.0.0.1:0", "--ops", "127.0.0.1:0"}, args...)...)
	cmd.Env = append(cmd.Env, env...)
	out, errs, code := finish(t, cmd)
	if code != want || (errs != "") != (want != 0) {
		t.Errorf("%v: exit code %d, want %d: %s%s", args, code, want, out, errs)
	}
	for _, secret := range []string{"hunter2", s3test.SecretKey} {
		if strings.Contains(out+errs, secret) {
			t.Errorf("it prints a secret: %s%s", out, errs)
		}
	}
	found := map[string]checkup{}
	lines := bufio.NewScanner(strings.NewReader(out))
	for lines.Scan() {
		var c checkup
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatalf("%v: %s", err, lines.Text())
		}
		if c.Detail == "" || (c.Advice == "") != (c.Status == fine) {
			t.Errorf("%+v", c)
		}
		found[c.Check] = c
	}
	return found
}

// expect compares what the doctor says of some checks.
func expect(t *testing.T, found map[string]checkup, want map[string]grade) {
	t.Helper()
	for check, status := range want {
		if found[check].Status != status {
			t.Errorf("%s: %+v, want %s", check, found[check], status)
		}
	}
}

func TestDoctor(t *testing.T) {
	s := embedded(t)
	healthy := map[string]grade{
		"configuration": fine, "data folder": fine, "rights": fine, "update log": fine, "snapshots": fine, "clock": fine,
		"address for clients": fine, "address for operators": fine,
	}
	expect(t, consult(t, 0, nil, "--data", s.data), healthy)
	if _, err := os.Stat(s.data); err == nil {
		t.Error("the doctor made the data folder")
	}
	live := s.serve()
	found := consult(t, 0, nil, "--data", s.data)
	expect(t, found, healthy)
	if !strings.Contains(found["lock"].Detail, "has the folder open") {
		t.Errorf("%+v", found["lock"])
	}
	if code, log := live.stop(syscall.SIGTERM); code != 0 {
		t.Fatal(log)
	}
	found = consult(t, 0, nil, "--data", s.data)
	if !strings.Contains(found["lock"].Detail, "nobody") {
		t.Errorf("%+v", found["lock"])
	}
	live = s.serve()
	if code, log := live.stop(syscall.SIGTERM); code != 0 {
		t.Errorf("after the doctor the server fails: %s", log)
	}

	expect(t, consult(t, 1, nil, "--data", s.data, "--retain-full=-1h"), map[string]grade{"configuration": fail})
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("no key"), 0o644); err != nil {
		t.Fatal(err)
	}
	expect(t, consult(t, 1, nil, "--data", file), map[string]grade{"data folder": fail})
	expect(t, consult(t, 1, nil, "--data", s.data, "--snapshots-key", file), map[string]grade{"key " + file: fail})
	if err := os.WriteFile(filepath.Join(s.data, formatFile), []byte("99\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	expect(t, consult(t, 1, nil, "--data", s.data), map[string]grade{"data folder": fail})
	// For people, on one line each with what to do below.
	if out, _, code := finish(t, command(t, "doctor", "--data", file)); code != 1 || !strings.Contains(out, "→ name another folder") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
}

func TestDoctorOnPostgresAndBucket(t *testing.T) {
	store, database := s3test.Start(t), testpg.Start(t)
	location := "s3://" + store.Bucket(t, "history") + "/ysync?endpoint=" + store.Endpoint
	url := database.Database(t)
	data := filepath.Join(t.TempDir(), "data")
	env := []string{"YSYNC_LOG=" + url, "YSYNC_SNAPSHOTS=" + location}
	healthy := map[string]grade{
		"postgres": fine, "postgres durability": fine, "postgres schema": fine, "postgres connections": fine, "clock": fine,
		"bucket reach": fine, "bucket put": fine, "bucket conditional put": fine, "bucket get": fine, "bucket list": fine, "bucket delete": fine,
	}
	found := consult(t, 0, env, "--data", data)
	expect(t, found, healthy)
	if !strings.Contains(found["postgres schema"].Detail, "version 0") || !strings.Contains(found["clock"].Detail, "differ by") {
		t.Errorf("%+v, %+v", found["postgres schema"], found["clock"])
	}
	s := elsewhere(t)
	live := s.serve()
	expect(t, consult(t, 0, live.cmd.Env, "--data", s.data), healthy)
	if code, log := live.stop(syscall.SIGTERM); code != 0 {
		t.Fatal(log)
	}
	expect(t, consult(t, 1, nil, "--data", s.data), map[string]grade{"update log": fail, "snapshots": fail})

	nobody := "postgres://nobody:hunter2@127.0.0.1:1/none"
	wrong := "s3://none/ysync?endpoint=" + store.Endpoint
	expect(t, consult(t, 1, []string{"YSYNC_LOG=" + nobody, "YSYNC_SNAPSHOTS=" + wrong}, "--data", data),
		map[string]grade{"postgres": fail, "bucket reach": fail})
	expect(t, consult(t, 1, []string{"YSYNC_LOG=hunter2", "YSYNC_SNAPSHOTS=http://x"}, "--data", data),
		map[string]grade{"update log": fail, "bucket": fail})

	// A user that may do nothing, and a database that only reads.
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	if _, err := conn.Exec(t.Context(), "CREATE ROLE guest LOGIN"); err != nil {
		t.Fatal(err)
	}
	guest := strings.Replace(url, "://"+testpg.Superuser, "://guest", 1)
	expect(t, consult(t, 1, []string{"YSYNC_LOG=" + guest}, "--data", data), map[string]grade{"postgres": fine, "postgres schema": fail})
	if _, err := conn.Exec(t.Context(), "ALTER ROLE guest SET default_transaction_read_only = on"); err != nil {
		t.Fatal(err)
	}
	expect(t, consult(t, 1, []string{"YSYNC_LOG=" + guest}, "--data", data), map[string]grade{"postgres role": fail})
}

func TestDoctorOnUnsafePostgres(t *testing.T) {
	database := testpg.Start(t, "fsync=off")
	found := consult(t, 1, []string{"YSYNC_LOG=" + database.Database(t)}, "--data", filepath.Join(t.TempDir(), "data"))
	expect(t, found, map[string]grade{"postgres": fine, "postgres durability": fail})
	if !strings.Contains(found["postgres durability"].Detail, "fsync") {
		t.Errorf("%+v", found["postgres durability"])
	}
}
