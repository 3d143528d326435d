package deploy_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/loader"
	compose "github.com/compose-spec/compose-go/v2/types"
)

// The compose file is one by the published schema and types, with nothing that
// they do not know: three nodes that wait for what they need, with time to drain,
// behind a balancer that asks them whether they are ready.
func TestCompose(t *testing.T) {
	project, err := loader.LoadWithContext(t.Context(), compose.ConfigDetails{
		WorkingDir: ".", ConfigFiles: []compose.ConfigFile{{Filename: "compose.yaml"}}, Environment: compose.Mapping{},
	})
	if err != nil {
		t.Fatal(err)
	}
	var nodes, advertised []string
	for name, s := range project.Services {
		if s.Build == nil {
			if s.Image == "" {
				t.Errorf("%s is neither built nor had", name)
			}
			continue
		}
		nodes = append(nodes, name)
		if s.Build.Dockerfile != "deploy/Dockerfile" {
			t.Errorf("%s is built by %s", name, s.Build.Dockerfile)
		}
		// The server's own deadline is twenty seconds, and some more when the
		// database does not answer.
		if s.StopGracePeriod == nil || time.Duration(*s.StopGracePeriod) < 28*time.Second {
			t.Errorf("%s is killed while it drains", name)
		}
		for needed, how := range map[string]string{
			"postgres": compose.ServiceConditionHealthy, "redis": compose.ServiceConditionStarted, "bucket": compose.ServiceConditionCompletedSuccessfully,
		} {
			if s.DependsOn[needed].Condition != how {
				t.Errorf("%s starts when %s is %q", name, needed, s.DependsOn[needed].Condition)
			}
		}
		if at := s.Environment["YSYNC_RELAY_ADVERTISE"]; at == nil || *at != name+":8789" || !slices.Contains([]string(s.Expose), "8789") {
			t.Errorf("%s tells others that it is at %v", name, at)
		} else {
			advertised = append(advertised, *at)
		}
	}
	if len(nodes) != 3 || len(advertised) != 3 {
		t.Errorf("the nodes are %q, at %q", nodes, advertised)
	}
	balancer := project.Configs["haproxy"].Content
	for _, name := range nodes {
		if !strings.Contains(balancer, name+":8787 check port 8788") {
			t.Errorf("the balancer does not ask %s", name)
		}
	}
	if !strings.Contains(balancer, "mode tcp") || !strings.Contains(balancer, "httpchk GET /readyz") {
		t.Errorf("the balancer is %s", balancer)
	}
}
