package deploy_test

import (
	"bufio"
	"debug/elf"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// step finds the only line of the Dockerfile that matches, and what it says.
func step(t *testing.T, text, pattern string) []string {
	t.Helper()
	found := regexp.MustCompile(`(?m)^`+pattern+`$`).FindAllStringSubmatch(text, -1)
	if len(found) != 1 {
		t.Fatalf("%d lines of the Dockerfile are %s", len(found), pattern)
	}
	return found[0]
}

// The Dockerfile's own commands, run here: its build makes a static binary, which
// started as the image starts it serves, and ends when it is told to. What is
// copied is what the build makes, and the server is no root.
func TestImage(t *testing.T) {
	read := func(name string) string {
		t.Helper()
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	file := read("Dockerfile")
	if image, language := step(t, file, `FROM golang:([0-9.]+) AS build`)[1], regexp.MustCompile(`(?m)^go ([0-9]+\.[0-9]+)`).FindStringSubmatch(read("../go.mod"))[1]; image != language {
		t.Errorf("the image builds with Go %s, go.mod wants %s", image, language)
	}
	run := step(t, file, `RUN (CGO_ENABLED=0 go build .*-o (/\S+) \./cmd/ysync.*)`)
	binary := run[2]
	if step(t, file, `COPY --from=build (\S+) (\S+)`)[1] != binary {
		t.Errorf("what is copied is not %s", binary)
	}
	owned := step(t, file, `COPY --from=build --chown=(\S+):\S+ /data (/\S+)`)
	if user := step(t, file, `USER (\S+)`)[1]; user != owned[1] || user == "root" || !strings.Contains(file, ":"+user+"\n") {
		t.Errorf("the server runs as %s, its folder is of %s", user, owned[1])
	}
	if volume := step(t, file, `VOLUME (\S+)`)[1]; volume != owned[2] {
		t.Errorf("the volume is %s", volume)
	}
	var command, arguments []string
	if err := json.Unmarshal([]byte(step(t, file, `ENTRYPOINT (.*)`)[1]), &command); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(step(t, file, `CMD (.*)`)[1]), &arguments); err != nil {
		t.Fatal(err)
	}
	if command[0] != step(t, file, `COPY --from=build /ysync (\S+)`)[1] {
		t.Errorf("%s is not in the image", command[0])
	}

	root := t.TempDir()
	here := func(text string) string {
		return strings.ReplaceAll(strings.ReplaceAll(text, binary, filepath.Join(root, "ysync")), "/data", filepath.Join(root, "data"))
	}
	build := exec.CommandContext(t.Context(), "sh", "-ec", strings.ReplaceAll(here(run[1]), "./cmd"+filepath.Join(root, "ysync"), "./cmd/ysync"))
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	program, err := elf.Open(filepath.Join(root, "ysync"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range program.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("the binary needs a loader, which the image lacks")
		}
	}
	if err := program.Close(); err != nil {
		t.Fatal(err)
	}

	for i := range arguments {
		arguments[i] = here(arguments[i])
	}
	server := exec.CommandContext(t.Context(), here(command[0]), append(command[1:], arguments...)...)
	server.Env = []string{"YSYNC_LISTEN=127.0.0.1:0", "YSYNC_OPS=127.0.0.1:0"} // an image has no more
	out, err := server.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	var serving struct{ Msg, Ops, Data string }
	lines := bufio.NewScanner(out)
	for serving.Msg != "serving" && lines.Scan() {
		if err := json.Unmarshal(lines.Bytes(), &serving); err != nil {
			t.Fatalf("%s: %v", lines.Text(), err)
		}
	}
	if serving.Data != filepath.Join(root, "data") {
		t.Errorf("it serves %q", serving.Data)
	}
	answer, err := http.Get(fmt.Sprintf("http://%s/readyz", serving.Ops))
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Errorf("not ready: %+v, %v", answer, err)
	} else if err := answer.Body.Close(); err != nil {
		t.Error(err)
	}
	if err := server.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() { // to its end
	}
	if err := server.Wait(); err != nil {
		t.Error(err)
	}
}
