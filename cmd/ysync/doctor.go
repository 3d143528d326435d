package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	cockroach "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"ysync/persistence/pebble"
	"ysync/persistence/postgres"
	"ysync/snapshots/s3"
	"ysync/snapshots/seal"
)

type doctorCmd struct {
	serveCmd
	jsonFlag
}

// grade is the outcome of a check.
type grade string

const (
	fine grade = "ok"
	warn grade = "warn"
	fail grade = "fail"
)

// checkup is one check and what came of it.
type checkup struct {
	Check  string `json:"check"`
	Status grade  `json:"status"`
	Detail string `json:"detail"`
	// Advice is what to do about it, empty for a check that is fine.
	Advice string `json:"advice,omitempty"`
}

// doctor collects checks.
type doctor struct {
	c    *doctorCmd
	out  *printer
	bad  int
	skew []time.Duration // of the clocks that told the time, ahead of ours
}

// Run checks what `ysync serve` with the same flags would stand on. It changes
// nothing but for an object that it puts into the bucket and takes out again,
// and a file in the data folder.
func (c *doctorCmd) Run(ctx context.Context, s streams) error {
	d := &doctor{c: c, out: c.printer(s)}
	d.configuration()
	d.folder()
	d.log(ctx)
	d.bucket(ctx)
	d.keys()
	d.limits()
	d.clock()
	if err := d.out.flush(); err != nil {
		return err
	}
	if d.bad > 0 {
		return &exitError{exitFailed, fmt.Errorf("%d checks failed", d.bad)}
	}
	return nil
}

func (d *doctor) tell(check string, status grade, detail, advice string) {
	if status == fail {
		d.bad++
	}
	if status == fine {
		advice = ""
	}
	d.out.row(checkup{check, status, detail, advice}, status, check, detail)
	if advice != "" {
		d.out.row(nil, " ", " ", "→ "+advice)
	}
}

// judge tells of a check that is fine unless it has an error.
func (d *doctor) judge(check string, err error, detail, advice string) bool {
	if err != nil {
		d.tell(check, fail, err.Error(), advice)
		return false
	}
	d.tell(check, fine, detail, "")
	return true
}

func (d *doctor) configuration() {
	d.judge("configuration", d.c.check(), "the flags go together", "correct the flag, the variable or the file that --config names")
	for _, a := range [][2]string{{"address for clients", d.c.Listen}, {"address for operators", d.c.Ops}} {
		name, address := a[0], a[1]
		if address == "" {
			d.tell(name, warn, "none", "without --ops there are no metrics, no /readyz, and no commands at the running server")
			continue
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			d.tell(name, warn, err.Error(), "fine if it is the server that runs; otherwise choose another address")
			continue
		}
		_ = l.Close() // it was only tried
		d.tell(name, fine, address+" is free", "")
	}
}

// folder looks at the data folder and the disk below it.
func (d *doctor) folder() {
	path := d.c.Data
	at := path
	switch info, err := os.Stat(path); {
	case errors.Is(err, fs.ErrNotExist):
		at = existing(path)
		d.tell("data folder", fine, path+" is not there yet, the server makes it", "")
	case err != nil || !info.IsDir():
		d.tell("data folder", fail, errors.Join(err, fmt.Errorf("%s is no folder", path)).Error(), "name another folder with --data")
		return
	default:
		err := checkFormat(path)
		if entries, _ := os.ReadDir(path); err != nil && len(entries) == 0 {
			err = nil // the server makes it one
		}
		d.judge("data folder", err, path+" has a format that this release reads", "name the folder of this server with --data, or use the release that wrote it")
		d.lock(path)
	}
	took, err := tryFolder(at)
	switch {
	case err != nil:
		d.tell("rights", fail, err.Error(), "let the user of the server write in "+at)
	case took > 100*time.Millisecond:
		d.tell("rights", warn, fmt.Sprintf("%s can be written, but one fsync takes %v", at, took.Round(time.Millisecond)), "every acknowledgement waits for one: put the folder on a faster disk, if this is the usual")
	default:
		d.tell("rights", fine, fmt.Sprintf("%s can be written, one fsync takes %v", at, took.Round(10*time.Microsecond)), "")
	}
	d.space(at)
	name, why := fileSystem(at)
	if why != "" {
		d.tell("file system", warn, name+": "+why, "put the data folder on a local disk")
	} else {
		d.tell("file system", fine, name, "")
	}
}

// existing is the folder above a path that is there.
func existing(path string) string {
	for {
		parent := filepath.Dir(path)
		if _, err := os.Stat(parent); err == nil || parent == path {
			return parent
		}
		path = parent
	}
}

// lock tells whether a server has the folder open.
func (d *doctor) lock(path string) {
	if d.c.Log == "" {
		path = filepath.Join(path, logFolder)
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return
		}
	}
	lock, err := cockroach.LockDirectory(path, vfs.Default)
	if err != nil {
		d.tell("lock", fine, "a server has the folder open", "")
		return
	}
	d.judge("lock", lock.Close(), "nobody has the folder open", "look at the rights of the folder")
}

// tryFolder writes a file as the log does, and takes it away again.
func tryFolder(path string) (took time.Duration, err error) {
	file, err := os.CreateTemp(path, ".ysync-doctor-*")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, file.Close(), os.Remove(file.Name())) }()
	if _, err := file.WriteString("ysync looked here, and may be deleted\n"); err != nil {
		return 0, err
	}
	began := time.Now()
	err = file.Sync()
	return time.Since(began), err
}

// roomy is how much free space needs no warning.
const roomy = 2 << 30

func (d *doctor) space(path string) {
	usage, err := vfs.Default.GetDiskUsage(path)
	if err != nil {
		d.tell("free space", warn, err.Error(), "watch the free space in another way")
		return
	}
	stop := pebble.DefaultStopBytes(int64(usage.TotalBytes))
	detail := fmt.Sprintf("%v of %v; writing stops below %v", size(usage.AvailBytes), size(usage.TotalBytes), size(stop))
	switch {
	case d.c.Log == "" && int64(usage.AvailBytes) < stop:
		d.tell("free space", fail, detail, "make room: the server would take no edits")
	case int64(usage.AvailBytes) < max(2*stop, roomy):
		d.tell("free space", warn, detail, "make room before it is needed")
	default:
		d.tell("free space", fine, detail, "")
	}
}

// log looks at the update log.
func (d *doctor) log(ctx context.Context) {
	url := d.c.Log
	if url == "" {
		if _, err := os.Stat(filepath.Join(d.c.Data, elsewhereFile)); err == nil {
			d.tell("update log", fail, "the log of this folder is in PostgreSQL, and none is named", "set YSYNC_LOG")
			return
		}
		d.tell("update log", fine, "in the data folder; `ysync snapshot verify` reads it all", "")
		return
	}
	if !strings.HasPrefix(url, "postgres://") && !strings.HasPrefix(url, "postgresql://") {
		d.tell("update log", fail, "--log is no URL such as postgres://user:password@host/database", "correct YSYNC_LOG")
		return
	}
	p, err := postgres.Examine(ctx, postgres.Options{URL: url})
	if !d.judge("postgres", err, fmt.Sprintf("%s answers, a statement takes %v", p.Address, p.RoundTrip.Round(10*time.Microsecond)), "look at the address, the network, the user and the password") {
		return
	}
	d.judge("postgres durability", p.Unsafe, "server "+p.Durability.Server+", "+p.Durability.String(), "a commit must be on disk when it is answered: turn fsync and synchronous_commit on, and connect without a pooler that shares sessions")
	if p.ReadOnly {
		d.tell("postgres role", fail, "the server takes no writes", "name the primary, not a standby (target_session_attrs=read-write)")
	}
	switch {
	case p.Schema > p.Needs:
		d.tell("postgres schema", fail, fmt.Sprintf("version %d, this release knows up to %d", p.Schema, p.Needs), "use the newer release that has migrated it")
	case p.Schema < p.Needs && !p.MayMigrate:
		d.tell("postgres schema", fail, fmt.Sprintf("version %d, this release needs %d, and the user may not make it", p.Schema, p.Needs), "GRANT CREATE on the database, or a schema ysync, to the user")
	case p.Schema < p.Needs:
		d.tell("postgres schema", fine, fmt.Sprintf("version %d, the server makes it %d when it starts", p.Schema, p.Needs), "")
	default:
		d.tell("postgres schema", fine, fmt.Sprintf("version %d", p.Schema), "")
	}
	left := p.MaxConnections - p.Connections
	if detail := fmt.Sprintf("%d of %d in use", p.Connections, p.MaxConnections); left < 20 {
		d.tell("postgres connections", warn, detail, "a server uses up to 11: raise max_connections")
	} else {
		d.tell("postgres connections", fine, detail, "")
	}
	d.skew = append(d.skew, p.Ahead)
}

// bucket tries the bucket out.
func (d *doctor) bucket(ctx context.Context) {
	if d.c.Snapshots == "" {
		if where, err := os.ReadFile(filepath.Join(d.c.Data, bucketFile)); err == nil {
			d.tell("snapshots", fail, "those of this folder are in "+strings.TrimSpace(string(where))+", and no bucket is named", "set YSYNC_SNAPSHOTS")
			return
		}
		d.tell("snapshots", fine, "in the data folder", "")
		return
	}
	o, err := s3.Parse(d.c.Snapshots)
	var store *s3.Store
	if err == nil {
		store, err = s3.Open(ctx, o)
	}
	if err != nil {
		d.tell("bucket", fail, err.Error(), "correct YSYNC_SNAPSHOTS")
		return
	}
	advice := map[string]string{
		"reach":           "look at the name of the bucket, the endpoint, and the credentials in the environment",
		"put":             "allow s3:PutObject and s3:AbortMultipartUpload below the prefix",
		"conditional put": "use a store that knows If-None-Match: other servers must not overwrite",
		"get":             "allow s3:GetObject below the prefix",
		"list":            "allow s3:ListBucket on the bucket",
		"delete":          "allow s3:DeleteObject below the prefix: retention and erasing need it",
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	p := store.Probe(ctx)
	for _, step := range p.Steps {
		d.judge("bucket "+step.What, step.Err, store.Location(), advice[step.What])
	}
	if p.Timed {
		// A header tells whole seconds.
		d.skew = append(d.skew, p.Ahead.Truncate(time.Second))
	}
}

// keys looks at the files with keys.
func (d *doctor) keys() {
	for _, name := range d.c.SnapshotsKey {
		text, err := os.ReadFile(name)
		if err == nil {
			_, err = seal.ParseKey(text)
		}
		if !d.judge("key "+name, err, "can be read", "make one with: head -c 32 /dev/urandom | base64") {
			continue
		}
		if info, err := os.Stat(name); err == nil && info.Mode().Perm()&0o077 != 0 {
			d.tell("key "+name, warn, fmt.Sprintf("others may read it (%v)", info.Mode().Perm()), "chmod 600, and keep a copy elsewhere: without it the snapshots are lost")
		}
	}
}

// limits looks at what the process may have open.
func (d *doctor) limits() {
	files, bounded := openFiles()
	if !bounded {
		d.tell("open files", fine, "without a bound", "")
		return
	}
	detail := fmt.Sprintf("%d, enough for %d connections", files, connectionsFor(d.c.MaxConnections, files))
	if connectionsFor(d.c.MaxConnections, files) < d.c.MaxConnections {
		d.tell("open files", warn, fmt.Sprintf("%s of the %d of --max-connections", detail, d.c.MaxConnections), "raise it: ulimit -n, or LimitNOFILE= of the service")
		return
	}
	d.tell("open files", fine, detail, "")
}

// Clocks may differ so much: what one entry is dated with, and until when a
// signed request to a bucket is taken.
const (
	skewWarn = 2 * time.Second
	skewFail = 5 * time.Minute
)

// clock compares the clock of this machine with others.
func (d *doctor) clock() {
	const advice = "run a time service (chrony, systemd-timesyncd) on both machines: history and restores go by this clock"
	worst := time.Duration(0)
	for _, s := range d.skew {
		if s.Abs() > worst.Abs() {
			worst = s
		}
	}
	now := time.Now().UTC().Format(time.RFC3339)
	switch {
	case worst.Abs() > skewFail:
		d.tell("clock", fail, fmt.Sprintf("%s; another clock is %v ahead", now, worst.Round(time.Second)), advice)
	case worst.Abs() > skewWarn:
		d.tell("clock", warn, fmt.Sprintf("%s; another clock is %v ahead", now, worst.Round(time.Millisecond)), advice)
	case time.Now().Year() < 2025:
		d.tell("clock", fail, now+": that was long ago", advice)
	case len(d.skew) > 0:
		d.tell("clock", fine, fmt.Sprintf("%s; others differ by at most %v", now, worst.Abs().Round(time.Millisecond)), "")
	default:
		d.tell("clock", fine, now+"; there is none to compare it with", "")
	}
}
