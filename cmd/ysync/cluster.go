package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"go.uber.org/zap"

	"ysync/internal/auth"
	"ysync/internal/cluster"
	"ysync/internal/hub"
	"ysync/internal/metrics"
)

// clusterFlags make the server one node of several.
type clusterFlags struct {
	Cluster        string        `help:"Redis of a cluster: servers that share it, --log and --snapshots serve the same documents. redis://user:password@host:port/0, rediss:// for TLS; further nodes of a Redis Cluster as ?addr=host:port&addr=host:port; Sentinels with &master_set=NAME. Better set YSYNC_CLUSTER, as others can read a command line." placeholder:"URL"`
	RelayListen    string        `help:"Address for the other nodes, host:port." default:"127.0.0.1:0"`
	RelayAdvertise string        `help:"Address at which the other nodes reach this one, if it is not that of --relay-listen." placeholder:"HOST:PORT"`
	RelaySecret    string        `help:"File with a secret that all nodes share. Without it and without --relay-cert, nodes are on loopback only." placeholder:"FILE"`
	RelayCert      string        `help:"File with this node's certificate, for TLS between nodes; both ends show one." placeholder:"FILE"`
	RelayKey       string        `help:"File with the certificate's key." placeholder:"FILE"`
	RelayAuthority string        `help:"File with the certificates that sign those of the nodes." placeholder:"FILE"`
	NodeName       string        `help:"Name of this node, for people; the host's name if empty." placeholder:"NAME"`
	NodeWeight     float64       `help:"Capacity of this node in relation to the others." default:"1"`
	DrainTime      time.Duration `help:"Time over which the connections of a node that stops are closed, when there are other nodes." default:"5s"`
}

// membership is this process's place among the nodes.
type membership interface {
	cluster.Directory
	hub.Placement
	// Announce has the next owners of documents told ahead.
	Announce(ahead cluster.Ahead)
	// Keep looks after the documents that are open here.
	Keep(docs cluster.Documents)
	// Drain hands over what is open here.
	Drain(ctx context.Context) error
}

var (
	_ membership = (*cluster.Alone)(nil)
	_ membership = (*cluster.Member)(nil)
)

// check refuses flags that do not go together.
func (c *clusterFlags) check(s storeFlags) error {
	switch {
	case c.NodeWeight <= 0 || c.NodeWeight > 1000:
		return fmt.Errorf("--node-weight: %v: want more than 0 and at most 1000", c.NodeWeight)
	case c.DrainTime < 0:
		return fmt.Errorf("--drain-time: %v: want 0 or more", c.DrainTime)
	case (c.RelayCert == "") != (c.RelayKey == "") || (c.RelayCert == "") != (c.RelayAuthority == ""):
		return errors.New("--relay-cert, --relay-key and --relay-authority go together")
	case c.Cluster == "":
		return nil
	case s.Log == "":
		return errors.New("--cluster needs --log: the nodes share an update log in PostgreSQL")
	case s.Snapshots == "":
		return errors.New("--cluster needs --snapshots: the nodes share a bucket for snapshots and history")
	}
	if c.RelaySecret == "" && c.RelayCert == "" {
		if err := auth.CheckListen(c.RelayListen); err != nil {
			return errors.New("--relay-listen: without --relay-secret or --relay-cert nodes are on loopback only")
		}
	}
	return nil
}

// secret reads the secret that nodes share; empty for none.
func (c *clusterFlags) secret() (string, error) {
	if c.RelaySecret == "" {
		return "", nil
	}
	return readSecret("relay-secret", c.RelaySecret)
}

// minSecret is the least length of a secret that can't be guessed.
const minSecret = 16

// tls is the configuration of TLS between nodes, for both ends; nil for none.
func (c *clusterFlags) tls() (*tls.Config, error) {
	if c.RelayCert == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(c.RelayCert, c.RelayKey)
	if err != nil {
		return nil, &exitError{exitUsage, fmt.Errorf("--relay-cert: %w", err)}
	}
	text, err := os.ReadFile(c.RelayAuthority)
	if err != nil {
		return nil, &exitError{exitUsage, fmt.Errorf("--relay-authority: %w", err)}
	}
	authorities := x509.NewCertPool()
	if !authorities.AppendCertsFromPEM(text) {
		return nil, &exitError{exitUsage, fmt.Errorf("--relay-authority: %s holds no certificate", c.RelayAuthority)}
	}
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{pair},
		RootCAs:      authorities,
		ClientCAs:    authorities,
		ClientAuth:   tls.RequireAndVerifyClientCert,
	}, nil
}

// joinWithin bounds how long a start waits for Redis or the database to take
// this node in.
const joinWithin = 20 * time.Second

// join makes this process a node. self has its addresses.
func (c *clusterFlags) join(ctx context.Context, self cluster.Node, data *folder, m *metrics.Metrics, logger *zap.Logger) (membership, error) {
	if c.Cluster == "" {
		return cluster.Static(self), nil
	}
	log, ok := data.log.(cluster.Log)
	if !ok {
		return nil, &exitError{exitUsage, errors.New("--cluster: the update log is for one process alone")}
	}
	soon, cancel := context.WithTimeout(ctx, joinWithin)
	defer cancel()
	member, err := cluster.Join(soon, cluster.Options{Self: self, Redis: c.Cluster, Log: log, Logger: logger, Metrics: m})
	if err != nil {
		return nil, fmt.Errorf("--cluster: %w", err)
	}
	return member, nil
}

// relayPort is where the other nodes come in.
type relayPort struct {
	listener  net.Listener // nil for a node that is alone
	advertise string       // what the others are told
	secret    string       // empty for none
	tls       *tls.Config  // nil for none
}

// listen opens the port for the other nodes.
func (c *clusterFlags) listen(ctx context.Context) (p relayPort, err error) {
	if c.Cluster == "" {
		return p, nil
	}
	if p.secret, err = c.secret(); err != nil {
		return p, err
	}
	if p.tls, err = c.tls(); err != nil {
		return p, err
	}
	var config net.ListenConfig
	if p.listener, err = config.Listen(ctx, "tcp", c.RelayListen); err != nil {
		return p, fmt.Errorf("--relay-listen: %w", err)
	}
	at := p.listener.Addr().(*net.TCPAddr)
	p.advertise = at.String()
	switch {
	case c.RelayAdvertise != "":
		p.advertise = c.RelayAdvertise
	case at.IP.IsUnspecified():
		err = &exitError{exitUsage, errors.New("--relay-listen is every address of the machine: tell the other nodes which one with --relay-advertise")}
	}
	return p, err
}

// name is the node's name.
func (c *clusterFlags) name() string {
	if c.NodeName != "" {
		return c.NodeName
	}
	host, err := os.Hostname()
	if err != nil {
		return "node"
	}
	return host
}

// clusterStatus is what /status shows of the cluster.
func clusterStatus(m membership) func() (any, []string) {
	member, ok := m.(*cluster.Member)
	if !ok {
		return nil
	}
	return func() (any, []string) {
		s := member.Status()
		return s, s.Degraded
	}
}
