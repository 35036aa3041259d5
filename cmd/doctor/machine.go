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
	// lowSpace and minSpace are the free bytes below which space is low, or too low for
	// an installation.
	lowSpace, minSpace = 1 << 30, 200 << 20
	// staleListsAge is the age above which package lists are considered outdated.
	staleListsAge = 7 * 24 * time.Hour
)

// CheckStateDir checks the state directory: its owner is the user, only the owner can write
// to it, and its file system is writable.
func CheckStateDir(dir string, uid int, system bool) func(context.Context) []Finding {
	return func(context.Context) []Finding {
		info, err := os.Stat(dir)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return OKFinding(dir + " does not exist yet; the first command that needs it creates it")
		case err != nil:
			return ProblemFinding(err.Error(), "check its parent directories: ls -ld "+filepath.Dir(dir))
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
			return ProblemFinding(dir+" is writable by other users", "chmod go-w "+dir)
		}
		if err := unix.Access(dir, unix.W_OK); errors.Is(err, unix.EROFS) {
			return ProblemFinding(dir+" is on a read-only file system", "mount it read-write: cortex changes nothing that it cannot record")
		}
		return OKFinding(dir)
	}
}

// CheckFreeSpace checks the free space of the file systems of dirs.
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
			message := fmt.Sprintf("%.1f GB free for %s", float64(free)/1e9, dir)
			switch {
			case free < minSpace:
				out = append(out, ProblemFinding(message, "apt-get clean; cortex store gc")...)
			case free < lowSpace:
				out = append(out, NoteFinding(message, "apt-get clean; cortex store gc")...)
			default:
				out = append(out, OKFinding(message)...)
			}
		}
		return out
	}
}

// CheckApt checks the age of the package lists, the packages that are only partly
// installed, and the lock of apt and dpkg.
func CheckApt(m *apt.Machine, root string, now time.Time) func(context.Context) []Finding {
	return func(ctx context.Context) []Finding {
		out := checkListsAge(root, now)
		inv, err := m.Inventory(ctx)
		if err != nil {
			return append(out, ProblemFinding("read dpkg's database: "+err.Error(), "dpkg --audit")...)
		}
		out = append(out, checkPartlyInstalled(inv)...)
		if h, held, err := m.LockHolder(); err == nil && held {
			out = append(out, NoteFinding(h.String()+" holds the lock", "wait for its end; cortex waits automatically")...)
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
	// An unchanged list keeps its date. The dates of these files change with each update.
	for _, f := range []string{"var/lib/apt/periodic/update-success-stamp", "var/lib/apt/lists/partial"} {
		if info, err := os.Stat(filepath.Join(root, f)); err == nil && !newest.IsZero() && info.ModTime().After(newest) {
			newest = info.ModTime()
		}
	}
	switch age := now.Sub(newest); {
	case newest.IsZero():
		return ProblemFinding("no package lists", refresh)
	case age > staleListsAge:
		return NoteFinding(fmt.Sprintf("the package lists are %d days old", int(age.Hours()/24)), refresh)
	}
	return OKFinding("package lists of " + newest.Local().Format(time.DateOnly))
}

func checkPartlyInstalled(inv events.Inventory) []Finding {
	var partly []string
	for k, s := range inv {
		switch s.Status {
		case events.StatusInstalled, events.StatusNotInstalled, events.StatusConfigFiles, "":
		default:
			partly = append(partly, fmt.Sprintf("%s (%s)", k, s.Status))
		}
	}
	if len(partly) > 0 {
		return ProblemFinding("partly installed: "+strings.Join(partly, ", "), "dpkg --configure -a && apt-get -f install")
	}
	return OKFinding(fmt.Sprintf("%d packages, none partly installed", len(inv)))
}

// CheckClock checks that the clock is not behind the newest event. newest is the time of
// that event, or zero.
func CheckClock(now, newest time.Time) []Finding {
	if newest.After(now.Add(time.Minute)) {
		return ProblemFinding(fmt.Sprintf("the clock shows %s, but the newest event is of %s", now.Format(time.DateTime), newest.In(now.Location()).Format(time.DateTime)), "set the clock; until then 'history --since' and 'rollback --to TIME' select wrong events")
	}
	return OKFinding(now.Format(time.RFC1123))
}
