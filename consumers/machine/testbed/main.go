package testbed

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// stageEnv is the environment variable with the stage of a re-executed test binary.
const stageEnv = "CORTEX_TESTBED_STAGE"

// why no root is available; "" if one is
var unavailableReason = "testbed.Main was not called from TestMain"

// Main runs the tests of a package and exits. Call it from TestMain, with checks to run
// after the tests; a check that returns an error fails the run:
//
//	func TestMain(m *testing.M) {
//		testbed.Main(m, func() error { return goleak.Find() })
//	}
//
// goleak.VerifyTestMain cannot be used: it runs the tests and exits by itself.
//
// The test binary runs itself twice more: as the first process of new namespaces, which
// only reaps orphans, and below it as the tests.
func Main(m *testing.M, checks ...func() error) {
	switch os.Getenv(stageEnv) {
	case "":
		os.Exit(runInNamespaces(m, checks))
	case "init":
		os.Exit(runInit())
	default:
		unavailableReason = ""
		os.Exit(runTests(m, checks))
	}
}

func runTests(m *testing.M, checks []func() error) int {
	code := m.Run()
	for _, check := range checks {
		if err := check(); err != nil && code == 0 {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	return code
}

// runInNamespaces runs the tests in new namespaces, or without them if the kernel
// refuses.
func runInNamespaces(m *testing.M, checks []func() error) int {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), stageEnv+"=init")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
		Pdeathsig:  syscall.SIGKILL,
	}
	if os.Geteuid() != 0 {
		unavailableReason = "not root"
		return runTests(m, checks)
	}
	runtime.LockOSThread() // Pdeathsig is sent when the starting thread ends
	if err := cmd.Start(); err != nil {
		unavailableReason = "the kernel refuses namespaces: " + err.Error()
		return runTests(m, checks)
	}
	_ = cmd.Wait()
	return cmd.ProcessState.ExitCode()
}

// runInit is the first process of the namespaces.
func runInit() int {
	fail := func(what string, err error) int {
		fmt.Fprintf(os.Stderr, "testbed: %s: %v\n", what, err)
		return 2
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fail("make mounts private", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fail("mount /proc", err)
	}
	if err := os.Setenv(stageEnv, "test"); err != nil {
		return fail("set "+stageEnv, err)
	}
	pid, err := syscall.ForkExec("/proc/self/exe", os.Args, &syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{0, 1, 2}})
	if err != nil {
		return fail("start tests", err)
	}
	for {
		var status syscall.WaitStatus
		got, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return fail("wait", err)
		case got == pid && status.Exited():
			return status.ExitStatus()
		case got == pid && status.Signaled():
			return fail("tests", fmt.Errorf("killed by %s", status.Signal()))
		}
	}
}
