package apt

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"cortex/events"
)

// command is the argument vector of one run of a program of apt or dpkg. This file
// is the only place that makes one, and the only place that names these programs:
// TestOnlyArgvMakesCommands holds both.
//
// Values from outside come from typed fields that were validated. They follow "--"
// where the program knows it.
type command struct{ argv []string }

// The programs of apt and dpkg.
const (
	aptGet           = "apt-get"
	aptMark          = "apt-mark"
	aptCache         = "apt-cache"
	dpkg             = "dpkg"
	dpkgQuery        = "dpkg-query"
	dpkgDivert       = "dpkg-divert"
	dpkgStatoverride = "dpkg-statoverride"
	alternativesTool = "update-alternatives"
)

func newCommand(program string, args ...string) command {
	return command{append([]string{program}, args...)}
}

func (c command) program() string { return c.argv[0] }
func (c command) String() string  { return strings.Join(c.argv, " ") }

// withOptions returns the command with options right after the program's name.
func (c command) withOptions(options ...string) command {
	return command{slices.Insert(slices.Clone(c.argv), 1, options...)}
}

// lockTimeout is how long apt itself waits for a lock that another process took
// after our own check.
const lockTimeout = time.Minute

// aptOptions are the options of every run of apt-get that may change packages: ask
// nothing, keep edited configuration files, wait for the lock.
func aptOptions() []string {
	return []string{
		"-y", "-q",
		"-o", "Dpkg::Options::=--force-confdef",
		"-o", "Dpkg::Options::=--force-confold",
		"-o", "Dpkg::Use-Pty=0",
		"-o", "DPkg::Lock::Timeout=" + strconv.Itoa(int(lockTimeout/time.Second)),
		"-o", "APT::Get::AutomaticRemove=false",
		"-o", "APT::Get::HideAutoRemove=true",
		"-o", "Acquire::Retries=3",
	}
}

// StepArgv returns the argument vector of a step, for the record that it starts; nil
// when no program carries the step out.
func (m *Machine) StepArgv(s events.Step) []string {
	c, _ := stepCommand(s)
	return c.argv
}

// stepCommand turns a typed step into a command; ok is false when no program
// carries the step out.
func stepCommand(s events.Step) (c command, ok bool) {
	switch s.Op {
	case events.OpInstall:
		return aptGetStep(s, "install"), true
	case events.OpRemove:
		return aptGetStep(s, "remove"), true
	case events.OpPurge:
		return aptGetStep(s, "purge"), true
	case events.OpUpgrade:
		if len(s.Targets) == 0 {
			return aptGetStep(s, "upgrade", "--with-new-pkgs"), true
		}
		return aptGetStep(s, "install", "--only-upgrade"), true
	case events.OpPurgeLeftovers:
		return newCommand(dpkg, "--purge", "--").withTargets(s.Targets), true
	case events.OpHold:
		return newCommand(aptMark, "hold", "--").withTargets(s.Targets), true
	case events.OpUnhold:
		return newCommand(aptMark, "unhold", "--").withTargets(s.Targets), true
	case events.OpMarkAuto:
		return newCommand(aptMark, "auto", "--").withTargets(s.Targets), true
	case events.OpMarkManual:
		return newCommand(aptMark, "manual", "--").withTargets(s.Targets), true
	case events.OpRestore: // package confstate carries it out
	}
	return command{}, false
}

func aptGetStep(s events.Step, verb ...string) command {
	args := aptOptions()
	for _, o := range []struct {
		on   bool
		flag string
	}{
		{s.Reinstall, "--reinstall"},
		{s.NoRecommends, "--no-install-recommends"},
		{s.AllowHeld, "--allow-change-held-packages"},
		{s.AllowDowngrade, "--allow-downgrades"},
	} {
		if o.on {
			args = append(args, o.flag)
		}
	}
	args = append(append(args, verb...), "--")
	return newCommand(aptGet, args...).withTargets(s.Targets)
}

// withTargets appends the targets. A removal in a run that also installs has the
// suffix "-"; a package file from the store is a path.
func (c command) withTargets(targets []events.Target) command {
	argv := slices.Clone(c.argv)
	for _, t := range targets {
		name := t.PackageRef.String()
		switch {
		case t.Deb != "" && !t.Remove:
			name = debPath(t.Deb)
		case t.Remove:
			name = events.PackageRef{Name: t.Name, Arch: t.Arch}.String() + "-"
		}
		argv = append(argv, name)
	}
	return command{argv}
}

// planningCommand makes apt print what a step would fetch, with the JSON hook
// listening on descriptor 4. marks is the copy of the automatic marks that this run
// may write to.
func planningCommand(step command, marks string) command {
	return step.withOptions("--print-uris", "--allow-remove-essential",
		"-o", "Dir::State::extended_states="+marks,
		"-o", "APT::Keep-Fds::=4",
		"-o", "AptCli::Hooks::Install::="+hookScript,
		"-o", "AptCli::Hooks::Upgrade::="+hookScript)
}

// reportsProgress reports whether the program writes its status to a descriptor,
// and can call the gate.
func (c command) reportsProgress() bool { return c.program() == aptGet }

// passesFilesOn reports whether the program would pass open descriptors on to
// maintainer scripts.
func (c command) passesFilesOn() bool { return c.program() == dpkg }

// withStatus makes apt-get write its status to descriptor 3.
func (c command) withStatus() command { return c.withOptions("-o", "APT::Status-Fd=3") }

// withGate makes apt-get call the gate before it starts dpkg.
func (c command) withGate() command {
	return c.withOptions(
		"-o", "DPkg::Pre-Install-Pkgs::="+gateScript,
		"-o", "DPkg::Tools::Options::true::Version=3")
}

// configureCommand finishes what dpkg unpacked.
func configureCommand() command {
	return newCommand(dpkg, "--force-confdef", "--force-confold", "--configure", "-a")
}

// updateCommand fetches apt's package lists.
func updateCommand() command {
	return newCommand(aptGet, "-q", "-o", "DPkg::Lock::Timeout=60", "-o", "Acquire::Retries=3", "update")
}

// updateIntoCommand fetches package lists into a directory, with a configuration
// file that apt reads last.
func updateIntoCommand(conf, dir string) command {
	return newCommand(aptGet, "-q", "-c", conf, "-o", "Dir::State::lists="+dir, "-o", "Acquire::Retries=3", "update")
}

// downloadCommand fetches one package file into the working directory.
func downloadCommand(r events.PackageRef) command {
	return newCommand(aptGet, "-q", "-o", "Acquire::Retries=0", "-o", "Acquire::http::Timeout=20", "-o", "APT::Sandbox::User=root", "download", "--", r.String())
}

// architectureCommand prints the native architecture.
func architectureCommand() command { return newCommand(dpkg, "--print-architecture") }

// queryCommand prints fields of every package that dpkg knows, or of the named ones.
func queryCommand(format string, names ...events.PackageName) command {
	args := []string{"-W", "-f", format}
	if len(names) > 0 {
		args = append(args, "--")
	}
	for _, n := range names {
		args = append(args, string(n))
	}
	return newCommand(dpkgQuery, args...)
}

// ownerCommand prints the packages that own a path.
func ownerCommand(path string) command { return newCommand(dpkgQuery, "-S", "--", path) }

// showCommand prints the records of package versions from apt's cache.
func showCommand(refs []events.PackageRef) command {
	return newCommand(aptCache, append([]string{"show", "--"}, refStrings(refs)...)...)
}

// versionsCommand prints the versions that apt's cache holds of each name.
func versionsCommand(refs []events.PackageRef) command {
	return newCommand(aptCache, append([]string{"showpkg", "--"}, refStrings(refs)...)...)
}

func refStrings(refs []events.PackageRef) []string {
	var out []string
	for _, r := range refs {
		out = append(out, r.String())
	}
	return out
}

// namesCommand prints every package name that starts with prefix.
func namesCommand(prefix string) (command, error) {
	switch {
	case strings.HasPrefix(prefix, "-"):
		return command{}, &events.Error{Op: "apt.PackageNames", Kind: events.ErrUsage, Subject: prefix, Err: errors.New("it looks like an option")}
	case prefix == "":
		return newCommand(aptCache, "pkgnames"), nil
	}
	return newCommand(aptCache, "pkgnames", "--", prefix), nil
}

// settingCommands turns the change of one setting into commands: at most two, of
// which the first removes the old value.
func settingCommands(c events.SettingChange) ([]command, error) {
	switch c.Kind {
	case events.SettingAlternative:
		return alternativeCommands(c)
	case events.SettingDiversion:
		return diversionCommands(c)
	case events.SettingOverride:
		return overrideCommands(c)
	case events.SettingDebconf, events.SettingConffiles:
	}
	return nil, settingError(c, errors.New("no command changes this kind of setting"))
}

func settingError(c events.SettingChange, why error) error {
	return &events.Error{Op: "apt.ApplySetting", Kind: events.ErrUsage, Subject: string(c.Kind) + " " + c.Name, Err: why}
}

func alternativeCommands(c events.SettingChange) ([]command, error) {
	if strings.Contains(c.Name, "/") || strings.HasPrefix(c.Name, "-") || events.ValidatePath("/"+c.Name) != nil {
		return nil, settingError(c, errors.New("not the name of a link group"))
	}
	choice, manual := strings.CutPrefix(c.After, "manual ")
	switch {
	case manual && events.ValidatePath(choice) != nil:
		return nil, settingError(c, errors.New("not a path"))
	case manual:
		return []command{newCommand(alternativesTool, "--set", c.Name, choice)}, nil
	case c.After == "auto" && c.Before != "":
		return []command{newCommand(alternativesTool, "--auto", c.Name)}, nil
	}
	return nil, nil // packages add and remove groups
}

func diversionCommands(c events.SettingChange) ([]command, error) {
	if err := events.ValidatePath(c.Name); err != nil {
		return nil, settingError(c, err)
	}
	var out []command
	if c.Before != "" {
		out = append(out, newCommand(dpkgDivert, "--no-rename", "--remove", c.Name))
	}
	if c.After == "" {
		return out, nil
	}
	to, pkg, ok := strings.Cut(c.After, " ")
	if !ok || events.ValidatePath(to) != nil {
		return nil, settingError(c, errors.New("not a diversion"))
	}
	owner := []string{"--local"}
	if pkg != ":" {
		if err := events.PackageName(pkg).Validate(); err != nil {
			return nil, settingError(c, err)
		}
		owner = []string{"--package", pkg}
	}
	args := append([]string{"--no-rename"}, owner...)
	return append(out, newCommand(dpkgDivert, append(args, "--divert", to, "--add", c.Name)...)), nil
}

func overrideCommands(c events.SettingChange) ([]command, error) {
	if err := events.ValidatePath(c.Name); err != nil {
		return nil, settingError(c, err)
	}
	var out []command
	if c.Before != "" {
		out = append(out, newCommand(dpkgStatoverride, "--remove", c.Name))
	}
	if c.After == "" {
		return out, nil
	}
	f := strings.Fields(c.After)
	if len(f) != 3 || strings.HasPrefix(f[0], "-") || strings.HasPrefix(f[1], "-") || strings.Trim(f[2], "01234567") != "" {
		return nil, settingError(c, errors.New("not a statoverride"))
	}
	return append(out, newCommand(dpkgStatoverride, "--add", f[0], f[1], f[2], c.Name)), nil
}
