// Package config loads the settings from files, environment variables and the user id, and
// derives the paths of the state from them.
//
// It promises: it validates every value that it returns; an error names the variable, or
// the file, line and column, to correct; root ignores files that another user could have
// written; it refuses values that look like secrets and never repeats them.
package config

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"cortex/events"
)

// Paths of the system's daemon, which runs as root.
const (
	SystemStateDir = "/var/lib/cortex"
	SystemSocket   = "/run/cortex/cortexd.sock"
)

// Limits and defaults of the settings.
const (
	DefaultPoolSize         = 4
	DefaultModelConcurrency = 8
	MaxPoolSize             = 64
	DefaultIdleTimeout      = time.Minute
	MaxIdleTimeout          = 24 * time.Hour
	DefaultStoreBudget      = 4 << 30 // bytes
	maxSocketPath           = 100     // of the 107 bytes the kernel allows
)

// Settings are the effective values.
type Settings struct {
	StateDir         string        // the state directory
	Socket           string        // the daemon's socket
	Root             string        // root directory of the machine; not "/" for images and tests
	UID              int           // user of this process
	PoolSize         int           // read connections for each read model
	ModelConcurrency int           // concurrent questions to models
	IdleTimeout      time.Duration // after which an idle daemon stops; 0 for never
	LockTimeout      time.Duration // for the lock of another package manager
	StoreBudget      int64         // bytes of package files to prefetch for installed packages; 0 disables it
	NATS             NATS          // external servers of the log, and the address for readers

	systemStateDir string            // state directory of the system's daemon
	modelSettings  map[string]string // settings of models, by variable
}

// MemoryKeysDir is the directory of the keys that encrypt remembered items.
func (s Settings) MemoryKeysDir() string { return filepath.Join(s.StateDir, "memory-keys") }

// ReadModelsDir is the directory of the read models.
func (s Settings) ReadModelsDir() string { return filepath.Join(s.StateDir, "read") }

// WorkDir is the directory of the output of running steps.
func (s Settings) WorkDir() string { return filepath.Join(s.StateDir, "work") }

// LimitsDir is the directory with a note for every group of processes under limits.
func (s Settings) LimitsDir() string { return filepath.Join(s.StateDir, "limits") }

// BlobStoreDir is the directory of the blobs that an undo needs.
func (s Settings) BlobStoreDir() string { return filepath.Join(s.StateDir, "vault") }

// SpoolDir is the directory in which the hooks of apt and dpkg spool their records.
func (s Settings) SpoolDir() string { return filepath.Join(s.StateDir, "spool") }

// PackageIndexFile is the path of the package index, which is used for search.
func (s Settings) PackageIndexFile() string { return filepath.Join(s.StateDir, "catalog.db") }

// DescriptionListsDir is the directory of the Translation files that 'cortex catalog fetch'
// fetches: package lists with long descriptions.
func (s Settings) DescriptionListsDir() string { return filepath.Join(s.StateDir, "lists") }

// AuditDir is the directory of the signed tree heads of the log and of their key.
func (s Settings) AuditDir() string { return filepath.Join(s.StateDir, "audit") }

// BackupsDir is the default directory of backups.
func (s Settings) BackupsDir() string { return filepath.Join(s.StateDir, "backups") }

// LogFile is the path of the log of a detached daemon.
func (s Settings) LogFile() string { return filepath.Join(s.StateDir, "daemon.log") }

// IsSystem reports whether the state directory is the system's and not a user's own.
func (s Settings) IsSystem() bool { return s.StateDir == s.systemStateDir }

// MayChange reports whether uid may change the machine through a daemon with these
// settings: only root may, and only if the daemon runs as root.
func (s Settings) MayChange(uid int) bool { return uid == 0 && s.UID == 0 }

// SystemFile is the path of the system's configuration file.
const SystemFile = "/etc/cortex/cortex.toml"

// PolicyDir is the directory of the policy rules, relative to the root directory.
const PolicyDir = "/etc/cortex/policy.d"

// Sources are the sources of settings. Each overrides the ones before it: defaults, the
// system's file, the user's file, the environment.
type Sources struct {
	Env        func(string) string
	UID        int    // user of the process; root has no user file
	SystemFile string // path of the system's file
}

// UserFile is the path of the user's file. It is "" for root and for a user without a home.
func (src Sources) UserFile() string {
	if src.UID == 0 {
		return ""
	}
	if v := src.Env("XDG_CONFIG_HOME"); filepath.IsAbs(v) {
		return filepath.Join(v, "cortex", "cortex.toml")
	}
	if v := src.Env("HOME"); filepath.IsAbs(v) {
		return filepath.Join(v, ".config", "cortex", "cortex.toml")
	}
	return ""
}

// Files returns the paths of the files to read. Each overrides the ones before it.
func (src Sources) Files() []string {
	files := []string{src.SystemFile}
	if user := src.UserFile(); user != "" {
		files = append(files, user)
	}
	return files
}

// Origin is the source of a value.
type Origin struct {
	File   string // "" if it is not from a file
	Line   int    // in File, from 1
	Column int    // in File, from 1, in bytes
	Env    string // "" if it is not from the environment
}

// String returns FILE:LINE, the name of the variable, or "default".
func (o Origin) String() string {
	switch {
	case o.File != "":
		return o.File + ":" + strconv.Itoa(o.Line)
	case o.Env != "":
		return o.Env
	}
	return "default"
}

// Load returns the effective values. Each problem is a separate ErrUsage error that names
// the variable or the place in the file; see [ReadFile].
func Load(src Sources) (Settings, error) {
	s, _, err := LoadWithOrigins(src)
	return s, err
}

// ModelEnv returns an environment that falls back to the files' settings of models.
func (s Settings) ModelEnv(env func(string) string) func(string) string {
	return func(name string) string {
		if v := env(name); v != "" {
			return v
		}
		return s.modelSettings[name]
	}
}

// LoadWithOrigins is [Load] that also returns the origin of each setting.
func LoadWithOrigins(src Sources) (Settings, map[string]Origin, error) {
	s := Settings{Root: "/", UID: src.UID, PoolSize: DefaultPoolSize, ModelConcurrency: DefaultModelConcurrency, IdleTimeout: DefaultIdleTimeout, LockTimeout: events.DefaultLockWait, StoreBudget: DefaultStoreBudget, systemStateDir: SystemStateDir}
	origins := map[string]Origin{}
	keys := SettingSpecs()
	var errs []error
	for _, path := range src.Files() {
		entries, err := ReadFile(path, src.UID)
		if err != nil {
			errs = append(errs, err)
		}
		for _, e := range entries {
			k, err := FindSetting(e.Name)
			if err != nil {
				continue // reported by ReadFile
			}
			_ = k.set(&s, e.Value) // validated by ReadFile
			if _, known := origins[e.Name]; !known && !slices.ContainsFunc(keys, func(x SettingSpec) bool { return x.Name == e.Name }) {
				keys = append(keys, k)
			}
			origins[e.Name] = Origin{File: path, Line: e.Line, Column: e.Column}
		}
		if path == src.SystemFile && s.StateDir != "" {
			s.systemStateDir = s.StateDir
		}
	}
	for _, k := range keys {
		v := src.Env(k.EnvName())
		if v == "" {
			continue
		}
		if looksSecret(k.Name, v) {
			errs = append(errs, &events.Error{Op: "config.Load", Kind: events.ErrUsage, Subject: k.EnvName(), Err: errors.New("the value looks like a secret, and settings must not contain secrets")})
			continue
		}
		if err := k.set(&s, v); err != nil {
			errs = append(errs, &events.Error{Op: "config.Load", Kind: events.ErrUsage, Subject: k.EnvName(), Err: fmt.Errorf("invalid value %q: must be %w", v, err)})
		}
		origins[k.Name] = Origin{Env: k.EnvName()}
	}
	errs = append(errs, s.NATS.checkCombination())
	s.resolvePaths(src, origins)
	return s, origins, errors.Join(errs...)
}

// resolvePaths determines the state directory and the socket. A user other than root uses
// the system's state directory, to read and to plan, if it exists, and an own one
// otherwise.
func (s *Settings) resolvePaths(src Sources, origins map[string]Origin) {
	if s.StateDir == "" {
		s.StateDir = s.systemStateDir
	}
	isDefault := origins["state_dir"] == Origin{} || origins["state_dir"].File == src.SystemFile
	if s.UID != 0 && isDefault && !exists(s.ReadModelsDir()) {
		s.StateDir = userStateDir(src.Env)
		delete(origins, "state_dir")
	}
	if origins["socket"].File == src.SystemFile && !s.IsSystem() {
		s.Socket = "" // the system's socket belongs to the system's state directory
		delete(origins, "socket")
	}
	if s.Socket == "" {
		s.Socket = SystemSocket
		if !s.IsSystem() {
			s.Socket = filepath.Join(s.StateDir, "cortexd.sock")
		}
	}
	if len(s.Socket) > maxSocketPath {
		sum := sha256.Sum256([]byte(s.Socket))
		s.Socket = filepath.Join(os.TempDir(), fmt.Sprintf("cortex-%d", s.UID), hex.EncodeToString(sum[:8])+".sock")
	}
}

// ForUser returns the settings of the user's own daemon instead of the system's.
func (s Settings) ForUser(env func(string) string) Settings {
	s.StateDir = userStateDir(env)
	s.Socket = filepath.Join(s.StateDir, "cortexd.sock")
	return s
}

func userStateDir(env func(string) string) string {
	if v := env("XDG_STATE_HOME"); filepath.IsAbs(v) {
		return filepath.Join(v, "cortex")
	}
	if v := env("HOME"); filepath.IsAbs(v) {
		return filepath.Join(v, ".local", "state", "cortex")
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("cortex-%d", os.Geteuid()), "state")
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
