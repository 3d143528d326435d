//go:build unix

package cluster

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"ysync/internal/canary"
	"ysync/internal/testredis"
)

// The password of Redis is in no error: not of a URL, and not of a Redis that refuses it.
func TestRedisPassword(t *testing.T) {
	t.Parallel()
	server := testredis.Start(t)
	right, wrong := canary.Secret("right"), canary.Secret("wrong")
	if answer, err := server.Do("CONFIG", "SET", "requirepass", right); err != nil || answer != "+OK" {
		t.Fatal(answer, err)
	}
	for url, want := range map[string]string{
		"redis://:" + right + "@" + server.Addr():           "",
		"redis://:" + wrong + "@" + server.Addr():           "WRONGPASS",
		"redis://ysync:" + wrong + "@" + server.Addr():      "WRONGPASS",
		"redis://:" + wrong + "@127.0.0.1:1":                "refused",
		"redis://:" + wrong + "%zz@" + server.Addr():        "malformed",
		"redis://:" + wrong + "@" + server.Addr() + "/none": "malformed",
		"http://:" + wrong + "@" + server.Addr():            "malformed",
	} {
		roll, err := newRedisRoll(url, func() {})
		if err == nil {
			_, err = roll.Beat(t.Context(), "boot", []byte("{}"), time.Second)
			if roll.client != nil {
				roll.client.Close()
			}
		}
		if got := fmt.Sprint(err); want == "" && err != nil || !strings.Contains(got, want) || canary.Find(got) != nil {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
