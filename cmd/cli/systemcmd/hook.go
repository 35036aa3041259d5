package systemcmd

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/ids"
	"cortex/consumers/machine/apt"
	"cortex/consumers/machine/blobstore"
	"cortex/consumers/machine/confstate"
	"cortex/events"
	"cortex/producers/hook"
	"cortex/producers/intent"
)

// newHook is what the drop-ins of apt and dpkg call; see newHooks. It always
// succeeds and says nothing on stdout: no trouble of ours may become apt's.
func newHook(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "hook apt-pre|apt-post|dpkg-pre|dpkg-post", Short: "Called by apt and dpkg", Hidden: true, Args: cmdutil.CheckArgs(cobra.ExactArgs(1)),
		PersistentPreRunE: cmdutil.WithoutSettings,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), hookTimeout)
			defer cancel()
			err := a.LoadSettings()
			if err == nil {
				err = a.hook(ctx, args[0])
			}
			if err != nil {
				fmt.Fprintln(a.Stderr, "cortex: this change is not watched:", err)
			}
			return nil
		},
	}
}

// hookTimeout bounds how long apt or dpkg wait for us.
const hookTimeout = 20 * time.Second

func (a *commands) hook(ctx context.Context, when string) error {
	underApt := a.Env("DPKG_FRONTEND_LOCKED") != ""
	switch {
	case a.UID != 0 || a.Env(apt.OwnRunEnv) != "":
		return nil
	case underApt && strings.HasPrefix(when, "dpkg-"):
		return nil // apt's own hooks see the whole
	case a.Env("DPKG_HOOK_ACTION") == "" && strings.HasPrefix(when, "dpkg-"):
		return nil
	}
	w := &watching{commands: a, machine: apt.New(apt.Config{Root: a.Settings.Root, WorkDir: a.Settings.WorkDir()}), spool: hook.Spool{Dir: a.Settings.SpoolDir()}}
	var err error
	if w.vault, err = blobstore.Open(a.Settings.BlobStoreDir()); err != nil {
		return err
	}
	w.keep = confstate.New(a.Settings.Root, w.vault, w.machine)
	switch when {
	case "apt-pre", "dpkg-pre":
		return w.before(ctx, when == "apt-pre")
	case "apt-post", "dpkg-post":
		return w.after(ctx)
	}
	return &events.Error{Op: "cli.hook", Kind: events.ErrUsage, Subject: when, Err: fmt.Errorf("there is no such hook")}
}

// watching is one call of a hook.
type watching struct {
	*commands
	machine *apt.Machine
	vault   *blobstore.Blobs
	keep    *confstate.Snapshots
	spool   hook.Spool
}

// before looks at the machine before a change and keeps the package files that
// come; those that go are kept when they came the same way, or were fetched.
func (w *watching) before(ctx context.Context, byApt bool) error {
	pid, argv := caller(os.Getppid())
	o := events.Observation{
		ID: ids.New(), Program: argv[0], Command: intent.CommandLine(argv), Started: time.Now(),
		Actor: events.Actor{UID: w.UID, LoginUID: loginUID(), SudoUser: w.Env("SUDO_USER"), Program: argv[0], PID: pid},
	}
	var err error
	if o.Before, err = w.keep.CaptureState(ctx, w.machine.Inventory); err != nil {
		return err
	}
	if byApt {
		about, command, err := w.machine.ParseActions(ctx, w.Stdin)
		if err != nil {
			return err
		}
		if command != "" && len(command) <= events.MaxTextBytes {
			o.Command = command
		}
		for _, x := range about {
			if x.Deb == "" {
				continue
			}
			deb, err := w.vault.PutDeb(x.PackageKey, x.New, x.Deb)
			if err != nil {
				return err
			}
			o.Debs = append(o.Debs, deb)
		}
	}
	return w.spool.Begin(o)
}

// after looks again, and tells the daemon; when none runs, the next takes it in.
func (w *watching) after(ctx context.Context) error {
	if _, going, err := w.spool.InProgress(); err != nil || !going {
		return err
	}
	look, err := w.keep.CaptureState(ctx, w.machine.Inventory)
	if err != nil {
		return err
	}
	if _, err := w.spool.End(look, time.Now()); err != nil {
		return err
	}
	c := w.Dial()
	if c.RecordExternalChanges(ctx) == nil {
		return nil
	}
	_, _, err = w.Connect(ctx) // a daemon takes in what waits when it starts
	return err
}

// caller finds the package manager above the shell that runs the hook.
func caller(pid int) (int, []string) {
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
		pid = parent(pid)
	}
	return pid, []string{"unknown"}
}

func parent(pid int) int {
	f, err := os.Open("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	for s.Scan() {
		if v, ok := strings.CutPrefix(s.Text(), "PPid:"); ok {
			n, _ := strconv.Atoi(strings.TrimSpace(v))
			return n
		}
	}
	return 0
}

// loginUID is who logged in, -1 when nobody did.
func loginUID() int {
	b, err := os.ReadFile("/proc/self/loginuid")
	n, err2 := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 32)
	if err != nil || err2 != nil || n == 1<<32-1 {
		return -1
	}
	return int(n)
}
