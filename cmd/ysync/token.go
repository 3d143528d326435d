package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"ysync/internal/auth"
)

type tokenCmd struct {
	Mint mintCmd `cmd:"" help:"Make a token."`
	Key  keyCmd  `cmd:"" help:"Make a key, as a JWK Set: for mint, and for --keys of serve."`
}

type mintCmd struct {
	Documents map[string]string `arg:"" help:"What it allows: PATTERN=SCOPE. A pattern is a name, or a beginning and a *; scopes are read, silent (read without being seen), write and admin." placeholder:"PATTERN=SCOPE"`
	Key       string            `help:"File with the key to sign with." required:"" placeholder:"FILE" env:"-"`
	Subject   string            `help:"Who it is for: the author of what the session writes." required:"" env:"-"`
	For       time.Duration     `help:"How long it is good." default:"1h" env:"-"`
	Tenant    string            `help:"Confine it to documents whose names begin with this and a slash; the patterns go on from there." env:"-"`
	Issuer    string            `help:"Its issuer (iss)." env:"-"`
	Audience  string            `help:"Its audience (aud)." env:"-"`
}

// Run prints a token.
func (c *mintCmd) Run(s streams) error {
	data, err := os.ReadFile(c.Key)
	if err != nil {
		return err
	}
	keys, err := auth.ParseKeys(data)
	if err != nil {
		return &exitError{exitUsage, fmt.Errorf("--key: %s: %w", c.Key, err)}
	}
	if c.For <= 0 {
		return &exitError{exitUsage, fmt.Errorf("--for: %v: want more than 0", c.For)}
	}
	for pattern, scope := range c.Documents {
		if _, err := auth.ParseScope(scope); err != nil {
			return &exitError{exitUsage, fmt.Errorf("%s: %w", pattern, err)}
		}
	}
	claims := auth.NewClaims(c.Subject, time.Now(), c.For)
	claims.Issuer, claims.Tenant, claims.Documents = c.Issuer, c.Tenant, c.Documents
	if c.Audience != "" {
		claims.Audience = []string{c.Audience}
	}
	token, err := keys[0].Sign(claims)
	if err != nil {
		return &exitError{exitUsage, fmt.Errorf("--key: %s: %w", c.Key, err)}
	}
	_, err = fmt.Fprintln(s.out, token)
	return err
}

type keyCmd struct {
	Algorithm string `help:"What it is for: ${enum}. With HS256 whoever can verify tokens can make them." default:"EdDSA" enum:"HS256,RS256,ES256,EdDSA" env:"-"`
	ID        string `help:"Its name, to tell keys apart when they are rotated." env:"-"`
	Public    string `help:"Print the public part of the keys in this file instead: all that serve needs." placeholder:"FILE" env:"-"`
}

// Run prints a JWK Set.
func (c *keyCmd) Run(s streams) error {
	var keys []auth.Key
	if c.Public != "" {
		data, err := os.ReadFile(c.Public)
		if err != nil {
			return err
		}
		if keys, err = auth.ParseKeys(data); err != nil {
			return &exitError{exitUsage, fmt.Errorf("--public: %s: %w", c.Public, err)}
		}
		for i := range keys {
			if keys[i], err = keys[i].Public(); err != nil {
				return &exitError{exitUsage, fmt.Errorf("--public: %s: %w", c.Public, err)}
			}
		}
	} else {
		id := c.ID
		if id == "" {
			id = strings.ToLower(c.Algorithm) + "-" + time.Now().UTC().Format("20060102T150405")
		}
		key, err := auth.GenerateKey(c.Algorithm, id)
		if err != nil {
			return err
		}
		keys = []auth.Key{key}
	}
	set, err := auth.MarshalKeys(keys)
	if err != nil {
		return err
	}
	out := json.NewEncoder(s.out)
	out.SetIndent("", "  ")
	return out.Encode(set)
}
