package main

import (
	"crypto/tls"
	"fmt"
	"strings"
	"testing"
	"time"

	"ysync/internal/testtls"
)

// Nodes that show certificates to each other serve each other's documents and
// orders; who shows none, or that of a stranger, is turned away.
func TestNodesShowCertificates(t *testing.T) {
	n := newNodes(t)
	ours, theirs := testtls.New(t), testtls.New(t)
	args := func(i *testtls.Issuer) []string {
		return []string{"--relay-cert", i.Cert, "--relay-key", i.Key, "--relay-authority", i.Authority}
	}
	a, b := n.start("a", args(ours)...), n.start("b", args(ours)...)
	for _, s := range []*server{a, b} {
		s.until("two nodes", members("a", "b"))
	}
	for i := range 8 {
		name := fmt.Sprint("plan-", i)
		p := a.join(name)
		p.edit("from a, ")
		b.join(name).edit("from b")
		p.sees("from a, from b")
		for _, s := range []*server{a, b} {
			if out := s.order("GET", "/documents/"+name, ""); !strings.Contains(out, `"owned":true`) {
				t.Errorf("explain %s: %s", name, out)
			}
		}
	}
	if had := a.documents(); had == 0 || had == 8 {
		t.Errorf("one node has %d of 8 documents", had)
	}

	greet := func(pairs ...tls.Certificate) error {
		config := ours.Client()
		config.Certificates, config.NextProtos = pairs, []string{"h2"}
		conn, err := tls.Dial("tcp", a.serving["relay"].(string), config)
		if err != nil {
			return err
		}
		defer conn.Close()
		if err := conn.SetReadDeadline(time.Now().Add(bound)); err != nil {
			return err
		}
		// With TLS 1.3 the client learns only now whether it is let in.
		_, err = conn.Read(make([]byte, 1))
		return err
	}
	pair := func(i *testtls.Issuer) tls.Certificate {
		p, err := tls.LoadX509KeyPair(i.Cert, i.Key)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if err := greet(pair(ours)); err != nil {
		t.Errorf("a node is turned away: %v", err)
	}
	for what, err := range map[string]error{"no certificate": greet(), "a stranger's certificate": greet(pair(theirs))} {
		if err == nil || !strings.Contains(err.Error(), "certificate") && !strings.Contains(err.Error(), "authority") {
			t.Errorf("with %s: %v", what, err)
		}
	}
}
