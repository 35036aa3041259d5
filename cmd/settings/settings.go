// Package settings says where things are and how long to wait, from the
// environment and from who runs us. It promises that every value it returns was
// checked, and that an error names the variable to mend.
package settings

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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
	IdleTimeout time.Duration // after which an idle daemon leaves; 0 never
	LockWait    time.Duration // for another package manager
	StoreBudget int64         // bytes up to which package files of what is installed are fetched; 0 fetches none
}

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
func (s Settings) System() bool { return s.State == SystemState }

// MayChange reports whether uid may change the machine through a daemon that has
// these settings: only root may, and only when the daemon itself is root.
func (s Settings) MayChange(uid int) bool { return uid == 0 && s.UID == 0 }

// Load reads the environment of the process with this uid.
func Load(env func(string) string, uid int) (Settings, error) {
	s := Settings{Root: "/", UID: uid, PoolSize: DefaultPoolSize, IdleTimeout: DefaultIdleTimeout, LockWait: events.DefaultLockWait, StoreBudget: DefaultStoreBudget}
	var errs []error
	fail := func(name, value, want string) {
		errs = append(errs, &events.Error{Op: "settings.Load", Kind: events.ErrUsage, Subject: name, Err: fmt.Errorf("%q is not %s", value, want)})
	}
	if v := env("CORTEX_ROOT"); v != "" {
		if s.Root = filepath.Clean(v); !filepath.IsAbs(v) {
			fail("CORTEX_ROOT", v, "an absolute path")
		}
	}
	if v := env("CORTEX_STATE_DIR"); v != "" && !filepath.IsAbs(v) {
		fail("CORTEX_STATE_DIR", v, "an absolute path")
	}
	if v := env("CORTEX_SOCKET"); v != "" && (!filepath.IsAbs(v) || len(v) > maxSocketPath) {
		fail("CORTEX_SOCKET", v, fmt.Sprintf("an absolute path of at most %d bytes", maxSocketPath))
	}
	if v := env("CORTEX_DB_POOL_SIZE"); v != "" {
		n, err := strconv.Atoi(v)
		if s.PoolSize = n; err != nil || n < 1 || n > MaxPoolSize {
			fail("CORTEX_DB_POOL_SIZE", v, fmt.Sprintf("a number from 1 to %d", MaxPoolSize))
		}
	}
	if v := env("CORTEX_STORE_BUDGET"); v != "" {
		n, err := strconv.ParseInt(v, 10, 64)
		if s.StoreBudget = n; err != nil || n < 0 {
			fail("CORTEX_STORE_BUDGET", v, "a number of bytes, 0 or more")
		}
	}
	duration := func(name string, into *time.Duration, most time.Duration) {
		v := env(name)
		if v == "" {
			return
		}
		d, err := time.ParseDuration(v)
		if *into = d; err != nil || d < 0 || d > most {
			fail(name, v, fmt.Sprintf("a duration from 0s to %s, such as 90s", most))
		}
	}
	duration("CORTEX_IDLE_TIMEOUT", &s.IdleTimeout, MaxIdleTimeout)
	duration("CORTEX_LOCK_TIMEOUT", &s.LockWait, events.MaxLockWait)
	s.place(env)
	return s, errors.Join(errs...)
}

// place finds the state directory and the socket. Somebody who is not root uses
// the system's where it is, to read and to plan, and otherwise one of their own.
func (s *Settings) place(env func(string) string) {
	s.State, s.Socket = env("CORTEX_STATE_DIR"), env("CORTEX_SOCKET")
	if s.State == "" {
		s.State = SystemState
		if s.UID != 0 && !exists(filepath.Join(SystemState, "read")) {
			s.State = userState(env)
		}
	}
	s.State = filepath.Clean(s.State)
	if s.Socket == "" {
		s.Socket = SystemSocket
		if s.State != SystemState {
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
