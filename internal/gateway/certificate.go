package gateway

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"ysync/internal/metrics"
)

// Certificate is a certificate and its key in two files, which are read again
// when they change: a renewal needs no restart. Its methods may be called from
// any goroutine.
type Certificate struct {
	cert, key string // files
	metrics   *metrics.Metrics
	log       *zap.Logger
	now       func() time.Time

	mu sync.Mutex
	// Guarded by mu.
	pair   *tls.Certificate
	seen   [2]stamp
	looked time.Time
}

// stamp tells whether a file changed.
type stamp struct {
	at   time.Time
	size int64
}

// lookAgain is how often the files are looked at, at most.
const lookAgain = time.Second

// LoadCertificate reads the files, PEM both.
func LoadCertificate(cert, key string, m *metrics.Metrics, logger *zap.Logger) (*Certificate, error) {
	c := &Certificate{cert: cert, key: key, metrics: m, log: logger, now: time.Now}
	if err := c.load(); err != nil {
		return nil, err
	}
	return c, nil
}

// load reads the files if they have changed since the last time.
func (c *Certificate) load() error {
	c.looked = c.now()
	var seen [2]stamp
	for i, name := range []string{c.cert, c.key} {
		info, err := os.Stat(name)
		if err != nil {
			return err
		}
		seen[i] = stamp{info.ModTime(), info.Size()}
	}
	if c.pair != nil && seen == c.seen {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	c.pair, c.seen = &pair, seen
	c.metrics.CertificateExpiry.Set(float64(pair.Leaf.NotAfter.Unix()))
	c.metrics.CertificateLoadsTotal.WithLabelValues(metrics.OK).Inc()
	c.log.Info("certificate loaded", zap.String("file", c.cert), zap.Time("expires", pair.Leaf.NotAfter), zap.Strings("names", pair.Leaf.DNSNames))
	return nil
}

// get returns the certificate in the files; if they cannot be read, the one that
// was in them before.
func (c *Certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now().Sub(c.looked) >= lookAgain {
		if err := c.load(); err != nil {
			// Perhaps only one of the two was replaced yet.
			c.metrics.CertificateLoadsTotal.WithLabelValues(metrics.Failed).Inc()
			c.log.Warn("the certificate cannot be read again, the one known is used", zap.Error(err))
		}
	}
	return c.pair, nil
}

// Listen puts TLS on a listener. HTTP/2 is not offered: it has no WebSockets
// here.
func (c *Certificate) Listen(l net.Listener) net.Listener {
	return tls.NewListener(meters{l}, &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: c.get,
		NextProtos:     []string{"http/1.1"},
	})
}

// meters counts what its connections take. A write on TLS cannot be interrupted
// to learn how far it came, and go on: what the transport below took must tell.
type meters struct{ net.Listener }

func (m meters) Accept() (net.Conn, error) {
	nc, err := m.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &meter{Conn: nc}, nil
}

type meter struct {
	net.Conn
	taken atomic.Int64
}

func (m *meter) Write(p []byte) (int, error) {
	n, err := m.Conn.Write(p)
	m.taken.Add(int64(n))
	return n, err
}

// meterOf finds the meter under a connection; nil if it has none.
func meterOf(nc net.Conn) *meter {
	if t, ok := nc.(*tls.Conn); ok {
		m, _ := t.NetConn().(*meter)
		return m
	}
	return nil
}
