package limits

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"cortex/events"
)

// hierarchy is the mount of one or more controllers, and the group of a process in it.
type hierarchy struct {
	mount    string
	ownGroup string // the group of the process, below mount
}

// parseHierarchies reads mountinfo and the cgroup file of a process. It returns hierarchies by
// controller; "" is cgroup v2.
func parseHierarchies(mountinfo, cgroup []byte) map[string]hierarchy {
	own := map[string]string{}
	for line := range strings.Lines(string(cgroup)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		for c := range strings.SplitSeq(parts[1], ",") {
			own[c] = parts[2]
		}
	}
	out := map[string]hierarchy{}
	s := bufio.NewScanner(bytes.NewReader(mountinfo))
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		before, after, ok := strings.Cut(s.Text(), " - ")
		f, g := strings.Fields(before), strings.Fields(after)
		if !ok || len(f) < 5 || len(g) < 3 {
			continue
		}
		names := []string{""}
		switch g[0] {
		case "cgroup":
			names = strings.Split(g[2], ",")
		case "cgroup2":
		default:
			continue
		}
		for _, name := range names {
			path, known := own[name]
			if _, dup := out[name]; dup || !known {
				continue
			}
			rel, err := filepath.Rel(f[3], path) // what is mounted may be a part of the hierarchy
			if err != nil || strings.HasPrefix(rel, "..") {
				rel = "."
			}
			out[name] = hierarchy{mount: f[4], ownGroup: filepath.Join(f[4], rel)}
		}
	}
	return out
}

// readHierarchies reads where a process is; 0 is this one.
func readHierarchies(root string, number int) (map[string]hierarchy, error) {
	pid := "self"
	if number != 0 {
		pid = strconv.Itoa(number)
	}
	mounts, err := os.ReadFile(filepath.Join(root, "proc/self/mountinfo"))
	if err != nil {
		return nil, err
	}
	groups, err := os.ReadFile(filepath.Join(root, "proc", pid, "cgroup"))
	if err != nil {
		return nil, err
	}
	return parseHierarchies(mounts, groups), nil
}

// writeGroupFile writes a value into a group's file.
func writeGroupFile(dir, file, value string) error {
	return os.WriteFile(filepath.Join(dir, file), []byte(value), 0)
}

func fileExists(dir, file string) bool {
	_, err := os.Lstat(filepath.Join(dir, file))
	return err == nil
}

// readGroupFile reads a group's file, without the final newline; "" when it is missing.
func readGroupFile(dir, file string) string {
	data, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// findGroup returns the directory of a group of ours below a mount, and "" when it is gone.
// Names of groups are unlike each other, and a directory of another user does not count.
func findGroup(mount, unit string, uid int) string {
	found := ""
	_ = filepath.WalkDir(mount, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil && d != nil && d.IsDir():
			return fs.SkipDir // gone meanwhile, or not readable
		case err != nil || !d.IsDir() || d.Name() != unit:
			return nil
		}
		var st unix.Stat_t
		if unix.Lstat(path, &st) == nil && int(st.Uid) == uid {
			found = path
			return fs.SkipAll
		}
		return nil
	})
	return found
}

// moveProcesses moves every process of a group into another group, until none is left.
func moveProcesses(from, to string) error {
	for range 100 {
		list := strings.Fields(readGroupFile(from, "cgroup.procs"))
		if len(list) == 0 {
			return nil
		}
		for _, pid := range list {
			if err := writeGroupFile(to, "cgroup.procs", pid); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("move process %s: %w", pid, err)
			}
		}
	}
	return fmt.Errorf("%s: new processes start faster than they can be moved", from)
}

// removeGroup removes an empty group. It retries for half a second, because the kernel may
// still count a process that has just ended.
func removeGroup(dir string) error {
	var err error
	for range 50 {
		if err = unix.Rmdir(dir); err == nil || errors.Is(err, unix.ENOENT) {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) || readGroupFile(dir, "cgroup.procs") != "" {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("remove %s: %w", dir, err)
}

// processTree lists a process and its descendants that are visible.
func processTree(root, pid string) []string {
	list := []string{pid}
	for i := 0; i < len(list); i++ {
		files, _ := filepath.Glob(filepath.Join(root, "proc", list[i], "task/*/children")) // well formed
		for _, f := range files {
			data, err := os.ReadFile(f)
			if err != nil {
				continue
			}
			for _, child := range strings.Fields(string(data)) {
				if !slices.Contains(list, child) {
					list = append(list, child)
				}
			}
		}
	}
	return list
}

// checkNumber fails unless an attach names a process by its number.
func checkNumber(p Placement) error {
	if p.PID == 0 {
		return &events.Error{Op: "limits.Attach", Kind: events.ErrUsage, Subject: fmt.Sprintf("%q", p.Target), Err: errors.New("not the number of a process"), Hint: "units need the back end systemd; list processes with: ps -e"}
	}
	return nil
}

// startIn moves a process that waits into new groups and sets its oom score.
func startIn(dirs []string, root string, p Placement, e *effects) error {
	for _, dir := range dirs {
		if err := writeGroupFile(dir, "cgroup.procs", strconv.Itoa(p.PID)); err != nil {
			return fmt.Errorf("move process %d into its group: %w", p.PID, err)
		}
	}
	return setOOMScore(root, p, e)
}

// setOOMScore sets the oom score of a process.
func setOOMScore(root string, p Placement, e *effects) error {
	if p.Limits.OOMScore == 0 {
		return nil
	}
	value := strconv.Itoa(p.Limits.OOMScore)
	if err := os.WriteFile(filepath.Join(root, "proc", strconv.Itoa(p.PID), "oom_score_adj"), []byte(value), 0); err != nil {
		return fmt.Errorf("set the oom score of process %d: %w", p.PID, err)
	}
	e.enforced(oom, value, "oom_score_adj")
	return nil
}

func groupGoneError(unit string) error {
	return &events.Error{Op: "limits.Usage", Kind: events.ErrNotFound, Subject: unit, Err: errors.New("the group has ended")}
}
