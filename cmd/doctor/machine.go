package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"cortex/consumers/machine/apt"
	"cortex/events"
)

const (
	// lowSpace and full are the free bytes below which room is short, or too short
	// for an installation of any size.
	lowSpace, minSpace = 1 << 30, 200 << 20
	// staleListsAge is the age from which package lists are likely to be wrong.
	staleListsAge = 7 * 24 * time.Hour
)

// CheckStateDir looks at the directory that holds everything that is kept: whether it is
// the user's, closed to others' writing, and on a disk that can be written.
func CheckStateDir(dir string, uid int, system bool) func(context.Context) []Finding {
	return func(context.Context) []Finding {
		info, err := os.Stat(dir)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return OKFinding(dir + " is made by the first command that needs it")
		case err != nil:
			return ProblemFinding(err.Error(), "look at the directories above it: ls -ld "+filepath.Dir(dir))
		case !info.IsDir():
			return ProblemFinding(dir+" is not a directory", "move it away")
		}
		owner := uid
		if system {
			owner = 0
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != owner {
			return ProblemFinding(fmt.Sprintf("%s belongs to user %d", dir, st.Uid), fmt.Sprintf("chown -R %d %s", owner, dir))
		}
		if info.Mode().Perm()&0o022 != 0 {
			return ProblemFinding(dir+" can be written by others", "chmod go-w "+dir)
		}
		if err := unix.Access(dir, unix.W_OK); errors.Is(err, unix.EROFS) {
			return ProblemFinding(dir+" is on a file system that is read-only", "mount it writable: nothing can be recorded, so nothing is changed")
		}
		return OKFinding(dir)
	}
}

// CheckFreeSpace looks whether there is room for what is kept and for packages.
func CheckFreeSpace(dirs ...string) func(context.Context) []Finding {
	return func(context.Context) []Finding {
		var out []Finding
		seen := map[unix.Fsid]bool{}
		for _, dir := range dirs {
			var s unix.Statfs_t
			for unix.Statfs(dir, &s) != nil && dir != "/" {
				dir = filepath.Dir(dir)
			}
			if seen[s.Fsid] {
				continue
			}
			seen[s.Fsid] = true
			free := int64(s.Bavail) * s.Bsize
			what := fmt.Sprintf("%.1f GB free for %s", float64(free)/1e9, dir)
			switch {
			case free < minSpace:
				out = append(out, ProblemFinding(what, "apt-get clean; cortex store gc")...)
			case free < lowSpace:
				out = append(out, NoteFinding(what, "apt-get clean; cortex store gc")...)
			default:
				out = append(out, OKFinding(what)...)
			}
		}
		return out
	}
}

// CheckApt looks at the age of package lists, at packages that are not installed whole,
// and at who holds the lock.
func CheckApt(m *apt.Machine, root string, now time.Time) func(context.Context) []Finding {
	return func(ctx context.Context) []Finding {
		out := checkListsAge(root, now)
		inv, err := m.Inventory(ctx)
		if err != nil {
			return append(out, ProblemFinding("dpkg's database cannot be read: "+err.Error(), "dpkg --audit")...)
		}
		out = append(out, checkHalfInstalled(inv)...)
		if h, held, err := m.LockHolder(); err == nil && held {
			out = append(out, NoteFinding(h.String()+" is at work and holds the lock", "wait for it; cortex waits by itself")...)
		}
		return out
	}
}

func checkListsAge(root string, now time.Time) []Finding {
	const refresh = "apt-get update"
	newest := time.Time{}
	for _, pattern := range []string{"*_InRelease", "*_Release", "*_Packages*"} {
		files, _ := filepath.Glob(filepath.Join(root, "var/lib/apt/lists", pattern))
		for _, f := range files {
			if info, err := os.Stat(f); err == nil && info.ModTime().After(newest) {
				newest = info.ModTime()
			}
		}
	}
	// A list that did not change keeps its date; these change each time.
	for _, f := range []string{"var/lib/apt/periodic/update-success-stamp", "var/lib/apt/lists/partial"} {
		if info, err := os.Stat(filepath.Join(root, f)); err == nil && !newest.IsZero() && info.ModTime().After(newest) {
			newest = info.ModTime()
		}
	}
	switch age := now.Sub(newest); {
	case newest.IsZero():
		return ProblemFinding("there are no package lists", refresh)
	case age > staleListsAge:
		return NoteFinding(fmt.Sprintf("the package lists are %d days old", int(age.Hours()/24)), refresh)
	}
	return OKFinding("the package lists are of " + newest.Local().Format(time.DateOnly))
}

func checkHalfInstalled(inv events.Inventory) []Finding {
	var half []string
	for k, s := range inv {
		switch s.Status {
		case events.StatusInstalled, events.StatusNotInstalled, events.StatusConfigFiles, "":
		default:
			half = append(half, fmt.Sprintf("%s (%s)", k, s.Status))
		}
	}
	if len(half) > 0 {
		return ProblemFinding("not installed whole: "+strings.Join(half, ", "), "dpkg --configure -a && apt-get -f install")
	}
	return OKFinding(fmt.Sprintf("%d packages, none half installed", len(inv)))
}

// CheckClock looks whether the clock is behind what was recorded already; newest is the
// time of the newest record, zero when there is none.
func CheckClock(now, newest time.Time) []Finding {
	if newest.After(now.Add(time.Minute)) {
		return ProblemFinding(fmt.Sprintf("the clock says %s, and something was recorded at %s already", now.Format(time.DateTime), newest.In(now.Location()).Format(time.DateTime)), "set the clock; 'history --since' and 'rollback --to TIME' mislead until it is right")
	}
	return OKFinding(now.Format(time.RFC1123))
}
