// Package config says where things are and how long to wait, from files, from
// the environment and from who runs us. It promises that every value it returns
// was checked, and that an error names the variable, or the line and column, to
// mend; that root takes nothing from a file that somebody else could have written;
// and that what looks like a secret is refused and not repeated.
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

// The places of the system's own daemon, which runs as root.
const (
	SystemStateDir = "/var/lib/cortex"
	SystemSocket   = "/run/cortex/cortexd.sock"
)

// Limits and defaults of what can be set.
const (
	DefaultPoolSize         = 4
	DefaultModelConcurrency = 8
	MaxPoolSize             = 64
	DefaultIdleTimeout      = time.Minute
	MaxIdleTimeout          = 24 * time.Hour
	DefaultStoreBudget      = 4 << 30 // bytes
	maxSocketPath           = 100     // of the 107 bytes the kernel allows
)

// Settings are the values in force.
type Settings struct {
	StateDir         string        // the state directory
	Socket           string        // the daemon's door
	Root             string        // the machine's root directory; "/" but for images and tests
	UID              int           // who runs us
	PoolSize         int           // read connections to each read model
	ModelConcurrency int           // questions to models at once
	IdleTimeout      time.Duration // after which an idle daemon leaves; 0 never
	LockTimeout      time.Duration // for another package manager
	StoreBudget      int64         // bytes up to which package files of what is installed are fetched; 0 fetches none
	NATS             NATS          // where the log is kept, and who may listen

	systemStateDir string            // the state directory of the machine's own daemon
	modelSettings  map[string]string // what is set about models, by variable
}

// MemoryKeysDir is where the keys of what people said lie.
func (s Settings) MemoryKeysDir() string { return filepath.Join(s.StateDir, "memory-keys") }

// ReadModelsDir is where the read models lie.
func (s Settings) ReadModelsDir() string { return filepath.Join(s.StateDir, "read") }

// WorkDir is where outputs of running steps lie.
func (s Settings) WorkDir() string { return filepath.Join(s.StateDir, "work") }

// LimitsDir holds a note of every group of processes under limits.
func (s Settings) LimitsDir() string { return filepath.Join(s.StateDir, "limits") }

// BlobStoreDir is where the contents lie that an undo needs.
func (s Settings) BlobStoreDir() string { return filepath.Join(s.StateDir, "vault") }

// SpoolDir is where the hooks of apt and dpkg write down what they see.
func (s Settings) SpoolDir() string { return filepath.Join(s.StateDir, "spool") }

// PackageIndexFile is where the index of packages lies that words are looked up in.
func (s Settings) PackageIndexFile() string { return filepath.Join(s.StateDir, "catalog.db") }

// DescriptionListsDir is where package lists lie that apt itself does not fetch: those with long
// descriptions, of 'cortex catalog fetch'.
func (s Settings) DescriptionListsDir() string { return filepath.Join(s.StateDir, "lists") }

// AuditDir is where the key lies that signs heads of the log, and the heads.
func (s Settings) AuditDir() string { return filepath.Join(s.StateDir, "audit") }

// BackupsDir is where backups lie unless they are told to lie elsewhere.
func (s Settings) BackupsDir() string { return filepath.Join(s.StateDir, "backups") }

// LogFile is where a detached daemon writes its log.
func (s Settings) LogFile() string { return filepath.Join(s.StateDir, "daemon.log") }

// IsSystem reports whether this is the machine's own state and not a person's.
func (s Settings) IsSystem() bool { return s.StateDir == s.systemStateDir }

// MayChange reports whether uid may change the machine through a daemon that has
// these settings: only root may, and only when the daemon itself is root.
func (s Settings) MayChange(uid int) bool { return uid == 0 && s.UID == 0 }

// SystemFile holds the machine's settings.
const SystemFile = "/etc/cortex/cortex.toml"

// PolicyDir holds the rules of policy, below the root.
const PolicyDir = "/etc/cortex/policy.d"

// Sources are where settings come from. Later ones win: defaults, the machine's
// file, the person's file, the environment.
type Sources struct {
	Env        func(string) string
	UID        int    // of the process; root has no file of its own
	SystemFile string // the machine's file
}

// UserFile is the file of the person's own settings, "" for root and without a home.
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

// Files lists the files that are read, the one that wins last.
func (src Sources) Files() []string {
	files := []string{src.SystemFile}
	if user := src.UserFile(); user != "" {
		files = append(files, user)
	}
	return files
}

// Origin is where a value comes from.
type Origin struct {
	File   string // "" when it is not from a file
	Line   int    // in File, from 1
	Column int    // in File, from 1, in bytes
	Env    string // "" when it is not from the environment
}

// String names the place: FILE:LINE, the variable, or "default".
func (o Origin) String() string {
	switch {
	case o.File != "":
		return o.File + ":" + strconv.Itoa(o.Line)
	case o.Env != "":
		return o.Env
	}
	return "default"
}

// Load gives the values in force. Every problem is an ErrUsage error of its own
// that names the variable, or the place in the file; see [ReadFile].
func Load(src Sources) (Settings, error) {
	s, _, err := LoadWithOrigins(src)
	return s, err
}

// ModelEnv is an environment with what files say of models for what it does not set.
func (s Settings) ModelEnv(env func(string) string) func(string) string {
	return func(name string) string {
		if v := env(name); v != "" {
			return v
		}
		return s.modelSettings[name]
	}
}

// LoadWithOrigins is [Load] that also tells, for each key that was set, where.
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
				continue // found by ReadFile
			}
			_ = k.set(&s, e.Value) // checked by ReadFile
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
			errs = append(errs, &events.Error{Op: "config.Load", Kind: events.ErrUsage, Subject: k.EnvName(), Err: errors.New("it looks like a secret, and secrets do not belong into settings")})
			continue
		}
		if err := k.set(&s, v); err != nil {
			errs = append(errs, &events.Error{Op: "config.Load", Kind: events.ErrUsage, Subject: k.EnvName(), Err: fmt.Errorf("%q is not %w", v, err)})
		}
		origins[k.Name] = Origin{Env: k.EnvName()}
	}
	errs = append(errs, s.NATS.checkCombination())
	s.resolvePaths(src, origins)
	return s, origins, errors.Join(errs...)
}

// resolvePaths finds the state directory and the socket. Somebody who is not root uses
// the system's where it is, to read and to plan, and otherwise one of their own.
func (s *Settings) resolvePaths(src Sources, origins map[string]Origin) {
	if s.StateDir == "" {
		s.StateDir = s.systemStateDir
	}
	ours := origins["state_dir"] == Origin{} || origins["state_dir"].File == src.SystemFile
	if s.UID != 0 && ours && !exists(s.ReadModelsDir()) {
		s.StateDir = userStateDir(src.Env)
		delete(origins, "state_dir")
	}
	if origins["socket"].File == src.SystemFile && !s.IsSystem() {
		s.Socket = "" // the machine's socket is that of the machine's state
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

// ForUser gives the settings of somebody's own daemon instead of the system's.
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
