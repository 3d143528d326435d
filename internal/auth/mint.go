package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
)

// NewClaims are claims about a subject, good from now on for d.
func NewClaims(subject string, now time.Time, d time.Duration) Claims {
	return Claims{RegisteredClaims: jwt.RegisteredClaims{
		Subject: subject, IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(d)),
	}}
}

// Sign makes a token of claims. It fails for a key without its private part.
func (k Key) Sign(c Claims) (string, error) {
	if k.sign == nil {
		return "", errors.New("the key has no private part to sign with")
	}
	t := jwt.NewWithClaims(jwt.GetSigningMethod(k.Algorithm), c)
	if k.ID != "" {
		t.Header["kid"] = k.ID
	}
	return t.SignedString(k.sign)
}

// GenerateKey makes a key with its private part.
func GenerateKey(algorithm, id string) (Key, error) {
	var key any
	var err error
	switch algorithm {
	case algorithmHMC:
		secret := make([]byte, minSecret)
		_, err = rand.Read(secret)
		key = secret
	case algorithmRSA:
		key, err = rsa.GenerateKey(rand.Reader, minRSA)
	case algorithmEC:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case algorithmEd:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		err = fmt.Errorf("unknown algorithm %q", clip(algorithm))
	}
	if err != nil {
		return Key{}, err
	}
	return newKey(id, key)
}

// Public is the key without its private part. It fails for a secret, which has
// no other.
func (k Key) Public() (Key, error) {
	if k.Algorithm == algorithmHMC {
		return Key{}, errors.New("an HS256 key has no public part")
	}
	k.sign = nil
	return k, nil
}

// MarshalKeys writes keys as a JWK Set (RFC 7517), with their private parts if
// they have them.
func MarshalKeys(keys []Key) (json.RawMessage, error) {
	var set jwkset.JWKSMarshal
	for _, k := range keys {
		key := k.verify
		if k.sign != nil {
			key = k.sign
		}
		j, err := jwkset.NewJWKFromKey(key, jwkset.JWKOptions{
			Marshal:  jwkset.JWKMarshalOptions{Private: k.sign != nil},
			Metadata: jwkset.JWKMetadataOptions{KID: k.ID, ALG: jwkset.ALG(k.Algorithm), USE: jwkset.UseSig},
		})
		if err != nil {
			return nil, err
		}
		set.Keys = append(set.Keys, j.Marshal())
	}
	return json.Marshal(set)
}
