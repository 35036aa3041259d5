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

// settled is how old the last change of a file must be before its times tell it from
// the next one: the kernel counts time in ticks of up to 10 ms, and two changes within
// one have the same.
const settled = 20 * time.Millisecond

// stamp tells the content of some files from any other they had or will have: path,
// inode, size, and the times of their last changes, of which nobody can set the last.
// "" tells nothing.
type stamp string

// stampOf looks at files and directories, with everything below them, as seen inside
// the root. What is not there is part of it.
func (m *Machine) stampOf(now time.Time, paths ...string) stamp {
	var b strings.Builder
	newest := int64(0)
	for _, p := range paths {
		top := m.path(p)
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
	if newest > now.Add(-settled).UnixNano() {
		return ""
	}
	return stamp(b.String())
}

// states are the files that hold the state of packages.
var states = []string{"/var/lib/dpkg/status", "/var/lib/dpkg/updates", "/var/lib/dpkg/arch", marksFile}

// memo keeps what was read from files for as long as they stay as they were.
type memo[T any] struct {
	mu    sync.Mutex
	at    stamp
	value T
}

// get gives what read gives, without reading when the files are as they were when it
// was read last. Its result is shared and must not be changed.
func (c *memo[T]) get(m *Machine, read func() (T, error)) (T, error) {
	before := m.stampOf(time.Now(), states...)
	c.mu.Lock()
	if before != "" && before == c.at {
		defer c.mu.Unlock()
		return c.value, nil
	}
	c.mu.Unlock()
	value, err := read()
	if err != nil || before == "" || m.stampOf(time.Now(), states...) != before {
		return value, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at, c.value = before, value
	return value, nil
}

// moved finds settings by which apt reads other files than those that Inputs looks at.
var moved = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?i)(^|[^a-z:])(rootdir|dir)\s*("|\{|::\s*(state|etc))`)
})

// Inputs tells everything that apt plans from, as it is now, from what it was and will
// be: as long as it is the same, apt says the same of the same question. "" tells
// nothing: something was changed just now, or apt is set up to look elsewhere.
func (m *Machine) Inputs() string {
	s := m.stampOf(time.Now(), append([]string{"/etc/apt", "/var/lib/apt/lists"}, states...)...)
	if s == "" {
		return ""
	}
	files, _ := filepath.Glob(m.path("/etc/apt/apt.conf.d/*"))
	for _, f := range append(files, m.path("/etc/apt/apt.conf")) {
		text, err := os.ReadFile(f)
		if err != nil && !os.IsNotExist(err) || moved().Match(text) {
			return ""
		}
	}
	return string(s)
}
