package auth

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/MicahParks/jwkset"
)

// Key verifies tokens of one algorithm, which is the key's to say and never the
// token's: a public key is no HMAC secret.
type Key struct {
	// ID is what a token's kid names; empty for a key that is tried for every
	// token of its algorithm.
	ID string
	// Algorithm is HS256, RS256, ES256 or EdDSA (RFC 7518 section 3.1, RFC 8037).
	Algorithm string

	verify any // []byte, *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey
	sign   any // what signs, nil when only the public part is there
}

// What a source of keys may hold.
const (
	maxKeys      = 64
	maxKeyBytes  = 64 << 10
	minSecret    = 32   // bytes (RFC 7518 section 3.2)
	minRSA       = 2048 // bits (RFC 7518 section 3.3)
	algorithmHMC = "HS256"
	algorithmRSA = "RS256"
	algorithmEC  = "ES256"
	algorithmEd  = "EdDSA"
)

// ParseKeys reads a JWK Set (RFC 7517), or public keys as PEM (RFC 7468). A key
// of a set that says "alg" must be of that algorithm; one that says another use
// than signatures, or is of a kind that this server does not know, is left out, as
// providers publish such beside the others. It fails when no key is left.
func ParseKeys(data []byte) ([]Key, error) {
	if len(data) > maxKeyBytes {
		return nil, fmt.Errorf("%d bytes of keys: want at most %d", len(data), maxKeyBytes)
	}
	var keys []Key
	var err error
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("-----BEGIN")) {
		keys, err = parsePEM(data)
	} else {
		keys, err = parseSet(data)
	}
	switch {
	case err != nil:
		return nil, err
	case len(keys) == 0:
		return nil, errors.New("no key for HS256, RS256, ES256 or EdDSA")
	case len(keys) > maxKeys:
		return nil, fmt.Errorf("%d keys: want at most %d", len(keys), maxKeys)
	}
	return keys, nil
}

func parsePEM(data []byte) ([]Key, error) {
	var keys []Key
	for n := 1; ; n++ {
		block, rest := pem.Decode(data)
		if block == nil {
			return keys, nil
		}
		data = rest
		if block.Type != "PUBLIC KEY" {
			return nil, fmt.Errorf("PEM block %d is a %q: want a PUBLIC KEY", n, clip(block.Type))
		}
		public, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("PEM block %d: %w", n, err)
		}
		k, err := newKey("", public)
		if err != nil {
			return nil, fmt.Errorf("PEM block %d: %w", n, err)
		}
		keys = append(keys, k)
	}
}

func parseSet(data []byte) ([]Key, error) {
	var set jwkset.JWKSMarshal
	if err := json.Unmarshal(data, &set); err != nil {
		return nil, fmt.Errorf("neither PEM nor a JWK Set: %w", err)
	}
	var keys []Key
	for i, m := range set.Keys {
		if m.USE != "" && m.USE != jwkset.UseSig {
			continue
		}
		// Certificates are neither fetched nor judged: the key is what counts.
		m.X5U, m.X5C, m.X5T, m.X5TS256 = "", nil, "", ""
		parsed, err := jwkset.NewJWKFromMarshal(m, jwkset.JWKMarshalOptions{Private: true},
			jwkset.JWKValidateOptions{SkipKeyOps: true})
		if errors.Is(err, jwkset.ErrUnsupportedKey) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("key %d (%q): %w", i+1, clip(m.KID), err)
		}
		k, err := newKey(m.KID, parsed.Key())
		switch {
		case errors.Is(err, errOtherKind):
			continue
		case err != nil:
			return nil, fmt.Errorf("key %d (%q): %w", i+1, clip(m.KID), err)
		case m.ALG != "" && string(m.ALG) != k.Algorithm:
			continue // RS384, PS256 and the like are not accepted
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// errOtherKind: keys of this kind verify nothing here.
var errOtherKind = errors.New("want a secret, RSA, P-256 or Ed25519 key")

// newKey finds the algorithm of a key, which must be strong enough for it.
func newKey(id string, key any) (Key, error) {
	k := Key{ID: id}
	if private, ok := key.(crypto.Signer); ok {
		k.sign, key = private, private.Public()
	}
	switch v := key.(type) {
	case []byte:
		if len(v) < minSecret {
			return k, fmt.Errorf("a secret of %d bytes: want at least %d", len(v), minSecret)
		}
		k.Algorithm, k.sign = algorithmHMC, v
	case *rsa.PublicKey:
		if v.N.BitLen() < minRSA {
			return k, fmt.Errorf("an RSA key of %d bits: want at least %d", v.N.BitLen(), minRSA)
		}
		k.Algorithm = algorithmRSA
	case *ecdsa.PublicKey:
		if v.Curve != elliptic.P256() {
			return k, errOtherKind
		}
		k.Algorithm = algorithmEC
	case ed25519.PublicKey:
		k.Algorithm = algorithmEd
	default:
		return k, errOtherKind
	}
	k.verify = key
	return k, nil
}

// mayVerify reports whether the key is one for a token with this header.
func (k Key) mayVerify(algorithm, id string) bool {
	return k.Algorithm == algorithm && (k.ID == "" || id == "" || k.ID == id)
}
