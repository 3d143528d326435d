// Package deploy_test holds the manifests to the types that Kubernetes publishes.
package deploy_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
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

// Every variable that the files set is a flag of the server.
func TestVariablesAreFlags(t *testing.T) {
	var source []byte
	files, err := filepath.Glob("../cmd/ysync/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		source = append(source, text...)
	}
	for _, name := range []string{"compose.yaml", "kubernetes/ysync.yaml"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range regexp.MustCompile(`YSYNC_[A-Z_]+`).FindAllString(string(text), -1) {
			field := ""
			for _, word := range strings.Split(strings.TrimPrefix(v, "YSYNC_"), "_") {
				field += word[:1] + strings.ToLower(word[1:])
			}
			if !regexp.MustCompile(`(?m)^\t` + field + ` +\S+ +` + "`").Match(source) {
				t.Errorf("%s sets %s, and the server has no flag of that name", name, v)
			}
		}
	}
}
