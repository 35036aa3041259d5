package slotcache

import (
	"bufio"
	"bytes"
	"errors"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// AvailableMemory returns how many bytes a new process can use. That is the kernel's
// MemAvailable, or less when a control group of this process limits it. root is the
// machine's root directory.
func AvailableMemory(root fs.FS) (int64, error) {
	raw, err := fs.ReadFile(root, "proc/meminfo")
	if err != nil {
		return 0, err
	}
	available, ok := parseField(raw, "MemAvailable:")
	if !ok {
		return 0, errors.New("/proc/meminfo has no MemAvailable")
	}
	available *= 1 << 10
	groups, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return available, nil // a kernel without control groups has no limit
	}
	for line := range strings.Lines(string(groups)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		base, limit, usage := "sys/fs/cgroup", "memory.max", "memory.current"
		switch {
		case parts[1] == "":
		case strings.Contains(","+parts[1]+",", ",memory,"):
			base, limit, usage = "sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
		default:
			continue
		}
		for dir := path.Clean("/" + parts[2]); ; dir = path.Dir(dir) {
			most, limited := readNumber(root, path.Join(base, dir, limit))
			used, _ := readNumber(root, path.Join(base, dir, usage))
			if limited {
				available = min(available, max(0, most-used))
			}
			if dir == "/" {
				break
			}
		}
	}
	return available, nil
}

// parseField returns the number after a name.
func parseField(raw []byte, name string) (int64, bool) {
	lines := bufio.NewScanner(bytes.NewReader(raw))
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), name); ok {
			n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return n, err == nil && n >= 0 && n < 1<<50
		}
	}
	return 0, false
}

// readNumber reads a file with one number. ok is false for "max" and for a missing file.
func readNumber(root fs.FS, name string) (int64, bool) {
	raw, err := fs.ReadFile(root, name)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(raw)), 10, 64)
	return n, err == nil && n >= 0
}
