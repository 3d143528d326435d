package main

import (
	"context"
	"fmt"

	"go.uber.org/zap"

	"ysync/internal/auth"
)

// accessFlags say who may connect.
type accessFlags struct {
	Keys          []string `help:"Keys that tokens are verified with: a file with a JWK Set or with public keys as PEM, or the https URL of a JWK Set. They are read again while the server runs. Without keys everyone may read and write everything, so the server is reachable from this machine only." placeholder:"FILE|URL" sep:","`
	TokenIssuer   string   `help:"What tokens must name as their issuer (iss)."`
	TokenAudience string   `help:"What tokens must name among their audience (aud)."`
	Origins       []string `help:"Web sites whose pages may connect, beside the server's own, as https://app.example; * for all." placeholder:"ORIGIN" sep:","`
	Insecure      bool     `help:"Without keys, listen on other addresses than loopback all the same: whoever reaches them may read, write and erase everything."`
}

func (a *accessFlags) check() error {
	switch {
	case a.Insecure && len(a.Keys) > 0:
		return fmt.Errorf("--insecure: there are keys (--keys), so it would change nothing")
	case len(a.Keys) == 0 && a.TokenIssuer+a.TokenAudience != "":
		return fmt.Errorf("--token-issuer and --token-audience: there are no keys to verify tokens with (--keys)")
	case a.local() && len(a.Origins) > 0:
		return fmt.Errorf("--origins: without keys only pages of this machine may connect (--keys)")
	}
	_, err := auth.AllowSites(a.Origins)
	return err
}

// local: only this machine may connect.
func (a *accessFlags) local() bool { return len(a.Keys) == 0 && !a.Insecure }

// checkListen refuses an address of a flag that strangers could reach.
func (a *accessFlags) checkListen(flag, address string) error {
	if !a.local() {
		return nil
	}
	if err := auth.CheckListen(address); err != nil {
		return fmt.Errorf("--%s: %w; see --keys and --insecure", flag, err)
	}
	return nil
}

// whoMay tells a person who may connect.
func (a *accessFlags) whoMay() string {
	switch {
	case a.local():
		return "Everyone on this machine may read and write everything; nobody else can connect."
	case a.Insecure:
		return "EVERYONE who reaches this address may read, write and erase everything."
	default:
		return "Clients need a token (ysync token --help)."
	}
}

// open reads the keys.
func (a *accessFlags) open(ctx context.Context, logger *zap.Logger) (auth.Authorizer, auth.Sites, error) {
	if a.local() {
		return auth.Open{}, auth.Sites{}, nil
	}
	sites, err := auth.AllowSites(a.Origins)
	if err != nil {
		return nil, sites, err
	}
	if a.Insecure {
		logger.Warn("everyone who reaches this server may read, write and erase everything (--insecure)")
		return auth.Open{}, sites, nil
	}
	keys, err := auth.NewKeys(ctx, a.Keys, func(source string, err error) {
		logger.Error("keys cannot be read, those known are used for a day", zap.String("source", source), zap.Error(err))
	})
	if err != nil {
		return nil, sites, &exitError{exitUsage, fmt.Errorf("--keys: %w", err)}
	}
	return &auth.Tokens{Keys: keys, Issuer: a.TokenIssuer, Audience: a.TokenAudience}, sites, nil
}
