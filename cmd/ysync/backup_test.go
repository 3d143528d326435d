package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// back runs `ysync backup` and returns its report.
func (s *site) back(at *server, dest string, args ...string) backedUp {
	s.t.Helper()
	var report backedUp
	out := s.must(at, append([]string{"backup", dest, "--json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		s.t.Fatalf("%s: %v", out, err)
	}
	return report
}

// TestBackupUnderWriters: a backup has everything that was acknowledged before
// it began, is a data folder, and is brought up to date by the next run, which
// takes only the files that are new.
func TestBackupUnderWriters(t *testing.T) {
	s := embedded(t)
	server := s.serve("--segment-interval", "100ms", "--snapshot-interval", "200ms")
	for i := range 30 {
		server.join(fmt.Sprint("quiet", i)).edit("still")
	}
	stop := make(chan struct{})
	var typing sync.WaitGroup
	var acked [4]atomic.Int64
	for i := range acked {
		typist := server.join(fmt.Sprint("busy", i))
		typing.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				typist.edit(fmt.Sprintf("<%d>", n))
				acked[i].Add(1)
			}
		})
	}
	dest := filepath.Join(t.TempDir(), "backups", "nightly")
	for run := range 4 {
		var before [len(acked)]int64
		for i := range before {
			for before[i] = acked[i].Load(); before[i] == 0; before[i] = acked[i].Load() {
			}
		}
		// Files come and go while they are backed up.
		s.must(server, "snapshot", "create", "busy0")
		report := s.back(server, dest)
		if report.Verified == nil || report.Verified.Documents != 34 || report.Verified.Damaged+report.Verified.Unreadable != 0 {
			t.Errorf("run %d: %+v", run, report.Verified)
		}
		if run > 0 && report.NewFiles >= report.Files {
			t.Errorf("run %d took %d files of %d", run, report.NewFiles, report.Files)
		}
		copied := &site{t: t, data: dest}
		for i := range before {
			text := copied.must(nil, "doc", "get", fmt.Sprint("busy", i), "--text")
			if got := int64(strings.Count(text, "<")); got < before[i] {
				t.Errorf("run %d: busy%d has %d words of %d", run, i, got, before[i])
			}
		}
	}
	s.must(server, "doc", "import", "gone", updateFile(t, "secret"))
	s.must(server, "snapshot", "create", "gone")
	s.back(server, dest)
	s.must(server, "doc", "erase", "gone", "--yes")
	close(stop)
	typing.Wait()
	s.back(server, dest, "--copy")
	if code, log := server.stop(syscall.SIGTERM); code != 0 {
		t.Fatalf("exit code %d: %s", code, log)
	}
	if left, err := os.ReadDir(filepath.Join(s.data, stagingFolder)); !os.IsNotExist(err) {
		t.Errorf("the data folder holds %v, %v", left, err)
	}

	// It is a data folder: a server goes on with it, and then it is no backup.
	copied := &site{t: t, data: dest}
	documents := []string{"quiet7", "busy0", "busy3"}
	last := filepath.Join(t.TempDir(), "last")
	s.back(nil, last)
	if got, want := told(t, &site{t: t, data: last}, documents...), told(t, s, documents...); got != want {
		t.Errorf("the backup of the stopped server tells\n%s\nwant\n%s", got, want)
	}
	again := copied.serve()
	for i := range acked {
		text := again.join(fmt.Sprint("busy", i)).text()
		if got := int64(strings.Count(text, "<")); got != acked[i].Load() {
			t.Errorf("busy%d has %d words of %d", i, got, acked[i].Load())
		}
	}
	if _, _, code := copied.run("doc", "get", "gone", "--server", "http://"+again.ops()); code != exitNotFound {
		t.Errorf("what was erased: %d", code)
	}
	if out, errs, code := s.run("backup", dest); code != exitConflict || !strings.Contains(errs, "no backup") {
		t.Errorf("a backup onto a server: %d %s%s", code, out, errs)
	}
	again.stop(syscall.SIGTERM)
}

// TestBackupKilled: a server that dies while it makes a backup leaves the one
// before, or a folder that no server opens; the next run completes it.
func TestBackupKilled(t *testing.T) {
	s := embedded(t)
	names := make([]string, 200)
	for i := range names {
		names[i] = fmt.Sprint("d", i)
	}
	fill(t, s.data, names...)
	server := s.serve()
	for _, d := range names {
		s.must(server, "snapshot", "create", d)
		if len(names) > 40 && d == "d40" {
			break
		}
	}
	dest := filepath.Join(t.TempDir(), "backup")
	for pause := time.Millisecond; pause < 150*time.Millisecond; pause = pause*2 + time.Millisecond {
		cmd := s.env(command(t, "backup", dest, "--no-verify", "--server", "http://"+server.ops()))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		killed := make(chan struct{})
		time.AfterFunc(10*time.Millisecond+pause, func() {
			_ = server.cmd.Process.Signal(syscall.SIGKILL)
			close(killed)
		})
		_ = cmd.Wait()
		<-killed
		_ = server.cmd.Wait()
		copied := &site{t: t, data: dest}
		if out, errs, code := copied.run("snapshot", "verify"); code == 0 && !strings.Contains(out, "200 documents") || code != 0 && code != exitData {
			t.Errorf("after a kill: %d %s%s", code, out, errs)
		}
		server = s.serve()
	}
	if report := s.back(server, dest); report.Verified.Documents != 200 {
		t.Errorf("%+v", report.Verified)
	}
	server.stop(syscall.SIGTERM)
}

// TestBackupRefusals: folders that are none, damage, newer releases.
func TestBackupRefusals(t *testing.T) {
	s := embedded(t)
	server := s.serve()
	server.join("a").edit("x")
	s.must(server, "snapshot", "create", "a")
	refused := func(code int, want string, online bool, args ...string) {
		t.Helper()
		cmd := s.env(command(t, append([]string{"backup"}, args...)...))
		cmd.Env = append(cmd.Env, "YSYNC_DATA="+s.data)
		if online {
			cmd.Env = append(cmd.Env, "YSYNC_SERVER=http://"+server.ops())
		}
		if out, errs, got := finish(t, cmd); got != code || !strings.Contains(errs, want) {
			t.Errorf("%v: exit code %d, want %d: %s%s", args, got, code, out, errs)
		}
	}
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "letter"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	refused(exitConflict, `it holds "letter"`, true, full)
	refused(exitConflict, "in the data folder", true, filepath.Join(s.data, "backup"))
	refused(exitInUse, "stop the server first", false, filepath.Join(full, "x"))

	dest := filepath.Join(t.TempDir(), "backup")
	// One that died in its first moment has left no more than this.
	if err := errors.Join(os.Mkdir(dest, 0o700), os.WriteFile(filepath.Join(dest, "."+backupFile), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	s.back(server, dest)
	mark := filepath.Join(dest, backupFile)
	text, err := os.ReadFile(mark)
	if err != nil {
		t.Fatal(err)
	}
	for content, want := range map[string]string{
		strings.Replace(string(text), `"format":1`, `"format":2`, 1): "a newer format than this release reads: format 2", "zzz": "is damaged",
	} {
		if err := os.WriteFile(mark, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, errs, code := finish(t, command(t, "serve", "--listen", "127.0.0.1:0", "--data", dest)); code != exitData || !strings.Contains(errs, want) {
			t.Errorf("serve: %d %s", code, errs)
		}
		refused(exitData, want, true, dest)
	}
	if err := os.WriteFile(mark, text, 0o600); err != nil {
		t.Fatal(err)
	}

	// A bit that flips in the backup's own copy is found by the next run.
	s.back(server, dest, "--copy")
	var flipped bool
	err = filepath.WalkDir(filepath.Join(dest, snapshotFolder), func(path string, d os.DirEntry, err error) error {
		if err != nil || flipped || !strings.HasSuffix(path, ".snapshot") {
			return err
		}
		flipped = true
		file, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		file[len(file)-40] ^= 1
		return os.WriteFile(path, file, 0o600)
	})
	if err != nil || !flipped {
		t.Fatal(flipped, err)
	}
	refused(exitData, "1 files are damaged", true, dest)
	server.stop(syscall.SIGTERM)
}
