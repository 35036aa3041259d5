package limits

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"cortex/events"
)

// process is what /proc says of a process.
type process struct {
	parent     int
	startTicks uint64
	uids       []int // real, effective, saved, of the file system
}

// ProcessWithPID returns the reference of a running process. It fails with ErrNotFound.
func ProcessWithPID(root string, pid int) (events.ProcessRef, error) {
	p, err := readProcess(root, pid)
	return events.ProcessRef{PID: pid, StartTicks: p.startTicks}, err
}

func readProcess(root string, pid int) (p process, err error) {
	dir := filepath.Join(root, "proc", strconv.Itoa(pid))
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	status, err2 := os.ReadFile(filepath.Join(dir, "status"))
	if err = errors.Join(err, err2); err != nil {
		return p, &events.Error{Op: "limits.readProcess", Kind: events.ErrNotFound, Subject: fmt.Sprintf("process %d", pid), Err: errors.New("no such process"), Hint: "list processes with: ps -e"}
	}
	p, err = parseProcess(stat, status)
	if err != nil {
		err = fmt.Errorf("read process %d: %w", pid, err)
	}
	return p, err
}

// parseProcess reads /proc/PID/stat and /proc/PID/status. The name of the program may hold
// any character, so the fields of stat are counted from its last parenthesis.
func parseProcess(stat, status []byte) (p process, err error) {
	f := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(f) < 20 {
		return p, errors.New("its stat file is cut off")
	}
	if p.parent, err = strconv.Atoi(string(f[1])); err != nil {
		return p, err
	}
	if p.startTicks, err = strconv.ParseUint(string(f[19]), 10, 64); err != nil {
		return p, err
	}
	for line := range strings.Lines(string(status)) {
		v, ok := strings.CutPrefix(line, "Uid:")
		if !ok {
			continue
		}
		for _, field := range strings.Fields(v) {
			uid, err := strconv.Atoi(field)
			if err != nil {
				return p, err
			}
			p.uids = append(p.uids, uid)
		}
	}
	if len(p.uids) != 4 {
		return p, errors.New("its status file names no user")
	}
	return p, nil
}

// checkRef fails unless the process is the one that the request names, and belongs to the
// user who asks. The process of a program that is to start is a child of the command.
func checkRef(root string, ref events.ProcessRef, how string, who events.Actor) (process, error) {
	fail := func(kind events.ErrorKind, reason, hint string) (process, error) {
		return process{}, &events.Error{Op: "limits.checkRef", Kind: kind, Subject: fmt.Sprintf("process %d", ref.PID), Err: errors.New(reason), Hint: hint}
	}
	p, err := readProcess(root, ref.PID)
	switch {
	case err != nil:
		return p, err
	case p.startTicks != ref.StartTicks:
		return fail(events.ErrNotFound, "the process has ended, and its number belongs to another one", "list processes with: ps -e")
	case who.UID != 0 && slices.ContainsFunc(p.uids, func(uid int) bool { return uid != who.UID }):
		return fail(events.ErrConfirmation, "the process belongs to another user", "run the command as root")
	case how == events.LimitsRun && p.parent != who.PID:
		return fail(events.ErrDenied, "the process is not a child of the command that asks", "")
	}
	return p, nil
}

// ticksPerSecond is the unit of start times in /proc, which is the same on every Linux.
const ticksPerSecond = 100

// aliveSince reports whether the process that had this number at a time still runs.
func aliveSince(root string, pid int, at time.Time) bool {
	p, err := readProcess(root, pid)
	if err != nil {
		return false
	}
	var now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &now) != nil {
		return true
	}
	age := time.Duration(now.Nano()) - time.Duration(p.startTicks)*(time.Second/ticksPerSecond)
	return !time.Now().Add(-age).After(at.Add(time.Second)) // a tick is rounded, and clocks are set
}
