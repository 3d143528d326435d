package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/s3"

	"ysync/internal/api"
	"ysync/internal/s3test"
	"ysync/internal/testpg"
)

// withBucket is a command with the snapshots in a bucket.
func withBucket(cmd *exec.Cmd, location string) *exec.Cmd {
	cmd.Env = append(cmd.Env, "YSYNC_SNAPSHOTS="+location)
	for name, value := range s3test.Environment() {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	return cmd
}

// keyFile writes a key for --snapshots-key.
func keyFile(t *testing.T, name string, fill byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	text := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{fill}, 32))
	if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// objects are the names of what a bucket holds.
func objects(t *testing.T, s *s3test.Server, bucket string) []string {
	t.Helper()
	out, err := s.Client().ListObjectsV2(context.Background(), &sdk.ListObjectsV2Input{Bucket: &bucket})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, o := range out.Contents {
		names = append(names, *o.Key)
	}
	return names
}

// TestServeWithPostgresAndBucket: nothing of a document is in the data folder;
// it is served again by another machine that has the database and the bucket.
func TestServeWithPostgresAndBucket(t *testing.T) {
	store, database := s3test.Start(t), testpg.Start(t)
	url := database.Database(t)
	bucket := store.Bucket(t, "history")
	location := "s3://" + bucket + "/ysync?endpoint=" + store.Endpoint
	old, current := keyFile(t, "old", 1), keyFile(t, "new", 2)
	serve := func(data string, keys ...string) *server {
		args := []string{"serve", "--listen", "127.0.0.1:0", "--data", data}
		for _, k := range keys {
			args = append(args, "--snapshots-key", k)
		}
		return startServer(t, withBucket(withLog(command(t, args...), url), location))
	}
	first := filepath.Join(t.TempDir(), "first")
	s := serve(first, old)
	if got, want := s.serving["snapshots"], "s3://history/ysync/"; got != want {
		t.Errorf("serving: snapshots %q, want %q", got, want)
	}
	s.join("team/plan").edit("hey")
	if code, log := s.stop(syscall.SIGTERM); code != 0 || strings.Contains(log, s3test.SecretKey) {
		t.Errorf("exit code %d: %s", code, log)
	}
	names := objects(t, store, bucket)
	if len(names) == 0 || !strings.HasPrefix(names[0], "ysync/") {
		t.Fatalf("the bucket holds %q, want a segment", names)
	}
	if _, err := os.Stat(filepath.Join(first, snapshotFolder)); !os.IsNotExist(err) {
		t.Errorf("the data folder has snapshots: %v", err)
	}

	second := filepath.Join(t.TempDir(), "second")
	s = serve(second, current, old)
	if got := s.join("team/plan").text(); got != "hey" {
		t.Errorf("elsewhere: %q", got)
	}
	s.stop(syscall.SIGTERM)
	out, errs, code := finish(t, withBucket(withLog(command(t, "doc", "get", "team/plan", "--data", second, "--snapshots-key", old), url), location))
	if code != 0 || out != "{\"t\":\"hey\"}\n" {
		t.Errorf("doc get: %d %q %s", code, out, errs)
	}

	refuse := func(want string, cmd *exec.Cmd) {
		t.Helper()
		if _, errs, code := finish(t, withLog(cmd, url)); code != exitUsage || !strings.Contains(errs, want) {
			t.Errorf("%v: exit code %d, %q", cmd.Args[1:], code, errs)
		}
	}
	refuse("are in s3://history/ysync/: name the bucket", command(t, "doc", "list", "--data", second))
	refuse("no key", withBucket(command(t, "doc", "list", "--data", second, "--snapshots-key", "/dev/null"), location))
	refuse("the store refuses the bucket", withBucket(command(t, "doc", "list", "--data", second), "s3://other?endpoint="+store.Endpoint))
	refuse("want s3://bucket/prefix", withBucket(command(t, "doc", "list", "--data", second), "bucket"))
}

// startStore is a store that a test may stop, beside other tests.
func startStore(t *testing.T) *s3test.Server {
	t.Helper()
	s3test.Need(t)
	s, err := s3test.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Kill(t) })
	return s
}

// TestServeWhileTheBucketIsAway: editing and starting go on without the store;
// what it misses is stored when it is back.
func TestServeWhileTheBucketIsAway(t *testing.T) {
	t.Parallel() // it waits most of the time, as the next one does
	store := startStore(t)
	bucket := store.Bucket(t, "away")
	location := "s3://" + bucket + "?endpoint=" + store.Endpoint
	data := filepath.Join(t.TempDir(), "data")
	start := func() *server {
		return startServer(t, withBucket(command(t, "serve", "--listen", "127.0.0.1:0", "--data", data), location))
	}
	store.Kill(t)
	s := start()
	s.join("notes").edit("written without a bucket")
	s.cmd.Process.Signal(syscall.SIGKILL)
	s.cmd.Wait()
	s = start()
	if got := s.join("notes").text(); got != "written without a bucket" {
		t.Errorf("after a kill: %q", got)
	}
	store.Run(t)
	if code, log := s.stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d: %s", code, log)
	}
	if names := objects(t, store, bucket); len(names) == 0 {
		t.Error("the bucket holds nothing, want a segment")
	}
}

// metric reads one figure of a server; one that nothing has moved yet is 0.
func (s *server) metric(name string) float64 {
	s.t.Helper()
	answer, err := http.Get("http://" + s.ops() + "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			v, err := strconv.ParseFloat(value, 64)
			if err != nil {
				s.t.Fatal(err)
			}
			return v
		}
	}
	return 0
}

// TestBucketAwayForTheWholeRun: people type on, the log keeps everything, the
// metric that docs/OPERATIONS.md names rises; it falls when the bucket is back.
func TestBucketAwayForTheWholeRun(t *testing.T) {
	const alarm, failures = "ysync_segment_unsegmented_seconds", `ysync_segment_seconds_count{result="failed"}`
	t.Parallel()
	store := startStore(t)
	bucket := store.Bucket(t, "gone")
	cmd := commandFor(t, 5*time.Minute, "serve", "--listen", "127.0.0.1:0", "--ops", "127.0.0.1:0",
		"--data", filepath.Join(t.TempDir(), "data"), "--segment-interval", "1s", "--snapshot-interval", "1s")
	s := startServer(t, withBucket(cmd, "s3://"+bucket+"?endpoint="+store.Endpoint))
	typing := func(text string) {
		p := s.join("notes")
		p.edit(text)
		if err := p.ws.CloseNow(); err != nil {
			t.Log(err)
		}
	}
	logged := func() uint64 {
		answer, err := http.Get("http://" + s.ops() + "/api/v1/documents?prefix=notes")
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		var first struct{ Document api.Document }
		if err := json.NewDecoder(answer.Body).Decode(&first); err != nil {
			t.Fatal(err)
		}
		return first.Document.Logged
	}
	settle := func(what string, reached func() bool) {
		t.Helper()
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		deadline := time.After(2 * time.Minute)
		for !reached() {
			select {
			case <-tick.C:
			case <-deadline:
				t.Fatalf("%s: never; %s is %v", what, alarm, s.metric(alarm))
			}
		}
	}
	typing("with a bucket ")
	settle("the first edit in the bucket", func() bool { return len(objects(t, store, bucket)) > 0 })

	store.Kill(t)
	before := logged()
	settle("the alarm", func() bool {
		typing("without ")
		return s.metric(alarm) > 5 && s.metric(failures) > 0
	})
	if after := logged(); after < before+10 {
		t.Errorf("the log holds %d entries, before it were %d", after, before)
	}
	store.Run(t)
	stored := len(objects(t, store, bucket))
	settle("the end of the alarm", func() bool { return s.metric(alarm) < 2 && len(objects(t, store, bucket)) > stored })
	typing("and with it again")
	if code, log := s.stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d: %s", code, log)
	}
}
