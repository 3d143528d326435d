// Package s3test starts a real S3-compatible server for tests: versitygw over a
// temporary folder, on a free port of the loopback interface or of a machine of
// its own.
package s3test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"

	"ysync/internal/canary"
	"ysync/internal/testnet"
)

// Credentials of the server.
const (
	AccessKey = "test"
	SecretKey = canary.Mark + ".s3" // no test may find it anywhere
)

// Server is a running server.
type Server struct {
	// Endpoint is its URL.
	Endpoint string
	host     *testnet.Host
	cmd      *exec.Cmd
	args     []string
	logs     *bytes.Buffer
}

// Start starts a server that stops with the test, and gives the process of the
// test its credentials. Without the program the test is not run, unless CI is
// true in the environment: then it fails.
func Start(t testing.TB) *Server {
	t.Helper()
	Need(t)
	if err := toEnvironment(); err != nil {
		t.Fatal(err)
	}
	s, err := New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Kill(t) })
	return s
}

// toEnvironment stays for as long as the process lives: they are the same for all
// servers, and tests that wait side by side share it.
var toEnvironment = sync.OnceValue(func() error {
	var errs []error
	for name, v := range Environment() {
		errs = append(errs, os.Setenv(name, v))
	}
	return errors.Join(errs...)
})

// Need ends a test where a server cannot be started: it says so, or fails when CI=true.
func Need(t testing.TB) {
	t.Helper()
	if _, err := find(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skipf("NOT RUN: %v", err)
	}
}

// Environment is what a client of the server has to have in its environment.
func Environment() map[string]string {
	return map[string]string{
		"AWS_ACCESS_KEY_ID": AccessKey, "AWS_SECRET_ACCESS_KEY": SecretKey, "AWS_REGION": "us-east-1",
		"AWS_EC2_METADATA_DISABLED": "true",
	}
}

// New starts a server with its data in a folder. Stop must follow.
func New(data string) (*Server, error) { return NewOn(nil, data) }

// NewOn is New on a machine.
func NewOn(host *testnet.Host, data string) (*Server, error) {
	program, err := find()
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := fmt.Sprintf("%s:%d", host.IP(), l.Addr().(*net.TCPAddr).Port)
	if err := l.Close(); err != nil {
		return nil, err
	}
	s := &Server{Endpoint: "http://" + addr, host: host, args: []string{program, "--port", addr, "--quiet", "--keep-alive", "posix", data}}
	return s, s.start()
}

// Run starts the server again after Kill, on the same port and data.
func (s *Server) Run(t testing.TB) {
	t.Helper()
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
}

// Restart is Run outside of a test, after Stop.
func (s *Server) Restart() error { return s.start() }

func (s *Server) start() error {
	s.logs = new(bytes.Buffer)
	s.cmd = exec.Command(s.args[0], s.args[1:]...)
	s.cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+AccessKey, "ROOT_SECRET_KEY="+SecretKey)
	s.cmd.Stdout, s.cmd.Stderr = s.logs, s.logs
	if err := s.host.Start(s.cmd); err != nil {
		return err
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for {
		answer, err := http.Get(s.Endpoint)
		if err == nil {
			return answer.Body.Close()
		}
		select {
		case <-tick.C:
		case <-deadline:
			return errors.Join(fmt.Errorf("versitygw did not start: %w", err), s.Stop(), errors.New(s.logs.String()))
		}
	}
}

// Kill ends the server at once. What it stored stays for Run.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
}

// Stop is Kill outside of a test.
func (s *Server) Stop() error {
	if s.cmd == nil {
		return nil
	}
	if err := s.cmd.Process.Kill(); err != nil {
		return err
	}
	_ = s.cmd.Wait() // "signal: killed"
	s.cmd = nil
	return nil
}

// Client talks to the server.
func (s *Server) Client() *sdk.Client {
	return sdk.New(sdk.Options{
		BaseEndpoint: &s.Endpoint, Region: "us-east-1", UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(AccessKey, SecretKey, ""),
	})
}

// Bucket makes a bucket.
func (s *Server) Bucket(t testing.TB, name string) string {
	t.Helper()
	if err := s.Make(name); err != nil {
		t.Fatal(err)
	}
	return name
}

// Make is Bucket outside of a test.
func (s *Server) Make(bucket string) error {
	_, err := s.Client().CreateBucket(context.Background(), &sdk.CreateBucketInput{Bucket: aws.String(bucket)})
	return err
}

// find looks for the program in the path and where the project's own script
// installs it.
func find() (string, error) {
	if p, err := exec.LookPath("versitygw"); err == nil {
		return p, nil
	}
	_, here, _, _ := runtime.Caller(0)
	p := filepath.Join(filepath.Dir(here), "..", "..", ".cache", "bin", "versitygw")
	if _, err := os.Stat(p); err != nil {
		return "", fmt.Errorf("no S3-compatible server: versitygw is neither in the path nor in .cache/bin (.ci/prepare installs it)")
	}
	return p, nil
}
