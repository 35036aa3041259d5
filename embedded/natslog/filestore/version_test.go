package filestore_test

import (
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"cortex/embedded/natslog/filestore"
)

// TestGoModNamesATestedVersion fails when go.mod is changed to a nats-server whose
// file format was not tested. See the package documentation for how to raise it.
func TestGoModNamesATestedVersion(t *testing.T) {
	mod, err := os.ReadFile("../../../go.mod")
	check(t, err)
	found := regexp.MustCompile(`(?m)github\.com/nats-io/nats-server/v2 v(\S+)`).FindSubmatch(mod)
	if found == nil {
		t.Fatal("go.mod does not name nats-server")
	}
	for where, version := range map[string]string{"go.mod": string(found[1]), "the linked server": server.VERSION} {
		if err := filestore.CheckVersion(version); err != nil {
			t.Errorf("%s: %v", where, err)
		}
	}
}

func TestOpenRefusesUntestedVersion(t *testing.T) {
	for _, version := range []string{"", "2.14.9", "2.15.2-RC.1", "2.15.20", "2.16.0", "3.0.0"} {
		_, err := filestore.Open(t.TempDir(), version)
		var e *filestore.VersionError
		if !errors.As(err, &e) || e.Version != version || !strings.Contains(err.Error(), filestore.TestedVersions()[0]) {
			t.Errorf("version %q: %v", version, err)
		}
	}
}
