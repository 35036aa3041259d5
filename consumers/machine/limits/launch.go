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

// gateFD is the file descriptor on which [WaitAndExec] waits.
const gateFD = 3

// WaitAndExec waits for one byte on file descriptor 3 and then replaces this process by the
// program argv. It returns only when that failed; where the file ends without a byte, it
// returns ErrCancelled. Nothing is allocated between the byte and the program, and no thread
// starts, because the limits of the program are on this process by then.
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
	var b [1]byte
	runtime.LockOSThread() // the program keeps the processors of the thread that starts it
	n, _, errno := syscall.RawSyscall(syscall.SYS_READ, gateFD, uintptr(unsafe.Pointer(&b[0])), 1)
	if n == 1 && errno == 0 {
		_, _, errno = syscall.RawSyscall(syscall.SYS_EXECVE, uintptr(unsafe.Pointer(path)), uintptr(unsafe.Pointer(&args[0])), uintptr(unsafe.Pointer(&env[0])))
		return fmt.Errorf("start %s: %w", name, errno)
	}
	return &events.Error{Op: "limits.WaitAndExec", Kind: events.ErrCancelled, Err: errors.New("the command that started it gave up")}
}
