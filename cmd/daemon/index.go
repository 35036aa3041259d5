package daemon

import (
	"context"
	"os"
	"os/exec"
	"syscall"
	"time"

	"cortex/cmd/openindex"
)

// Schedule and priority of the builds of the package index.
const (
	indexStartDelay = 5 * time.Second // after the start of the daemon
	indexInterval   = time.Minute
	indexNice       = 15
)

// maintainIndex rebuilds the package index when apt's lists have changed. A child process
// builds it, because a build needs much memory for a few seconds and the daemon would not
// return that memory to the system. A build does not delay an idle exit.
func (srv *server) maintainIndex(ctx context.Context) {
	location := openindex.LocationFor(srv.settings, os.Getenv)
	for wait := indexStartDelay; sleep(ctx, wait) == nil; wait = indexInterval {
		if c := openindex.OpenFresh(ctx, location); c != nil {
			_ = c.Close()
			continue
		}
		if openindex.HasNoLists(location) || srv.Busy() {
			continue
		}
		self, err := os.Executable()
		if err != nil {
			srv.logger.Warn("package index build failed", "error", err)
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
			srv.logger.Warn("package index build failed", "error", err)
			return
		}
	}
}
