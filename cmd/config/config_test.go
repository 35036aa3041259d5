package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cortex/cmd/config"
)

// load reads the environment only.
func load(env func(string) string, uid int) (config.Settings, error) {
	return config.Load(config.Sources{Env: env, UID: uid, SystemFile: "/nonexistent/cortex.toml"})
}

func env(pairs ...string) func(string) string {
	m := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return func(k string) string { return m[k] }
}

func TestLoadAsRootUsesSystemPaths(t *testing.T) {
	s, err := load(env(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if s.StateDir != config.SystemStateDir || s.Socket != config.SystemSocket || !s.IsSystem() || !s.MayChange(0) || s.MayChange(1000) {
		t.Errorf("%+v", s)
	}
}

func TestLoadAsUserUsesOwnPaths(t *testing.T) {
	s, err := load(env("HOME", "/home/ada", "CORTEX_STATE_DIR", "/home/ada/x"), 1000)
	if err != nil {
		t.Fatal(err)
	}
	if s.Socket != "/home/ada/x/cortexd.sock" || s.IsSystem() || s.MayChange(0) || s.MayChange(1000) {
		t.Errorf("%+v", s)
	}
	if own := s.ForUser(env("HOME", "/home/ada")); own.StateDir != "/home/ada/.local/state/cortex" {
		t.Errorf("%+v", own)
	}
}

func TestLoadReadsEnvironment(t *testing.T) {
	s, err := load(env("CORTEX_DB_POOL_SIZE", "7", "CORTEX_IDLE_TIMEOUT", "5s", "CORTEX_LOCK_TIMEOUT", "1m", "CORTEX_ROOT", "/mnt"), 0)
	if err != nil || s.PoolSize != 7 || s.IdleTimeout != 5*time.Second || s.LockTimeout != time.Minute || s.Root != "/mnt" {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestLoadErrorNamesVariable(t *testing.T) {
	for name, value := range map[string]string{
		"CORTEX_DB_POOL_SIZE": "0", "CORTEX_IDLE_TIMEOUT": "soon", "CORTEX_LOCK_TIMEOUT": "-1s",
		"CORTEX_ROOT": "mnt", "CORTEX_STATE_DIR": "here", "CORTEX_SOCKET": "/" + strings.Repeat("x", 101),
	} {
		if _, err := load(env(name, value), 0); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s=%s: %v", name, value, err)
		}
	}
}

func TestLoadShortensLongSocketPath(t *testing.T) {
	long := "/" + strings.Repeat("d", 120)
	s, err := load(env("CORTEX_STATE_DIR", long), 0)
	if err != nil || len(s.Socket) > 100 || !filepath.IsAbs(s.Socket) {
		t.Errorf("%q, %v", s.Socket, err)
	}
	other, err := load(env("CORTEX_STATE_DIR", long+"e"), 0)
	if err != nil || other.Socket == s.Socket {
		t.Errorf("two state directories share %q", s.Socket)
	}
}

// file writes a configuration file into a new directory.
func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cortex", "cortex.toml")
	if err := config.WriteFile(path, []byte(text)); err != nil {
		t.Fatal(err)
	}
	return path
}

// needsRoot skips the test for other users: root reads only files that root owns.
func needsRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
}

func TestLoadLaterSourcesOverride(t *testing.T) {
	needsRoot(t)
	system := file(t, "db_pool_size = 2\nidle_timeout = \"2s\"\nlock_timeout = \"2s\"\n")
	own := file(t, "# mine\nidle_timeout = \"3s\"\nlock_timeout = \"3s\"\n")
	src := config.Sources{
		Env:        env("XDG_CONFIG_HOME", filepath.Dir(filepath.Dir(own)), "CORTEX_LOCK_TIMEOUT", "4s", "HOME", "/home/ada"),
		UID:        1000,
		SystemFile: system,
	}
	s, origins, err := config.LoadWithOrigins(src)
	if err != nil || s.PoolSize != 2 || s.IdleTimeout != 3*time.Second || s.LockTimeout != 4*time.Second {
		t.Fatalf("%+v, %v", s, err)
	}
	want := map[string]string{"db_pool_size": system + ":1", "idle_timeout": own + ":2", "lock_timeout": "CORTEX_LOCK_TIMEOUT", "root": "default"}
	for k, o := range want {
		if got := origins[k].String(); got != o {
			t.Errorf("%s is from %s, want %s", k, got, o)
		}
	}
	src.UID = 0
	if s, err := config.Load(src); err != nil || s.IdleTimeout != 2*time.Second {
		t.Errorf("root reads a user's file: %+v, %v", s, err)
	}
}

func TestLoadSystemFileSetsSystemState(t *testing.T) {
	needsRoot(t)
	state := t.TempDir()
	system := file(t, "state_dir = \""+state+"\"\nsocket = \"/run/other.sock\"\n")
	s, err := config.Load(config.Sources{Env: env(), SystemFile: system})
	if err != nil || !s.IsSystem() || s.StateDir != state || s.Socket != "/run/other.sock" {
		t.Errorf("%+v, %v", s, err)
	}
	user := config.Sources{Env: env("HOME", "/home/ada"), UID: 1000, SystemFile: system}
	s, err = config.Load(user)
	if err != nil || s.IsSystem() || s.StateDir != "/home/ada/.local/state/cortex" || s.Socket != s.StateDir+"/cortexd.sock" {
		t.Errorf("without read models a user has an own state directory: %+v, %v", s, err)
	}
	if err := os.Mkdir(filepath.Join(state, "read"), 0o755); err != nil {
		t.Fatal(err)
	}
	if s, err = config.Load(user); err != nil || !s.IsSystem() || s.Socket != "/run/other.sock" {
		t.Errorf("with read models a user reads the system's: %+v, %v", s, err)
	}
}

func TestSetAndUnsetEverySetting(t *testing.T) {
	needsRoot(t)
	for _, k := range config.SettingSpecs() {
		s, err := load(env(), 0)
		if err != nil {
			t.Fatal(err)
		}
		text, err := config.Set("f", []byte("# kept"), k.Name, k.Value(s))
		if err != nil {
			t.Errorf("%s: the default is refused: %v", k.Name, err)
			continue
		}
		again, err := config.Load(config.Sources{Env: env(), SystemFile: file(t, string(text))})
		if err != nil || k.Value(again) != k.Value(s) {
			t.Errorf("%s: %q, %v", k.Name, text, err)
		}
		back, was, err := config.Unset("f", text, k.Name)
		if left := strings.TrimSuffix(strings.TrimSuffix(string(back), "[llm]\n"), "[nats]\n"); err != nil || !was || left != "# kept\n" {
			t.Errorf("%s: %q, %v", k.Name, back, err)
		}
	}
}

func TestLoadReadsModelProviders(t *testing.T) {
	needsRoot(t)
	system := file(t, "[llm]\nproviders = \"near\"\nbudget_day = \"2.5\"\n[llm.near]\nurl = \"http://127.0.0.1:1\"\nmodel = \"m\"\nrpm = 7\n")
	e := env("CORTEX_LLM_NEAR_MODEL", "other")
	s, err := config.Load(config.Sources{Env: e, SystemFile: system})
	if err != nil {
		t.Fatal(err)
	}
	m, err := s.LoadModelSettings(e)
	if err != nil || len(m.Providers) != 1 || m.BudgetPerDay != "2.5" {
		t.Fatalf("%+v, %v", m, err)
	}
	if p := m.Providers[0]; p.URL != "http://127.0.0.1:1" || p.RPM != 7 || p.Model != "other" {
		t.Errorf("%+v", p)
	}
	_, origins, err := config.LoadWithOrigins(config.Sources{Env: e, SystemFile: system})
	if err != nil || origins["llm.near.rpm"].String() != system+":7" || origins["llm.near.model"].String() != "CORTEX_LLM_NEAR_MODEL" {
		t.Errorf("%v, %v", origins, err)
	}
}
