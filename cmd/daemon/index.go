package daemon

import (
	"context"
	"os"
	"os/exec"
	"syscall"
	"time"

	"cortex/cmd/openindex"
)

// When the index of packages is looked at, and how politely it is made.
const (
	indexStartDelay = 5 * time.Second // the daemon's start
	indexInterval   = time.Minute
	indexNice       = 15
)

// maintainIndex makes the index of packages when apt's lists changed. It is made in a
// process of its own: that needs much memory for some seconds, and a daemon that
// keeps it would be a heavy one. The daemon does not stay for it.
func (in *server) maintainIndex(ctx context.Context) {
	place := openindex.LocationFor(in.settings, os.Getenv)
	for wait := indexStartDelay; sleep(ctx, wait) == nil; wait = indexInterval {
		if c := openindex.OpenFresh(ctx, place); c != nil {
			_ = c.Close()
			continue
		}
		if openindex.HasNoLists(place) || in.Busy() {
			continue
		}
		self, err := os.Executable()
		if err != nil {
			in.logger.Warn("the index of packages is not made", "error", err)
			return
		}
		cmd := exec.CommandContext(ctx, self, "catalog", "build", "--quiet")
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		cmd.WaitDelay = 2 * time.Second
		if err = cmd.Start(); err == nil {
			_ = syscall.Setpriority(syscall.PRIO_PROCESS, cmd.Process.Pid, indexNice)
			err = cmd.Wait()
		}
		if err != nil && ctx.Err() == nil {
			in.logger.Warn("the index of packages is not made", "error", err)
			return
		}
	}
}
