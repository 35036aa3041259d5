package settings_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cortex/cmd/settings"
)

func env(pairs ...string) func(string) string {
	m := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return func(k string) string { return m[k] }
}

func TestRootUsesTheSystemsPlaces(t *testing.T) {
	s, err := settings.Load(env(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if s.State != settings.SystemState || s.Socket != settings.SystemSocket || !s.System() || !s.MayChange(0) || s.MayChange(1000) {
		t.Errorf("%+v", s)
	}
}

func TestOthersHaveTheirOwn(t *testing.T) {
	s, err := settings.Load(env("HOME", "/home/ada", "CORTEX_STATE_DIR", "/home/ada/x"), 1000)
	if err != nil {
		t.Fatal(err)
	}
	if s.Socket != "/home/ada/x/cortexd.sock" || s.System() || s.MayChange(0) || s.MayChange(1000) {
		t.Errorf("%+v", s)
	}
	if own := s.Own(env("HOME", "/home/ada")); own.State != "/home/ada/.local/state/cortex" {
		t.Errorf("%+v", own)
	}
}

func TestValuesAreRead(t *testing.T) {
	s, err := settings.Load(env("CORTEX_DB_POOL_SIZE", "7", "CORTEX_IDLE_TIMEOUT", "5s", "CORTEX_LOCK_TIMEOUT", "1m", "CORTEX_ROOT", "/mnt"), 0)
	if err != nil || s.PoolSize != 7 || s.IdleTimeout != 5*time.Second || s.LockWait != time.Minute || s.Root != "/mnt" {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestWrongValuesNameTheirVariable(t *testing.T) {
	for name, value := range map[string]string{
		"CORTEX_DB_POOL_SIZE": "0", "CORTEX_IDLE_TIMEOUT": "soon", "CORTEX_LOCK_TIMEOUT": "-1s",
		"CORTEX_ROOT": "mnt", "CORTEX_STATE_DIR": "here", "CORTEX_SOCKET": "/" + strings.Repeat("x", 101),
	} {
		if _, err := settings.Load(env(name, value), 0); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s=%s: %v", name, value, err)
		}
	}
}

func TestLongSocketPathsAreMadeShort(t *testing.T) {
	long := "/" + strings.Repeat("d", 120)
	s, err := settings.Load(env("CORTEX_STATE_DIR", long), 0)
	if err != nil || len(s.Socket) > 100 || !filepath.IsAbs(s.Socket) {
		t.Errorf("%q, %v", s.Socket, err)
	}
	other, err := settings.Load(env("CORTEX_STATE_DIR", long+"e"), 0)
	if err != nil || other.Socket == s.Socket {
		t.Errorf("two state directories share %q", s.Socket)
	}
}
