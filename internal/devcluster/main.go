//go:build unix

// Command devcluster runs a whole cluster on loopback, for people to try:
// PostgreSQL, Redis, an S3-compatible server and several nodes, with a page that
// shows which node has which document. All of it is temporary, and ends with it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"ysync/internal/s3test"
	"ysync/internal/testpg"
	"ysync/internal/testredis"
)

func main() {
	program := flag.String("ysync", "bin/ysync", "the server's `program`")
	nodes := flag.Int("nodes", 3, "how many nodes")
	first := flag.Int("port", 8787, "port of the first node for clients; the page has the one before it")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *program, *nodes, *first); err != nil {
		fmt.Fprintln(os.Stderr, "devcluster:", err)
		os.Exit(1)
	}
}

// site is what the nodes share.
type site struct {
	dir      string
	database *testpg.Server
	redis    *testredis.Server
	bucket   *s3test.Server
}

const (
	databaseName = "ysync"
	bucketName   = "ysync"
)

func run(ctx context.Context, program string, count, first int) (err error) {
	for _, missing := range []string{testpg.Missing(), testredis.Missing()} {
		if missing != "" {
			return errors.New(missing)
		}
	}
	s := &site{}
	defer func() { err = errors.Join(err, s.stop()) }()
	if err := s.start(ctx); err != nil {
		return err
	}
	list := make([]*node, count)
	var all sync.WaitGroup
	ended := make(chan error, count)
	for i := range list {
		n := s.node(program, i, first+i)
		list[i] = n
		if err := n.cmd.Start(); err != nil {
			return err
		}
		all.Go(func() { ended <- n.wait(ctx) })
	}
	defer all.Wait()
	defer func() {
		for _, n := range list {
			_ = n.cmd.Process.Signal(syscall.SIGTERM)
		}
	}()
	page, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", first-1))
	if err != nil {
		return err
	}
	server := &http.Server{Handler: &board{nodes: list, database: s.database.URL(databaseName)}, ReadHeaderTimeout: 5 * time.Second}
	defer server.Close()
	go func() { _ = server.Serve(page) }()
	for _, n := range list {
		fmt.Printf("%s  http://%s  operations http://%s/status  pid %d\n", n.name, n.client, n.operations, n.cmd.Process.Pid)
	}
	fmt.Printf("\nwho has what: http://%s   (Ctrl-C ends everything)\n", page.Addr())
	fmt.Printf("postgres %s\nredis    %s\nbucket   %s/%s\nlogs     %s\n", s.database.URL(databaseName), s.redis.URL(), s.bucket.Endpoint, bucketName, s.dir)
	select {
	case <-ctx.Done():
		return nil
	case err := <-ended:
		return err
	}
}

// start starts what the nodes share.
func (s *site) start(ctx context.Context) (err error) {
	if s.dir, err = os.MkdirTemp("", "ysync-cluster-"); err != nil {
		return err
	}
	for name, value := range s3test.Environment() {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	files := filepath.Join(s.dir, "bucket")
	if err := os.Mkdir(files, 0o700); err != nil {
		return err
	}
	if s.bucket, err = s3test.New(files); err != nil {
		return err
	}
	if err := s.bucket.Make(bucketName); err != nil {
		return err
	}
	if s.redis, err = testredis.New(); err != nil {
		return err
	}
	if s.database, err = testpg.New(""); err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, s.database.URL(testpg.Superuser))
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "CREATE DATABASE "+databaseName)
	return errors.Join(err, conn.Close(ctx))
}

func (s *site) stop() (err error) {
	if s.database != nil {
		err = s.database.Remove()
	}
	if s.redis != nil {
		err = errors.Join(err, s.redis.Remove())
	}
	if s.bucket != nil {
		err = errors.Join(err, s.bucket.Stop())
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

// node is one server.
type node struct {
	name, client, operations string
	cmd                      *exec.Cmd
	log                      string
}

// node prepares a server. Its operations port is 100 above that for clients.
func (s *site) node(program string, i, port int) *node {
	n := &node{
		name: fmt.Sprint("node-", i+1), client: fmt.Sprint("127.0.0.1:", port), operations: fmt.Sprint("127.0.0.1:", port+100),
	}
	n.log = filepath.Join(s.dir, n.name+".log")
	n.cmd = exec.Command(program, "serve", "--listen", n.client, "--ops", n.operations, "--data", filepath.Join(s.dir, n.name), "--node-name", n.name)
	n.cmd.Env = append(os.Environ(),
		"YSYNC_LOG="+s.database.URL(databaseName), "YSYNC_CLUSTER="+s.redis.URL(),
		"YSYNC_SNAPSHOTS=s3://"+bucketName+"/ysync?endpoint="+s.bucket.Endpoint)
	if file, err := os.Create(n.log); err == nil {
		n.cmd.Stderr = file // the process has its own handle; this one goes with devcluster
	}
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return n
}

// wait waits for the end of a server; one that was killed from outside is not
// started again, and no reason to stop the others.
func (n *node) wait(ctx context.Context) error {
	err := n.cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() < 0 || ctx.Err() != nil || err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", n.name, err)
}
