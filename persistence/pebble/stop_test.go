package pebble_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"ysync/persistence"
	"ysync/persistence/pebble"
)

// The environment that makes the test binary a process that writes to a log
// until its disk fails, or that just holds a log open.
const (
	envDir  = "YSYNC_TEST_LOG_DIR"
	envRole = "YSYNC_TEST_LOG_ROLE"
)

func TestMain(m *testing.M) {
	switch os.Getenv(envRole) {
	case "":
		os.Exit(m.Run())
	case "hold":
		holdLog(os.Getenv(envDir))
	default:
		writeUntilTheDiskFails(os.Getenv(envDir), os.Getenv(envRole))
	}
}

// holdLog opens a log, says so, and keeps it until its input ends.
func holdLog(dir string) {
	if _, err := pebble.Open(pebble.Options{Dir: dir}); err != nil {
		_, _ = os.Stderr.WriteString(err.Error())
		os.Exit(1)
	}
	_, _ = os.Stdout.WriteString("open\n")
	_, _ = os.Stdin.Read(make([]byte, 1))
	os.Exit(0)
}

// writeUntilTheDiskFails appends until the 10th operation of the kind fails (later
// ones may go to a file that is used again, which errorfs does not watch),
// acknowledging each append on the standard output. Errors are no end: the
// process must be ended.
func writeUntilTheDiskFails(dir, kind string) {
	var count atomic.Int64
	files := errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
		hit := kind == "fsync" && isSync(op.Kind) && strings.HasSuffix(op.Path, ".log") ||
			kind == "write" && isWrite(op.Kind) && strings.HasSuffix(op.Path, ".log") ||
			kind == "manifest" && isSync(op.Kind) && strings.Contains(op.Path, "MANIFEST") && count.Load() > 20
		if hit && count.Add(1) >= 10 || hit && kind == "manifest" {
			return syscall.EIO
		}
		if kind == "manifest" && strings.HasSuffix(op.Path, ".log") {
			count.Add(1)
		}
		return nil
	}))
	encoder := zapcore.NewJSONEncoder(zapcore.EncoderConfig{MessageKey: "msg", LevelKey: "level", EncodeLevel: zapcore.LowercaseLevelEncoder})
	log, err := pebble.Open(pebble.Options{
		Dir: dir, FS: files, MemTableBytes: 64 << 10, Space: pebble.Space{BallastBytes: -1},
		Logger: zap.New(zapcore.NewCore(encoder, zapcore.Lock(os.Stderr), zapcore.InfoLevel)),
	})
	if err != nil {
		_, _ = os.Stderr.WriteString(err.Error())
		os.Exit(3)
	}
	r, err := log.Claim(ctx, "a", "boot", 0)
	for err == nil {
		b := persistence.Batch{Document: "a", Generation: r.Generation, Epoch: r.Epoch, Entries: []persistence.NewEntry{{Update: bytes.Repeat([]byte("x"), 4000)}}}
		if err = log.Append(ctx, []persistence.Batch{b})[0].Err; err == nil {
			_, _ = os.Stdout.WriteString(".")
		}
	}
	_, _ = os.Stderr.WriteString("append returned: " + err.Error())
	os.Exit(4)
}

// A failed fsync ends the process with one clear line and the documented exit
// code, and the next start has everything that was acknowledged.
func TestFailedFsyncStopsTheProcess(t *testing.T) {
	for kind, file := range map[string]string{"fsync": ".log", "write": ".log", "manifest": "MANIFEST"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			child := exec.Command(os.Args[0])
			child.Env = append(os.Environ(), envDir+"="+dir, envRole+"="+kind)
			var stdout, stderr bytes.Buffer
			child.Stdout, child.Stderr = &stdout, &stderr
			err := child.Run()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != pebble.ExitDiskFailed {
				t.Fatalf("the process ended with %v, want exit code %d\n%s", err, pebble.ExitDiskFailed, stderr.String())
			}
			var line struct{ Level, Msg, Failed, Folder, Error string }
			if err := json.Unmarshal(stderr.Bytes(), &line); err != nil || strings.Count(stderr.String(), "\n") != 1 {
				t.Fatalf("not one line: %q", stderr.String())
			}
			if line.Level != "error" || !strings.Contains(line.Failed, file) || line.Error != syscall.EIO.Error() || line.Folder == "" {
				t.Errorf("unclear line: %q", stderr.String())
			}
			acknowledged := persistence.Position(stdout.Len())
			log := mustOpen(t, pebble.Options{Dir: dir})
			r, err := log.Open(ctx, "a")
			if err != nil || acknowledged == 0 || r.Head < acknowledged || r.Head > acknowledged+1 {
				t.Errorf("%d appends were acknowledged, the head is %d (%v)", acknowledged, r.Head, err)
			}
		})
	}
}

// A folder that another process has open is refused by name.
func TestSecondProcessIsLocked(t *testing.T) {
	dir := t.TempDir()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), envDir+"="+dir, envRole+"=hold")
	stdin, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := stdout.Read(make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	_, err = pebble.Open(pebble.Options{Dir: dir})
	if !errors.Is(err, persistence.ErrLocked) || !strings.Contains(err.Error(), dir) {
		t.Errorf("got %v, want ErrLocked with the folder's name", err)
	}
	if err := errors.Join(stdin.Close(), child.Wait()); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, pebble.Options{Dir: dir})
}

// Two paths to one folder are one folder.
func TestLockKnowsTheFolderByAnyPath(t *testing.T) {
	dir := t.TempDir()
	mustOpen(t, pebble.Options{Dir: dir})
	link := t.TempDir() + "/link"
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	for _, path := range []string{link, ".", dir + "/../" + dir[strings.LastIndexByte(dir, '/')+1:]} {
		if _, err := pebble.Open(pebble.Options{Dir: path}); !errors.Is(err, persistence.ErrLocked) {
			t.Errorf("%s: got %v, want ErrLocked", path, err)
		}
	}
}

func TestOpenErrors(t *testing.T) {
	file := t.TempDir() + "/file"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for dir, class := range map[string]error{"": persistence.ErrInvalid, file: syscall.ENOTDIR, file + "/below": syscall.ENOTDIR} {
		_, err := pebble.Open(pebble.Options{Dir: dir})
		if !errors.Is(err, class) || errors.Is(err, persistence.ErrLocked) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%q: got %v, want %v", dir, err, class)
		}
	}
}
