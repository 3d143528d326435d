package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"ysync/internal/audit"
	"ysync/internal/auth"
)

// accessFlags say who may connect.
type accessFlags struct {
	Keys          []string      `help:"Keys that tokens are verified with: a file with a JWK Set or with public keys as PEM, or the https URL of a JWK Set. They are read again while the server runs. Without keys everyone may read and write everything, so the server is reachable from this machine only." placeholder:"FILE|URL" sep:","`
	TokenIssuer   string        `help:"What tokens must name as their issuer (iss)."`
	TokenAudience string        `help:"What tokens must name among their audience (aud)."`
	TokenLife     time.Duration `help:"Longest time that a token may be good for. What is revoked stays so for as long." default:"8760h"`
	TokenUser     string        `help:"What becomes of the user that a token names: ${enum}. stamp shows it in the presences of its sessions whatever they say; verify drops presences that say another." default:"stamp" enum:"stamp,verify"`
	Webhook       string        `help:"In place of --keys: https URL of a program of yours that is asked who may do what." placeholder:"URL"`
	WebhookSecret string        `help:"File with the secret, 32 bytes at least, by which questions to --webhook are signed." placeholder:"FILE"`
	Origins       []string      `help:"Web sites whose pages may connect, beside the server's own, as https://app.example; * for all." placeholder:"ORIGIN" sep:","`
	Audit         string        `help:"File for the audit log: who opened, changed, restored, erased, exported what, a line of JSON each." placeholder:"FILE"`
	Insecure      bool          `help:"Without keys, listen on other addresses than loopback all the same: whoever reaches them may read, write and erase everything."`
}

func (a *accessFlags) check() error {
	switch {
	case a.Insecure && (len(a.Keys) > 0 || a.Webhook != ""):
		return fmt.Errorf("--insecure: there are keys (--keys) or a --webhook, so it would change nothing")
	case a.Webhook != "" && len(a.Keys) > 0:
		return fmt.Errorf("--webhook: it takes the place of --keys")
	case (a.Webhook == "") != (a.WebhookSecret == ""):
		return fmt.Errorf("--webhook and --webhook-secret go together")
	case a.TokenLife <= 0:
		return fmt.Errorf("--token-life: %v: want more than 0", a.TokenLife)
	case len(a.Keys) == 0 && a.TokenIssuer+a.TokenAudience != "":
		return fmt.Errorf("--token-issuer and --token-audience: there are no keys to verify tokens with (--keys)")
	case a.local() && len(a.Origins) > 0:
		return fmt.Errorf("--origins: without keys only pages of this machine may connect (--keys)")
	}
	_, err := auth.AllowSites(a.Origins)
	return err
}

// local: only this machine may connect.
func (a *accessFlags) local() bool { return len(a.Keys) == 0 && a.Webhook == "" && !a.Insecure }

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
	if a.Webhook != "" {
		secret, err := readSecret("webhook-secret", a.WebhookSecret)
		if err != nil {
			return nil, sites, err
		}
		hook, err := auth.NewWebhook(a.Webhook, []byte(secret), a.TokenLife)
		if err != nil {
			return nil, sites, &exitError{exitUsage, fmt.Errorf("--webhook: %w", err)}
		}
		return hook, sites, nil
	}
	keys, err := auth.NewKeys(ctx, a.Keys, func(source string, err error) {
		logger.Error("keys cannot be read, those known are used for a day", zap.String("source", source), zap.Error(err))
	})
	if err != nil {
		return nil, sites, &exitError{exitUsage, fmt.Errorf("--keys: %w", err)}
	}
	return &auth.Tokens{Keys: keys, Issuer: a.TokenIssuer, Audience: a.TokenAudience, MaxLife: a.TokenLife}, sites, nil
}

// access is who may do what, and who hears of it.
type access struct {
	auth    auth.Authorizer
	sites   auth.Sites
	rulings *auth.Rulings // nil where nobody asks for tokens
	life    time.Duration // the longest of a token
	audit   *audit.Log    // nil for none
}

// defaultTokenLife is the default of --token-life.
const defaultTokenLife = 8760 * time.Hour

// prepare opens all that stands between a client and the documents.
func (a *accessFlags) prepare(ctx context.Context, data *folder, node string, logger, announce *zap.Logger) (by access, err error) {
	by.life = a.TokenLife
	if by.auth, by.sites, err = a.open(ctx, announce); err != nil {
		return by, err
	}
	if _, open := by.auth.(auth.Open); !open {
		if by.rulings, err = data.rulings(ctx, announce); err != nil {
			return by, err
		}
		by.auth = auth.Ruled{Authorizer: by.auth, Rulings: by.rulings}
	}
	if a.Audit != "" {
		if by.audit, err = audit.Open(a.Audit, node, func(err error) {
			logger.Error("a line of the audit log was lost", zap.Error(err))
		}); err != nil {
			return by, &exitError{exitUsage, fmt.Errorf("--audit: %w", err)}
		}
	}
	return by, nil
}

// run keeps up with other nodes and syncs the audit log, until ctx ends.
func (by access) run(ctx context.Context) {
	var both sync.WaitGroup
	if by.rulings != nil {
		both.Go(func() { by.rulings.Run(ctx) })
	}
	if by.audit != nil {
		both.Go(func() { by.audit.Run(ctx) })
	}
	both.Wait()
}

// readSecret reads the secret in the file that a flag names.
func readSecret(flag, name string) (string, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return "", &exitError{exitUsage, fmt.Errorf("--%s: %w", flag, err)}
	}
	secret := strings.TrimSpace(string(text))
	if len(secret) < minSecret {
		return "", &exitError{exitUsage, fmt.Errorf("--%s: %s: want at least %d bytes", flag, name, minSecret)}
	}
	return secret, nil
}
