package crashtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/coder/websocket"
	"github.com/jackc/pgx/v5"

	"ysync/internal/s3test"
	"ysync/internal/testnet"
	"ysync/internal/testpg"
	"ysync/internal/testredis"
	"ysync/persistence/postgres"
	"ysync/snapshots"
	"ysync/snapshots/s3"
)

// site is a cluster: nodes, and what they share, each on a machine of its own
// where there is a net, else all of them on loopback.
type site struct {
	dir      string
	net      *testnet.Net
	machines map[string]*testnet.Host
	redis    *testredis.Server
	database *testpg.Server
	bucket   *s3test.Server
	nodes    []*node

	url, location string // of the log and of the snapshots
	log           *postgres.Log
	keeper        *snapshots.Keeper
}

const (
	redisMachine    = "redis"
	databaseMachine = "database"
	bucketMachine   = "bucket"
	siteDatabase    = "ysync"
	siteBucket      = "ysync"
	nodeCount       = 3
	clientPort      = 8787
)

// node is one server of a site, which dies and comes back.
type node struct {
	name   string
	site   *site
	host   *testnet.Host
	binary string
	args   []string
	env    []string

	mu      sync.Mutex
	server  *server
	fallen  bool   // it was told to end, or has not begun to serve
	client  string // address for clients
	operate string // address for operators
}

// newSite starts everything but the nodes. close must follow, also after an error.
func newSite(dir string, net *testnet.Net) (*site, error) {
	s := &site{dir: dir, net: net, machines: map[string]*testnet.Host{}}
	if net != nil {
		for _, name := range []string{redisMachine, databaseMachine, bucketMachine, "n1", "n2", "n3"} {
			host, err := net.Add(name)
			if err != nil {
				return s, err
			}
			s.machines[name] = host
		}
	}
	for name, value := range s3test.Environment() {
		if err := os.Setenv(name, value); err != nil {
			return s, err
		}
	}
	files := filepath.Join(dir, "bucket")
	secret := filepath.Join(dir, "secret")
	err := errors.Join(os.Mkdir(files, 0o700), os.WriteFile(secret, []byte("0123456789abcdef0123456789abcdef"), 0o600))
	if err != nil {
		return s, err
	}
	if s.bucket, err = s3test.NewOn(s.machines[bucketMachine], files); err != nil {
		return s, err
	}
	if err := s.bucket.Make(siteBucket); err != nil {
		return s, err
	}
	if s.redis, err = testredis.NewOn(s.machines[redisMachine]); err != nil {
		return s, err
	}
	if s.database, err = testpg.NewOn(s.machines[databaseMachine], ""); err != nil {
		return s, err
	}
	s.url = s.database.URL(siteDatabase)
	s.location = "s3://" + siteBucket + "/ysync?endpoint=" + s.bucket.Endpoint
	if err := s.query(testpg.Superuser, "CREATE DATABASE "+siteDatabase); err != nil {
		return s, err
	}
	return s, nil
}

// query runs statements in a database.
func (s *site) query(database string, statements ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), auditTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.database.URL(database))
	if err != nil {
		return err
	}
	for _, statement := range statements {
		if _, e := conn.Exec(ctx, statement); e != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", statement, e))
		}
	}
	return errors.Join(err, conn.Close(ctx))
}

// read opens what the nodes share, to be read without them. The tables that nodes
// of an earlier release made are brought to this one's, as its first node would.
func (s *site) read(ctx context.Context) (err error) {
	if s.log, err = postgres.Open(ctx, postgres.Options{URL: s.url}); err != nil {
		return err
	}
	options, err := s3.Parse(s.location)
	if err != nil {
		return err
	}
	store, err := s3.Open(ctx, options)
	if err != nil {
		return err
	}
	s.keeper = snapshots.New(store, s.log, snapshots.Options{})
	return nil
}

// start starts the nodes with a binary and waits until they know one another.
func (s *site) start(ctx context.Context, binary string, env []string, args ...string) error {
	for range nodeCount {
		if err := s.add(ctx, binary, env, args...); err != nil {
			return err
		}
	}
	return s.whole(ctx)
}

// add starts one more node.
func (s *site) add(ctx context.Context, binary string, env []string, args ...string) error {
	name := fmt.Sprint("n", len(s.nodes)+1)
	n := &node{name: name, site: s, host: s.machines[name], binary: binary, env: env, args: args}
	s.nodes = append(s.nodes, n)
	return n.start(ctx)
}

// whole waits until every node knows every other.
func (s *site) whole(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, calmTimeout)
	defer cancel()
	for _, n := range s.nodes {
		err := n.until(ctx, func(st nodeStatus) bool { return len(st.Cluster.Members) == len(s.nodes) && len(st.Degraded) == 0 })
		if err != nil {
			return err
		}
	}
	return nil
}

// close ends everything.
func (s *site) close() (err error) {
	for _, n := range s.nodes {
		n.kill()
	}
	if s.log != nil {
		err = s.log.Close()
	}
	if s.database != nil {
		err = errors.Join(err, s.database.Thaw(), s.database.Remove())
	}
	if s.redis != nil {
		err = errors.Join(err, s.redis.Remove())
	}
	if s.bucket != nil {
		err = errors.Join(err, s.bucket.Stop())
	}
	return err
}

// command is how the node is run.
func (n *node) command() *exec.Cmd {
	at := func(port int) string { return fmt.Sprintf("%s:%d", n.host.IP(), port) }
	args := []string{
		"serve", "--listen", at(0), "--ops", at(0), "--relay-listen", at(0), "--node-name", n.name,
		"--data", filepath.Join(n.site.dir, n.name), "--relay-secret", filepath.Join(n.site.dir, "secret"),
		"--insecure", "--drain-time", "500ms", "--snapshot-interval", "2s", "--segment-interval", "2s", "--idle-unload", "2s",
	}
	if n.host != nil {
		args[2] = at(clientPort)
		args[4] = at(clientPort + 1)
	}
	c := exec.Command(n.binary, append(args, n.args...)...)
	c.Env = append(os.Environ(), "YSYNC_LOG="+n.site.url, "YSYNC_SNAPSHOTS="+n.site.location, "YSYNC_CLUSTER="+n.site.redis.URL())
	c.Env = append(c.Env, n.env...)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return c
}

// launch starts the process of a node that is down. Its address arrives.
func (n *node) launch() (<-chan string, error) {
	s, serving, err := launchOn(n.host, n.command())
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.server, n.fallen = s, true
	return serving, nil
}

// start starts a node that is down and waits until it serves.
func (n *node) start(ctx context.Context) error {
	serving, err := n.launch()
	if err != nil {
		return err
	}
	s := n.current()
	if err := s.await(ctx, serving); err != nil {
		return fmt.Errorf("%s: %w", n.name, err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.client, n.operate, n.fallen = s.addr, s.operations, false
	return nil
}

// revive starts a node that is down, again and again as a supervisor would, as
// one that reaches nobody gives up.
func (n *node) revive(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, reviveTimeout)
	defer cancel()
	for {
		err := n.start(ctx)
		if err == nil || ctx.Err() != nil {
			return err
		}
	}
}

const (
	// reviveTimeout bounds how long a node may be kept from starting.
	reviveTimeout = 2 * time.Minute
	// calmTimeout bounds how long it may take until all is well when nothing
	// happens any more. Six processes and a hundred clients may share two cores
	// with the rest of the tests.
	calmTimeout = 2 * time.Minute
)

func (n *node) current() *server {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.server
}

// signal sends the process a signal, from which it may end if it is one of those.
func (n *node) signal(how syscall.Signal) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if how == syscall.SIGKILL || how == syscall.SIGTERM {
		n.fallen = true
	}
	return n.server.cmd.Process.Signal(how)
}

// kill ends the process, if there is one, and waits for its end.
func (n *node) kill() {
	n.mu.Lock()
	s := n.server
	n.fallen = true
	n.mu.Unlock()
	if s != nil {
		s.kill()
	}
}

// ended says whether the process ended without being told to.
func (n *node) ended() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	select {
	case <-n.server.done:
		return !n.fallen
	default:
		return false
	}
}

// nodeStatus is a part of /status.
type nodeStatus struct {
	Documents int
	Degraded  []string
	Cluster   struct {
		Self    struct{ Boot string }
		Members []struct{ Name, Boot string }
	}
}

func (n *node) status(ctx context.Context) (st nodeStatus, err error) {
	n.mu.Lock()
	at := n.operate
	n.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+at+"/status", nil)
	if err != nil {
		return st, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return st, err
	}
	defer answer.Body.Close()
	return st, json.NewDecoder(answer.Body).Decode(&st)
}

// until asks for the status until it is as wanted.
func (n *node) until(ctx context.Context, want func(nodeStatus) bool) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		st, err := n.status(ctx)
		if err == nil && want(st) {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s: waited for another status than %+v %w:\n%s", n.name, st, errors.Join(err, ctx.Err()), n.current().tail(5))
		}
	}
}

// documentsOf are the documents of a node.
func (s *site) documentsOf(ctx context.Context, n *node) (map[string]bool, error) {
	var boot string
	soon, cancel := context.WithTimeout(ctx, calmTimeout)
	defer cancel()
	err := n.until(soon, func(st nodeStatus) bool {
		boot = st.Cluster.Self.Boot
		return true
	})
	if err != nil {
		return nil, err
	}
	conn, err := pgx.Connect(ctx, s.url)
	if err != nil {
		return nil, err
	}
	rows, err := conn.Query(ctx, "SELECT convert_from(document, 'UTF8') FROM ysync.documents WHERE owner = $1", boot)
	if err != nil {
		return nil, errors.Join(err, conn.Close(ctx))
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	has := map[string]bool{}
	for _, name := range names {
		has[name] = true
	}
	return has, errors.Join(err, conn.Close(ctx))
}

const (
	// dialPatience is how long a client waits for a connection.
	dialPatience = 5 * time.Second
	// silence is after how long without a message a client connects anew, as
	// y-websocket does after 30 s.
	silence = 8 * time.Second
)

// anywhere connects to nodes at random, as a balancer that knows nothing would.
// A connection that is silent for too long is given up; 0 for never.
func (s *site) anywhere(rng *rand.Rand, silence time.Duration, nodes ...*node) dialer {
	var mu sync.Mutex
	return func(ctx context.Context, document string) (*link, error) {
		mu.Lock()
		n := nodes[rng.IntN(len(nodes))]
		mu.Unlock()
		n.mu.Lock()
		at := n.client
		n.mu.Unlock()
		soon, cancel := context.WithTimeout(ctx, dialPatience)
		defer cancel()
		return dialWithin(soon, ctx, silence, at, document)
	}
}

// mayEnd says which ends of a session are in order where nodes come and go: it
// is to connect anew.
func mayEnd(err error) bool {
	return slices.Contains([]websocket.StatusCode{
		websocket.StatusServiceRestart, websocket.StatusTryAgainLater, 4503, 4508, 4509,
	}, websocket.CloseStatus(err))
}

// complaints are the lines of a process that no correct one prints.
func (s *server) complaints() (bad []string) {
	for _, l := range s.errors() {
		if !strings.HasPrefix(l, "{") || strings.Contains(l, `"level":"panic"`) || strings.Contains(l, `"level":"fatal"`) {
			bad = append(bad, l)
		}
	}
	return bad
}
