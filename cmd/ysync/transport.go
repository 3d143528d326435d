package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"go.uber.org/zap"

	"ysync/internal/gateway"
	"ysync/internal/metrics"
)

// transportFlags say how clients come in.
type transportFlags struct {
	Certificate    string   `help:"File with the certificate of the port for clients, and those that it was signed by, as PEM: clients connect by wss:// then. It is read again when it changes." placeholder:"FILE"`
	CertificateKey string   `help:"File with its key, as PEM." placeholder:"FILE"`
	Compression    bool     `help:"Let clients that offer it have messages compressed (permessage-deflate): less to send, for processor time."`
	TrustedProxies []string `help:"Addresses of proxies, as 10.0.0.0/8, whose X-Forwarded-For says who the client is." placeholder:"CIDR" sep:","`
}

func (t *transportFlags) check() error {
	if (t.Certificate == "") != (t.CertificateKey == "") {
		return errors.New("--certificate and --certificate-key go together")
	}
	_, err := t.proxies()
	return err
}

func (t *transportFlags) proxies() (trusted []netip.Prefix, err error) {
	for _, text := range t.TrustedProxies {
		p, err := netip.ParsePrefix(text)
		if a, addrErr := netip.ParseAddr(text); addrErr == nil {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err != nil {
			return nil, fmt.Errorf("--trusted-proxies: %q is neither an address nor a network", text)
		}
		trusted = append(trusted, p.Masked())
	}
	return trusted, nil
}

// secure puts TLS on the listener if there is a certificate.
func (t *transportFlags) secure(l net.Listener, m *metrics.Metrics, logger *zap.Logger) (net.Listener, error) {
	if t.Certificate == "" {
		return l, nil
	}
	c, err := gateway.LoadCertificate(t.Certificate, t.CertificateKey, m, logger)
	if err != nil {
		return nil, &exitError{exitUsage, fmt.Errorf("--certificate: %w", err)}
	}
	return c.Listen(l), nil
}
