package apt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"cortex/consumers/machine"
	"cortex/events"
)

// lockPollInterval is how often a busy lock is checked.
const lockPollInterval = 200 * time.Millisecond

// lockFiles are dpkg's two locks: for front ends and its own.
var lockFiles = []string{"/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock"}

// LockHolder returns the process that holds one of dpkg's locks; ok is false when
// both are free. It takes no lock itself.
func (m *Machine) LockHolder() (h machine.LockHolder, ok bool, err error) {
	for _, name := range lockFiles {
		f, err := os.OpenFile(m.hostPath(name), os.O_RDWR, 0)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
			continue
		}
		if err != nil {
			return machine.LockHolder{}, false, fmt.Errorf("open lock %s: %w", name, err)
		}
		lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
		err = unix.FcntlFlock(f.Fd(), unix.F_GETLK, &lock)
		f.Close()
		if err != nil {
			return machine.LockHolder{}, false, fmt.Errorf("check lock %s: %w", name, err)
		}
		if lock.Type != unix.F_UNLCK {
			comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", lock.Pid))
			return machine.LockHolder{PID: int(lock.Pid), Program: strings.TrimSpace(SanitizeOutput(string(comm)))}, true, nil
		}
	}
	return machine.LockHolder{}, false, nil
}

// WaitForLock returns when dpkg's locks are free. While it waits it calls report about
// once a second. After limit it returns an ErrLockBusy error that names the holder; a
// limit of 0 waits without end.
func (m *Machine) WaitForLock(ctx context.Context, limit time.Duration, report func(machine.LockHolder, time.Duration)) error {
	start := time.Now()
	reported := time.Duration(-1)
	tick := time.NewTicker(lockPollInterval)
	defer tick.Stop()
	for {
		h, held, err := m.LockHolder()
		if err != nil || !held {
			return err
		}
		waited := time.Since(start)
		if limit > 0 && waited >= limit {
			return &events.Error{
				Op: "apt.WaitForLock", Kind: events.ErrLockBusy, Subject: "dpkg's lock",
				Err: fmt.Errorf("held by %s for longer than %s", h, limit), Hint: "try again when it is done, or wait longer with --lock-timeout",
			}
		}
		if report != nil && (reported < 0 || waited-reported >= time.Second) {
			report(h, waited)
			reported = waited
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// waitForOrphans returns when no child of an earlier process of ours runs. Every such
// child has inherited the running lock.
func (m *Machine) waitForOrphans(ctx context.Context) (waited bool, err error) {
	f, err := m.openRunningLock()
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	tick := time.NewTicker(lockPollInterval)
	defer tick.Stop()
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			unlock(f)
			return waited, err
		}
		waited = true
		select {
		case <-ctx.Done():
			return waited, ctx.Err()
		case <-tick.C:
		}
	}
}

// waitForDpkg returns when no dpkg of this machine runs. A dpkg that apt-get started
// right before it was killed has no lock yet, but begins its work and then ends,
// because apt-get no longer reads its output.
func (m *Machine) waitForDpkg(ctx context.Context) error {
	program, err := os.Stat(m.hostPath(m.findProgram(dpkg)))
	if err != nil {
		return nil // without the program no process runs it
	}
	tick := time.NewTicker(lockPollInterval / 10)
	defer tick.Stop()
	for isRunning(program) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

// isRunning reports whether a process runs this program. Where other processes cannot be
// inspected, as in the hardened unit, every process of root with that name counts.
func isRunning(program os.FileInfo) bool {
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range processes {
		info, err := os.Stat(p + "/exe")
		if err == nil && os.SameFile(info, program) || errors.Is(err, os.ErrPermission) && isRootProcess(p, program.Name()) {
			return true
		}
	}
	return false
}

// isRootProcess reports whether a process belongs to root and has this name.
func isRootProcess(process, name string) bool {
	info, err := os.Stat(process)
	if err != nil {
		return false
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	comm, err := os.ReadFile(process + "/comm")
	return err == nil && ok && owner.Uid == 0 && strings.TrimSpace(string(comm)) == name
}
