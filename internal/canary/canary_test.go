package canary

import (
	"encoding/base64"
	"encoding/hex"
	"testing"
)

// A bird that is there is found, however it is written.
func TestFind(t *testing.T) {
	secret := Secret("x")
	for name, text := range map[string]string{
		"as it is": "error: " + secret,
		"cut off":  secret[:len(Mark)],
		"hex":      hex.EncodeToString([]byte(secret)),
		"base64":   base64.StdEncoding.EncodeToString([]byte(secret)),
		"base64 1": base64.StdEncoding.EncodeToString([]byte("a" + secret)),
		"base64 2": base64.RawURLEncoding.EncodeToString([]byte("ab" + secret)),
		"keys":     KeySet("k"),
	} {
		if len(Find("before "+text+" after")) == 0 {
			t.Errorf("%s is not found", name)
		}
	}
	token := "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4iLCJleHAiOjE3fQ.c2lnbmF0dXJlc2lnbmF0dXJlc2lnbmF0dXJl"
	for _, leak := range []string{"?token=" + token, "x eyJzdWIiOiJhbm4iLCJleHA y", "c2lnbmF0dXJlc2ln"} {
		if len(Find(leak, token)) == 0 {
			t.Errorf("%s is not found", leak)
		}
	}
	if found := Find("a line without, header eyJhbGciOiJIUzI1NiJ9", token); found != nil {
		t.Error(found)
	}
}
