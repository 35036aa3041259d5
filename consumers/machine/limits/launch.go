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
	gateFD  = 3 // the process waits for a byte on it
	readyFD = 4 // the process writes a byte to it when it is ready for limits
)

// WaitAndExec writes one byte to file descriptor 4, waits for one byte on file descriptor 3,
// and then replaces this process with the program argv. It returns only on failure. When the
// file ends without a byte, it returns ErrCancelled.
//
// The limits are applied to this process between the two bytes. The Go runtime crashes when it
// cannot allocate memory or start a thread. So this goroutine takes the only processor of the
// runtime before the first byte, and allocates nothing after it.
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
	runtime.LockOSThread() // the program inherits the CPU affinity of the thread that executes it
	_, _, _ = syscall.RawSyscall(syscall.SYS_WRITE, readyFD, uintptr(unsafe.Pointer(&b[0])), 1)
	n, _, errno := syscall.RawSyscall(syscall.SYS_READ, gateFD, uintptr(unsafe.Pointer(&b[0])), 1)
	if n == 1 && errno == 0 {
		_, _, errno = syscall.RawSyscall(syscall.SYS_EXECVE, uintptr(unsafe.Pointer(path)), uintptr(unsafe.Pointer(&args[0])), uintptr(unsafe.Pointer(&env[0])))
		return fmt.Errorf("start %s: %w", name, errno)
	}
	return &events.Error{Op: "limits.WaitAndExec", Kind: events.ErrCancelled, Err: errors.New("the command that started this process has ended or failed")}
}
