package app

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"cortex/cmd/hookfiles"
	"cortex/cmd/ids"

	"cortex/consumers/machine/apt"
	"cortex/consumers/machine/blobstore"
	"cortex/consumers/machine/confstate"
	"cortex/events"
	"cortex/producers/hook"
	"cortex/producers/intent"
)

// hookTimeout bounds how long a hook delays apt or dpkg.
const hookTimeout = 20 * time.Second

// HooksStatus returns the state of the hook files.
func (s *Service) HooksStatus() []hookfiles.FileStatus {
	binary, _ := os.Executable() // "": no file is current
	return hookfiles.Read(s.Settings.Root, binary)
}

// InstallHooks makes apt and dpkg call this program. It needs root.
func (s *Service) InstallHooks() error {
	if err := s.RequireRoot("installing hooks"); err != nil {
		return err
	}
	binary, err := os.Executable()
	if err != nil {
		return err
	}
	return hookfiles.Install(s.Settings.Root, binary)
}

// UninstallHooks removes the hook files. It needs root.
func (s *Service) UninstallHooks() error {
	if err := s.RequireRoot("removing hooks"); err != nil {
		return err
	}
	return hookfiles.Uninstall(s.Settings.Root)
}

// HookPoints are the places at which apt and dpkg call [Service.RunHook].
var HookPoints = []string{"apt-pre", "apt-post", "dpkg-pre", "dpkg-post"}

// RunHook records the state of the machine before or after a change by apt or dpkg. in is
// what apt sends to its hook. RunHook ignores changes that cortex makes itself.
func (s *Service) RunHook(ctx context.Context, point string, in io.Reader) error {
	ctx, cancel := context.WithTimeout(ctx, hookTimeout)
	defer cancel()
	if s.UID != 0 || s.Env(apt.OwnRunEnv) != "" {
		return nil
	}
	if strings.HasPrefix(point, "dpkg-") {
		underApt := s.Env("DPKG_FRONTEND_LOCKED") != "" // apt's own hooks cover the whole change
		if underApt || s.Env("DPKG_HOOK_ACTION") == "" {
			return nil
		}
	}
	o := &observer{
		service: s, machine: apt.New(apt.Config{Root: s.Settings.Root, WorkDir: s.Settings.WorkDir()}),
		spool: hook.Spool{Dir: s.Settings.SpoolDir()},
	}
	var err error
	if o.blobs, err = blobstore.Open(s.Settings.BlobStoreDir()); err != nil {
		return err
	}
	o.state = confstate.New(s.Settings.Root, o.blobs, o.machine)
	switch point {
	case "apt-pre":
		return o.before(ctx, in)
	case "dpkg-pre":
		return o.before(ctx, nil)
	case "apt-post", "dpkg-post":
		return o.after(ctx)
	}
	return &events.Error{
		Op: "app.RunHook", Kind: events.ErrUsage, Subject: strconv.Quote(point), Err: errors.New("unknown hook"),
		Hint: "hooks are " + strings.Join(HookPoints, ", "),
	}
}

// observer is one call of a hook.
type observer struct {
	service *Service
	machine *apt.Machine
	blobs   *blobstore.Blobs
	state   *confstate.Snapshots
	spool   hook.Spool
}

// before records the state before a change. If actions is not nil, it also stores the
// package files that apt is about to install.
func (o *observer) before(ctx context.Context, actions io.Reader) error {
	pid, argv := packageManager(os.Getppid())
	seen := events.Observation{
		ID: ids.New(), Program: argv[0], Command: intent.CommandLine(argv), Started: time.Now(),
		Actor: events.Actor{UID: o.service.UID, LoginUID: loginUID(), SudoUser: o.service.Env("SUDO_USER"), Program: argv[0], PID: pid},
	}
	var err error
	if seen.Before, err = o.state.CaptureState(ctx, o.machine.Inventory); err != nil {
		return err
	}
	if actions != nil {
		list, command, err := o.machine.ParseActions(ctx, actions)
		if err != nil {
			return err
		}
		if command != "" && len(command) <= events.MaxTextBytes {
			seen.Command = command
		}
		for _, a := range list {
			if a.Deb == "" {
				continue
			}
			deb, err := o.blobs.PutDeb(a.PackageKey, a.New, a.Deb)
			if err != nil {
				return err
			}
			seen.Debs = append(seen.Debs, deb)
		}
	}
	return o.spool.Begin(seen)
}

// after records the state after a change and notifies the daemon. If none runs, it starts
// one, which reads the spool.
func (o *observer) after(ctx context.Context) error {
	if _, begun, err := o.spool.InProgress(); err != nil || !begun {
		return err
	}
	state, err := o.state.CaptureState(ctx, o.machine.Inventory)
	if err != nil {
		return err
	}
	if _, err := o.spool.End(state, time.Now()); err != nil {
		return err
	}
	if o.service.Dial().RecordExternalChanges(ctx) == nil {
		return nil
	}
	_, _, err = o.service.Connect(ctx)
	return err
}

// packageManager finds the program above the shell that runs the hook.
func packageManager(pid int) (int, []string) {
	for range 4 {
		b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
		if err != nil {
			break
		}
		argv := strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
		name := argv[0][strings.LastIndexByte(argv[0], '/')+1:]
		if name != "sh" && name != "dash" && name != "bash" {
			argv[0] = apt.SanitizeOutput(name)
			return pid, argv
		}
		pid = parentOf(pid)
	}
	return pid, []string{"unknown"}
}

// parentOf returns the parent of a process, 0 if it is unknown.
func parentOf(pid int) int {
	f, err := os.Open("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if v, ok := strings.CutPrefix(lines.Text(), "PPid:"); ok {
			n, _ := strconv.Atoi(strings.TrimSpace(v)) // 0 on an error
			return n
		}
	}
	return 0
}

// loginUID returns the uid of the login session, -1 outside a session.
func loginUID() int {
	b, err := os.ReadFile("/proc/self/loginuid")
	n, err2 := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 32)
	if err != nil || err2 != nil || n == 1<<32-1 {
		return -1
	}
	return int(n)
}
