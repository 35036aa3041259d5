package limits

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"cortex/events"
)

// The file descriptors of [WaitAndExec].
const (
	gateFD  = 3 // it waits for a byte here
	readyFD = 4 // it writes a byte here when limits may come
)

// WaitAndExec writes one byte to file descriptor 4, waits for one byte on file descriptor 3,
// and then replaces this process by the program argv. It returns only when that failed; where
// the file ends without a byte, it returns ErrCancelled.
//
// The limits of the program come onto this process between the two bytes, and the runtime
// of Go dies where it may not have memory or a thread. So this goroutine takes the only
// processor of the runtime before the first byte, and allocates nothing after it.
func WaitAndExec(argv []string) error {
	if len(argv) == 0 {
		return &events.Error{Op: "limits.WaitAndExec", Kind: events.ErrUsage, Err: errors.New("the program is missing")}
	}
	name, err := exec.LookPath(argv[0])
	if err != nil {
		return &events.Error{Op: "limits.WaitAndExec", Kind: events.ErrNotFound, Subject: argv[0], Err: err}
	}
	path, err := unix.BytePtrFromString(name)
	args, err2 := syscall.SlicePtrFromStrings(argv)
	env, err3 := syscall.SlicePtrFromStrings(os.Environ())
	if err := errors.Join(err, err2, err3); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	unix.CloseOnExec(gateFD)
	unix.CloseOnExec(readyFD)
	var b [1]byte
	runtime.GOMAXPROCS(1)
	runtime.LockOSThread() // the program keeps the processors of the thread that starts it
	_, _, _ = syscall.RawSyscall(syscall.SYS_WRITE, readyFD, uintptr(unsafe.Pointer(&b[0])), 1)
	n, _, errno := syscall.RawSyscall(syscall.SYS_READ, gateFD, uintptr(unsafe.Pointer(&b[0])), 1)
	if n == 1 && errno == 0 {
		_, _, errno = syscall.RawSyscall(syscall.SYS_EXECVE, uintptr(unsafe.Pointer(path)), uintptr(unsafe.Pointer(&args[0])), uintptr(unsafe.Pointer(&env[0])))
		return fmt.Errorf("start %s: %w", name, errno)
	}
	return &events.Error{Op: "limits.WaitAndExec", Kind: events.ErrCancelled, Err: errors.New("the command that started it gave up")}
}
