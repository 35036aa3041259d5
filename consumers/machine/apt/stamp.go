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

// timestampGranularity is how old the last change of a file must be before its times tell it from
// the next one: the kernel counts time in ticks of up to 10 ms, and two changes within
// one have the same.
const timestampGranularity = 20 * time.Millisecond

// fileStamp tells the content of some files from any other they had or will have: path,
// inode, size, and the times of their last changes, of which nobody can set the last.
// "" tells nothing.
type fileStamp string

// stampFiles looks at files and directories, with everything below them, as seen inside
// the root. What is not there is part of it.
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

// stateFiles are the files that hold the state of packages.
var stateFiles = []string{"/var/lib/dpkg/status", "/var/lib/dpkg/updates", "/var/lib/dpkg/arch", marksFile}

// memo keeps what was read from files for as long as they stay as they were.
type memo[T any] struct {
	mu    sync.Mutex
	stamp fileStamp
	value T
}

// get gives what read gives, without reading when the files are as they were when it
// was read last. Its result is shared and must not be changed.
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

// redirectedPaths finds settings by which apt reads other files than those that Inputs looks at.
var redirectedPaths = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?i)(^|[^a-z:])(rootdir|dir)\s*("|\{|::\s*(state|etc))`)
})

// InputFingerprint tells everything that apt plans from, as it is now, from what it was and will
// be: as long as it is the same, apt says the same of the same question. "" tells
// nothing: something was changed just now, or apt is set up to look elsewhere.
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
