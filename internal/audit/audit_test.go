package audit

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ysync/internal/auth"
)

// A file that was moved away is followed by another; both have whole lines.
func TestRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit")
	l, err := Open(path, "a", func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	l.Opened("d", auth.Grant{Subject: "ann", Scope: auth.Read, Token: "7"}, "192.0.2.1:5", 3)
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	l.Write(Event{Event: "erased"}) // it still goes to the file that was moved
	if err := l.tidy(); err != nil {
		t.Fatal(err)
	}
	l.Write(Event{Event: "rights", Detail: map[string]string{"scope": "none"}})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{path + ".1": "opened erased", path: "rights"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for line := range strings.Lines(string(text)) {
			var e Event
			if err := json.Unmarshal([]byte(line), &e); err != nil || e.Node != "a" || e.Time.IsZero() {
				t.Errorf("%s: %v", line, err)
			}
			got = append(got, e.Event)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", filepath.Base(name), got, want)
		}
	}
	var none *Log
	none.Write(Event{})
	none.Opened("d", auth.Grant{}, "", 1)
	if err := none.Close(); err != nil {
		t.Error(err)
	}
}

// A flood of refusals has a few lines, which tell how many have none; what the others
// do is written all the same.
func TestRefusalsAreSampled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit")
	l, err := Open(path, "a", func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1e9, 0)
	l.now = func() time.Time { return now }
	for range 10_000 {
		l.Refused("d", "192.0.2.1:5", 1, 4401, "permission denied")
	}
	l.Opened("d", auth.Grant{Subject: "ann"}, "192.0.2.2:5", 2)
	now = now.Add(time.Second)
	l.Refused("e", "192.0.2.1:5", 3, 4403, "permission denied")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(lines) < 50 || len(lines) > 150 || !strings.Contains(lines[len(lines)-2], `"opened"`) {
		t.Fatalf("%d lines; %s", len(lines), lines[len(lines)-2])
	}
	var last struct{ Detail Refusal }
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil {
		t.Fatal(err)
	}
	if want := 10_000 - (len(lines) - 2); last.Detail.Omitted != want || last.Detail.Code != 4403 {
		t.Errorf("%+v, want %d omitted", last.Detail, want)
	}
	var none *Log
	none.Refused("d", "", 0, 0, "")
}
