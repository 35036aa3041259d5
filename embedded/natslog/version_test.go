package natslog_test

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cortex/embedded/natslog"
	"cortex/embedded/natslog/filestore"
	"cortex/events"
	"cortex/events/logtest"
)

// A build with an untested nats-server must not touch a store, for the server might
// change files that it cannot check first.
func TestOpenRefusesUntestedServerVersion(t *testing.T) {
	dir := t.TempDir()
	b := open(t, natslog.Config{Dir: dir, Create: true})
	fill(t, b.Log(), 3)
	closeBroker(t, b)
	before := tree(t, dir)
	for name, cfg := range map[string]natslog.Config{
		"existing store": {Dir: dir},
		"new store":      {Dir: filepath.Join(t.TempDir(), "new"), Create: true},
	} {
		_, err := natslog.Open(t.Context(), natslog.WithServerVersion(cfg, "2.99.0"))
		var version *filestore.VersionError
		if !errors.As(err, &version) || events.KindOf(err) != events.ErrInternal || events.HintOf(err) == "" || !strings.Contains(err.Error(), "nats-server 2.99.0") {
			t.Errorf("%s: %v, hint %q", name, err, events.HintOf(err))
		}
		if _, err := os.Stat(filepath.Join(cfg.Dir, "log")); name == "new store" && err == nil {
			t.Error("a store was created")
		}
	}
	if after := tree(t, dir); !maps.Equal(before, after) {
		t.Error("the refusal changed the directory")
	}
	logtest.VerifyAll(t, open(t, natslog.Config{Dir: dir}).Log())
}
