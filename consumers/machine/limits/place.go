package limits

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"cortex/events"
)

// hierarchy is where one or more controllers are mounted, and where in it a
// process is.
type hierarchy struct {
	mount    string
	ownGroup string // the group of the process, below mount
}

// parseHierarchies reads mountinfo and a process's cgroup file: by controller, and "" is
// cgroup v2's.
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

// readHierarchies reads where process pid ("self" or a number) is.
func readHierarchies(root, pid string) (map[string]hierarchy, error) {
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

// readGroupFile reads a group's file, without the line's end.
func readGroupFile(dir, file string) string {
	data, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// moveProcesses puts every process of a group into another, until none is left.
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
	return fmt.Errorf("%s: new processes come faster than they can be moved", from)
}

// removeGroup takes a group away, once its last process is: one that ended a moment ago
// may still be counted.
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

// processTree lists a process and those it started, so far as they can be seen.
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

func checkProcess(root, target string) error {
	if strings.Trim(target, "0123456789") != "" || target == "" {
		return &events.Error{Op: "limits.Attach", Kind: events.ErrUsage, Subject: fmt.Sprintf("%q", target), Err: errors.New("is no number of a process"), Hint: "units can be attached to where systemd runs"}
	}
	if !fileExists(filepath.Join(root, "proc"), target) {
		return &events.Error{Op: "limits.Attach", Kind: events.ErrNotFound, Subject: "process " + target, Err: errors.New("there is none")}
	}
	return nil
}

func groupGoneError(unit string) error {
	return &events.Error{Op: "limits.Usage", Kind: events.ErrNotFound, Subject: unit, Err: errors.New("the group is gone")}
}
