package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/coder/websocket"

	"ysync/internal/session"
)

// mint runs `ysync token` with a key of its own and returns the key's public
// part, as a file, and a token.
func mint(t *testing.T, args ...string) (public, token string) {
	t.Helper()
	must := func(args ...string) string {
		t.Helper()
		out, errs, code := ysync(t, args...)
		if code != 0 {
			t.Fatalf("ysync %v: %d, %s", args, code, errs)
		}
		return out
	}
	private := filepath.Join(t.TempDir(), "private.json")
	public = filepath.Join(t.TempDir(), "public.json")
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(private, must("token", "key"))
	write(public, must("token", "key", "--public", private))
	return public, strings.TrimSpace(must(append([]string{"token", "mint", "--key", private, "--subject", "ann"}, args...)...))
}

func TestServeWithTokens(t *testing.T) {
	t.Parallel() // it waits for processes most of the time
	on(t, func(t *testing.T, site *site) {
		keys, token := mint(t, "--audience", "ysync", "--tenant", "acme", "trips/*=write", "rules=read")
		_, stranger := mint(t, "--audience", "ysync", "*=admin")
		s := site.serve("--keys", keys, "--token-audience", "ysync")
		for _, c := range []struct {
			path, token string
			want        int // close code, 0 for let in
		}{
			{"/acme/trips/rome", token, 0},
			{"/acme/rules", token, 0},
			{"/acme/other", token, session.CloseForbidden},
			{"/trips/rome", token, session.CloseForbidden},
			{"/acme/trips/rome", "", session.CloseUnauthorized},
			{"/acme/trips/rome", stranger, session.CloseUnauthorized},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), bound)
			defer cancel()
			ws, _, err := websocket.Dial(ctx, "ws://"+s.addr()+c.path+"?token="+c.token, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = ws.CloseNow() }()
			if err := ws.Write(ctx, websocket.MessageBinary, []byte{0, 0, 1, 0}); err != nil {
				t.Fatal(err)
			}
			got := 0
			for {
				_, frame, err := ws.Read(ctx)
				var end websocket.CloseError
				if errors.As(err, &end) {
					got = int(end.Code)
				} else if err != nil {
					t.Fatal(err)
				}
				if err != nil || frame[0] == 0 && frame[1] == 1 {
					break
				}
			}
			if got != c.want {
				t.Errorf("%s: %d, want %d", c.path, got, c.want)
			}
		}
		_, log := s.stop(syscall.SIGTERM)
		for _, secret := range []string{token, stranger} {
			for _, part := range strings.Split(secret, ".")[1:] {
				if strings.Contains(log, part) {
					t.Error("the log shows a token")
				}
			}
		}
	})
}

func TestOperateWithTokens(t *testing.T) {
	on(t, func(t *testing.T, site *site) {
		keys, token := mint(t, "*=admin")
		other, weak := mint(t, "*=write")
		s := site.serve("--keys", keys+","+other)
		server := "http://" + s.serving["ops"].(string)
		for _, c := range []struct {
			token string
			want  int
		}{{token, 0}, {weak, exitDenied}, {"x", exitDenied}, {"", exitDenied}} {
			cmd := command(t, "doc", "list", "--server", server)
			cmd.Env = append(cmd.Env, "YSYNC_TOKEN="+c.token)
			if _, errs, code := finish(t, cmd); code != c.want {
				t.Errorf("exit code %d, want %d: %s", code, c.want, errs)
			}
		}
		answer, err := http.Get(server + "/status")
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if body, _ := io.ReadAll(answer.Body); answer.StatusCode != http.StatusOK {
			t.Errorf("/status from this machine: %s %s", answer.Status, body)
		}
	})
}

func TestAccessFlags(t *testing.T) {
	keys, _ := mint(t, "*=read")
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--listen", "0.0.0.0:0"}, "--insecure"},
		{[]string{"--ops", "0.0.0.0:0"}, "--insecure"},
		{[]string{"--keys", keys, "--insecure"}, "--insecure"},
		{[]string{"--keys", keys + "x"}, "no such file"},
		{[]string{"--keys", "http://keys.example/"}, "https"},
		{[]string{"--token-issuer", "x"}, "--keys"},
		{[]string{"--origins", "https://app.example"}, "--keys"},
		{[]string{"--keys", keys, "--origins", "app.example"}, "scheme://host"},
	} {
		_, errs, code := ysync(t, append([]string{"serve", "--data", t.TempDir()}, c.args...)...)
		if code != exitUsage || !strings.Contains(errs, c.want) {
			t.Errorf("%v: %d, %s", c.args, code, errs)
		}
	}
	s := serve(t, "--data", t.TempDir(), "--insecure", "--listen", "0.0.0.0:0")
	if _, port, _ := strings.Cut(s.addr(), "]:"); port == "" && !strings.HasPrefix(s.addr(), "0.0.0.0:") {
		t.Errorf("listening on %s", s.addr())
	}
	if code, log := s.stop(syscall.SIGTERM); code != 0 || strings.Contains(log, "panic") {
		t.Errorf("%d, %s", code, log)
	}
}
