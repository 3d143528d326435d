// Package deploy_test holds the manifests to the types that Kubernetes publishes.
package deploy_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	strict "sigs.k8s.io/yaml"
)

// types are the kinds that the manifests use.
var types = map[string]func() any{
	"v1/Service":                    func() any { return new(core.Service) },
	"policy/v1/PodDisruptionBudget": func() any { return new(policy.PodDisruptionBudget) },
	"apps/v1/StatefulSet":           func() any { return new(apps.StatefulSet) },
}

// Every manifest decodes strictly, and the drain fits into the time that a pod
// is given.
func TestManifests(t *testing.T) {
	files, err := filepath.Glob("kubernetes/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	seen := map[string]int{}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		reader := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
		for {
			document, err := reader.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			var what meta.TypeMeta
			if err := strict.Unmarshal(document, &what); err != nil {
				t.Fatal(err)
			}
			kind := what.APIVersion + "/" + what.Kind
			make, known := types[kind]
			if !known {
				t.Errorf("%s: %s is not a kind that is checked", name, kind)
				continue
			}
			object := make()
			if err := strict.UnmarshalStrict(document, object); err != nil {
				t.Errorf("%s: %s: %v", name, kind, err)
			}
			seen[kind]++
			if set, ok := object.(*apps.StatefulSet); ok {
				checkSet(t, set)
			}
		}
	}
	for kind := range types {
		if seen[kind] == 0 {
			t.Errorf("there is no %s", kind)
		}
	}
}

func checkSet(t *testing.T, set *apps.StatefulSet) {
	pod := set.Spec.Template
	for key, value := range set.Spec.Selector.MatchLabels {
		if pod.Labels[key] != value {
			t.Errorf("the selector %s=%s does not select the pods", key, value)
		}
	}
	mounts := map[string]bool{}
	for _, v := range pod.Spec.Volumes {
		mounts[v.Name] = true
	}
	for _, c := range pod.Spec.Containers {
		ports := map[string]bool{}
		for _, p := range c.Ports {
			ports[p.Name] = true
		}
		for _, probe := range []*core.Probe{c.StartupProbe, c.ReadinessProbe, c.LivenessProbe} {
			if probe == nil || !ports[probe.HTTPGet.Port.StrVal] {
				t.Error("a probe is missing, or asks a port that is not there")
			}
		}
		for _, m := range c.VolumeMounts {
			if !mounts[m.Name] {
				t.Errorf("there is no volume %s", m.Name)
			}
		}
		if c.Lifecycle == nil || c.Lifecycle.PreStop == nil || c.Lifecycle.PreStop.Sleep == nil {
			t.Fatal("no time before SIGTERM")
		}
		if needs := c.Lifecycle.PreStop.Sleep.Seconds + 30; *pod.Spec.TerminationGracePeriodSeconds < needs {
			t.Errorf("a pod is killed after %d s, its drain may take %d s", *pod.Spec.TerminationGracePeriodSeconds, needs)
		}
		if !strings.Contains(strings.Join(c.Args, " "), "--shutdown-timeout 30s") {
			t.Error("the time of the shutdown is not the one that the grace period is made for")
		}
	}
}

// server is what the program's own help says: its flags, and the variables that
// set them.
type server struct{ flags, variables map[string]bool }

func helpOf(t *testing.T) server {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "ysync")
	build := exec.Command("go", "build", "-o", binary, "./cmd/ysync")
	build.Dir = ".."
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	help, err := exec.Command(binary, "serve", "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	s := server{flags: map[string]bool{}, variables: map[string]bool{}}
	for _, m := range regexp.MustCompile(`(?m)^ +(?:-[a-z], )?(--[a-z-]+)`).FindAllStringSubmatch(string(help), -1) {
		s.flags[m[1]] = true
	}
	for _, name := range regexp.MustCompile(`\$(YSYNC_[A-Z_]+)`).FindAllStringSubmatch(string(help), -1) {
		s.variables[name[1]] = true
	}
	if len(s.flags) < 40 || len(s.variables) < 40 {
		t.Fatalf("%d flags and %d variables in the help", len(s.flags), len(s.variables))
	}
	return s
}

// serves checks the arguments of a server.
func (s server) serves(t *testing.T, where string, arguments []string) {
	t.Helper()
	if len(arguments) == 0 || arguments[0] != "serve" {
		t.Errorf("%s: %q does not serve", where, arguments)
		return
	}
	for _, a := range arguments[1:] {
		name, _, _ := strings.Cut(a, "=")
		if strings.HasPrefix(a, "-") && !s.flags[name] {
			t.Errorf("%s: %s is no flag of the server", where, name)
		}
	}
}

// Every argument and variable that the files give the server is one of its own.
func TestArgumentsAndVariablesAreTheServers(t *testing.T) {
	s := helpOf(t)
	texts := map[string]string{}
	for _, name := range []string{"Dockerfile", "compose.yaml", "kubernetes/ysync.yaml"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		texts[name] = string(text)
		for _, v := range regexp.MustCompile(`YSYNC_[A-Z_]+`).FindAllString(string(text), -1) {
			if !s.variables[v] {
				t.Errorf("%s: %s is no variable of the server", name, v)
			}
		}
	}
	for name, pattern := range map[string]string{"Dockerfile": `(?m)^CMD (\[.*\])$`, "kubernetes/ysync.yaml": `(?m)^ +args: (\[.*\])$`} {
		found := regexp.MustCompile(pattern).FindAllStringSubmatch(texts[name], -1)
		if len(found) != 1 {
			t.Errorf("%s: %d lists of arguments", name, len(found))
			continue
		}
		var arguments []string
		if err := strict.Unmarshal([]byte(found[0][1]), &arguments); err != nil {
			t.Fatal(err)
		}
		s.serves(t, name, arguments)
	}
	var compose struct {
		Services map[string]struct {
			Image   string
			Command []string
		}
	}
	if err := strict.Unmarshal([]byte(texts["compose.yaml"]), &compose); err != nil {
		t.Fatal(err)
	}
	nodes := 0
	for name, service := range compose.Services {
		if service.Image != "" { // not ours
			continue
		}
		nodes++
		if len(service.Command) > 0 {
			s.serves(t, name, service.Command)
		}
	}
	if nodes != 3 {
		t.Errorf("compose.yaml has %d nodes", nodes)
	}
}
