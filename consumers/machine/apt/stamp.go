package apt

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"
)

// timestampGranularity is the minimum age of a change before its timestamp distinguishes
// it from the next one: the kernel's clock for files has ticks of up to 10 ms.
const timestampGranularity = 20 * time.Millisecond

// fileStamp identifies the present content of some files: path, inode, size, mtime and
// ctime, which no program can set. "" is unknown.
type fileStamp string

// stampFiles returns the stamp of files and directories, given as paths inside the root,
// with everything below them. A missing file is part of the stamp.
func (m *Machine) stampFiles(now time.Time, paths ...string) fileStamp {
	var b strings.Builder
	newest := int64(0)
	for _, p := range paths {
		top := m.hostPath(p)
		err := filepath.WalkDir(top, func(name string, d fs.DirEntry, err error) error {
			var st syscall.Stat_t
			if err == nil {
				err = syscall.Lstat(name, &st)
			}
			if os.IsNotExist(err) {
				fmt.Fprintf(&b, "%s -\n", name)
				return nil
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, "%s %d %d %d %d\n", name, st.Ino, st.Size, st.Mtim.Nano(), st.Ctim.Nano())
			newest = max(newest, st.Ctim.Nano())
			return nil
		})
		if err != nil {
			return ""
		}
	}
	if newest > now.Add(-timestampGranularity).UnixNano() {
		return ""
	}
	return fileStamp(b.String())
}

// stateFiles are the files with the state of packages.
var stateFiles = []string{"/var/lib/dpkg/status", "/var/lib/dpkg/updates", "/var/lib/dpkg/arch", marksFile}

// memo caches a value that was read from the state files until they change.
type memo[T any] struct {
	mu    sync.Mutex
	stamp fileStamp
	value T
}

// get returns the cached value, or calls read if the state files changed. The result is
// shared and must not be modified.
func (c *memo[T]) get(m *Machine, read func() (T, error)) (T, error) {
	before := m.stampFiles(time.Now(), stateFiles...)
	c.mu.Lock()
	if before != "" && before == c.stamp {
		defer c.mu.Unlock()
		return c.value, nil
	}
	c.mu.Unlock()
	value, err := read()
	if err != nil || before == "" || m.stampFiles(time.Now(), stateFiles...) != before {
		return value, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stamp, c.value = before, value
	return value, nil
}

// redirectedPaths matches settings that make apt read other files than those that
// InputFingerprint covers.
var redirectedPaths = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?i)(^|[^a-z:])(rootdir|dir)\s*("|\{|::\s*(state|etc))`)
})

// InputFingerprint identifies everything that apt makes a plan from. While it is the same,
// apt makes the same plan for the same step. "" is unknown: a file changed just now, or
// apt's configuration points to other files.
func (m *Machine) InputFingerprint() string {
	s := m.stampFiles(time.Now(), append([]string{"/etc/apt", "/var/lib/apt/lists"}, stateFiles...)...)
	if s == "" {
		return ""
	}
	files, _ := filepath.Glob(m.hostPath("/etc/apt/apt.conf.d/*"))
	for _, f := range append(files, m.hostPath("/etc/apt/apt.conf")) {
		text, err := os.ReadFile(f)
		if err != nil && !os.IsNotExist(err) || redirectedPaths().Match(text) {
			return ""
		}
	}
	return string(s)
}
