// Package canary helps tests to find secrets where none may be: it makes secrets
// that can be recognised, and looks for them and for whatever is made of them.
package canary

import (
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"strings"
)

// Mark is in every secret that Secret makes. It stands nowhere else.
const Mark = "kanarienvogel-Zw1tsch3r"

// Secret is a secret of 48 bytes at least, another one for each name.
func Secret(name string) string { return Mark + "." + name + "." + strings.Repeat("q", 48-len(Mark)) }

// KeySet is a JWK Set with a key for HS256 of a Secret.
func KeySet(name string) string {
	k := base64.RawURLEncoding.EncodeToString([]byte(Secret(name)))
	return `{"keys":[{"kty":"oct","alg":"HS256","kid":"` + name + `","k":"` + k + `"}]}`
}

// pieceBytes is how much of a secret in a row gives it away.
const pieceBytes = 16

// Find returns what of the secrets is in a text: the Mark, as it is and as it is
// commonly written, and any piece of the secrets given, such as tokens.
func Find(text string, secrets ...string) []string {
	var found []string
	look := func(what, piece string) {
		if strings.Contains(text, piece) {
			found = append(found, what)
		}
	}
	look("the mark", Mark)
	look("the mark in hexadecimal", hex.EncodeToString([]byte(Mark)))
	look("the mark in a URL", url.QueryEscape(Mark))
	for shift := range 3 {
		// What stands before it shifts it; the first and last groups mix with that.
		padded := append(make([]byte, shift), Mark...)
		for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			code := e.EncodeToString(padded)
			look("the mark in base64", code[4:len(code)-4])
		}
	}
	for _, secret := range secrets {
		for i, part := range strings.Split(secret, ".") {
			// The first part of a token is the same for all and no secret.
			if i == 0 && strings.Count(secret, ".") == 2 {
				continue
			}
			for at := 0; at+pieceBytes <= len(part); at += pieceBytes {
				if piece := part[at : at+pieceBytes]; strings.Contains(text, piece) {
					found = append(found, "a piece of a secret: "+piece[:4]+"…")
					break
				}
			}
		}
	}
	return found
}
