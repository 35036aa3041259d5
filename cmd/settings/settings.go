// Package settings says where things are and how long to wait, from files, from
// the environment and from who runs us. It promises that every value it returns
// was checked, and that an error names the variable, or the line and column, to
// mend; that root takes nothing from a file that somebody else could have written;
// and that what looks like a secret is refused and not repeated.
package settings

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
	SystemState  = "/var/lib/cortex"
	SystemSocket = "/run/cortex/cortexd.sock"
)

// Limits and defaults of what can be set.
const (
	DefaultPoolSize    = 4
	DefaultThreads     = 8
	MaxPoolSize        = 64
	DefaultIdleTimeout = time.Minute
	MaxIdleTimeout     = 24 * time.Hour
	DefaultStoreBudget = 4 << 30 // bytes
	maxSocketPath      = 100     // of the 107 bytes the kernel allows
)

// Settings are the values in force.
type Settings struct {
	State       string        // the state directory
	Socket      string        // the daemon's door
	Root        string        // the machine's root directory; "/" but for images and tests
	UID         int           // who runs us
	PoolSize    int           // read connections to each read model
	Threads     int           // questions to models at once
	IdleTimeout time.Duration // after which an idle daemon leaves; 0 never
	LockWait    time.Duration // for another package manager
	StoreBudget int64         // bytes up to which package files of what is installed are fetched; 0 fetches none
	NATS        NATS          // where the log is kept, and who may listen

	system string            // the state directory of the machine's own daemon
	models map[string]string // what is set about models, by variable
}

// MemoryKeys is where the keys of what people said lie.
func (s Settings) MemoryKeys() string { return filepath.Join(s.State, "memory-keys") }

// Reads is where the read models lie.
func (s Settings) Reads() string { return filepath.Join(s.State, "read") }

// Work is where outputs of running steps lie.
func (s Settings) Work() string { return filepath.Join(s.State, "work") }

// Vault is where the contents lie that an undo needs.
func (s Settings) Vault() string { return filepath.Join(s.State, "vault") }

// Spool is where the hooks of apt and dpkg write down what they see.
func (s Settings) Spool() string { return filepath.Join(s.State, "spool") }

// Catalog is where the index of packages lies that words are looked up in.
func (s Settings) Catalog() string { return filepath.Join(s.State, "catalog.db") }

// Lists is where package lists lie that apt itself does not fetch: those with long
// descriptions, of 'cortex catalog fetch'.
func (s Settings) Lists() string { return filepath.Join(s.State, "lists") }

// Audit is where the key lies that signs heads of the log, and the heads.
func (s Settings) Audit() string { return filepath.Join(s.State, "audit") }

// Backups is where backups lie unless they are told to lie elsewhere.
func (s Settings) Backups() string { return filepath.Join(s.State, "backups") }

// LogFile is where a detached daemon writes its log.
func (s Settings) LogFile() string { return filepath.Join(s.State, "daemon.log") }

// System reports whether this is the machine's own state and not a person's.
func (s Settings) System() bool { return s.State == s.system }

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
	Env    func(string) string
	UID    int    // of the process; root has no file of its own
	System string // the machine's file
}

// User is the file of the person's own settings, "" for root and without a home.
func (src Sources) User() string {
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
	files := []string{src.System}
	if user := src.User(); user != "" {
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
	s, _, err := Trace(src)
	return s, err
}

// Env is an environment with what files say of models for what it does not set.
func (s Settings) Env(env func(string) string) func(string) string {
	return func(name string) string {
		if v := env(name); v != "" {
			return v
		}
		return s.models[name]
	}
}

// Trace is [Load] that also tells, for each key that was set, where.
func Trace(src Sources) (Settings, map[string]Origin, error) {
	s := Settings{Root: "/", UID: src.UID, PoolSize: DefaultPoolSize, Threads: DefaultThreads, IdleTimeout: DefaultIdleTimeout, LockWait: events.DefaultLockWait, StoreBudget: DefaultStoreBudget, system: SystemState}
	origins := map[string]Origin{}
	keys := Keys()
	var errs []error
	for _, path := range src.Files() {
		entries, err := ReadFile(path, src.UID)
		if err != nil {
			errs = append(errs, err)
		}
		for _, e := range entries {
			k, err := Find(e.Name)
			if err != nil {
				continue // found by ReadFile
			}
			_ = k.set(&s, e.Value) // checked by ReadFile
			if _, known := origins[e.Name]; !known && !slices.ContainsFunc(keys, func(x Key) bool { return x.Name == e.Name }) {
				keys = append(keys, k)
			}
			origins[e.Name] = Origin{File: path, Line: e.Line, Column: e.Column}
		}
		if path == src.System && s.State != "" {
			s.system = s.State
		}
	}
	for _, k := range keys {
		v := src.Env(k.Env())
		if v == "" {
			continue
		}
		if secret(k.Name, v) {
			errs = append(errs, &events.Error{Op: "settings.Load", Kind: events.ErrUsage, Subject: k.Env(), Err: errors.New("it looks like a secret, and secrets do not belong into settings")})
			continue
		}
		if err := k.set(&s, v); err != nil {
			errs = append(errs, &events.Error{Op: "settings.Load", Kind: events.ErrUsage, Subject: k.Env(), Err: fmt.Errorf("%q is not %w", v, err)})
		}
		origins[k.Name] = Origin{Env: k.Env()}
	}
	s.place(src, origins)
	return s, origins, errors.Join(errs...)
}

// place finds the state directory and the socket. Somebody who is not root uses
// the system's where it is, to read and to plan, and otherwise one of their own.
func (s *Settings) place(src Sources, origins map[string]Origin) {
	if s.State == "" {
		s.State = s.system
	}
	ours := origins["state_dir"] == Origin{} || origins["state_dir"].File == src.System
	if s.UID != 0 && ours && !exists(s.Reads()) {
		s.State = userState(src.Env)
		delete(origins, "state_dir")
	}
	if origins["socket"].File == src.System && !s.System() {
		s.Socket = "" // the machine's socket is that of the machine's state
		delete(origins, "socket")
	}
	if s.Socket == "" {
		s.Socket = SystemSocket
		if !s.System() {
			s.Socket = filepath.Join(s.State, "cortexd.sock")
		}
	}
	if len(s.Socket) > maxSocketPath {
		sum := sha256.Sum256([]byte(s.Socket))
		s.Socket = filepath.Join(os.TempDir(), fmt.Sprintf("cortex-%d", s.UID), hex.EncodeToString(sum[:8])+".sock")
	}
}

// Own gives the settings of somebody's own daemon instead of the system's.
func (s Settings) Own(env func(string) string) Settings {
	s.State = userState(env)
	s.Socket = filepath.Join(s.State, "cortexd.sock")
	return s
}

func userState(env func(string) string) string {
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
