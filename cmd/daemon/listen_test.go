package daemon

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"cortex/cmd/config"
	"cortex/events"
)

func TestListenKeepsSocketInUse(t *testing.T) {
	s := config.Settings{Socket: filepath.Join(t.TempDir(), "d.sock"), StateDir: t.TempDir()}
	l, err := net.Listen("unix", s.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if l, err := listen(s); err == nil || events.KindOf(err) != events.ErrUsage {
		t.Errorf("%v, %v", l, err)
	}
	if _, err := os.Lstat(s.Socket); err != nil {
		t.Error(err)
	}
}
