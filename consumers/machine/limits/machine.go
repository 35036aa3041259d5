package limits

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"cortex/events"
)

// Machine applies limits on request and reverts them. Before it changes anything it writes
// a note into its directory, which [Machine.Forget] removes after the revert. A note without
// a fact is a group that a crash cut off. It is not safe for concurrent use.
type Machine struct {
	cfg   Config
	notes string // a directory
}

// NewMachine returns a machine that keeps its notes in a directory.
func NewMachine(cfg Config, notes string) *Machine { return &Machine{cfg, notes} }

// Group is a group of processes under limits.
type Group struct {
	events.LimitsApplied
	At      time.Time `json:"at"`      // when the limits came onto it
	Command int       `json:"command"` // the process of the command that asked
}

// note is what a machine stores of a group. The start times tell its processes from later
// ones with the same number.
type note struct {
	Applied events.LimitsApplied `json:"applied"`
	At      time.Time            `json:"at"`
	Boot    string               `json:"boot"`
	Process events.ProcessRef    `json:"process,omitzero"`
	Command events.ProcessRef    `json:"command"`
}

// Apply puts the limits of a request on its process or unit. who is the user and the
// command that ask. Where it fails nothing is limited.
func (m *Machine) Apply(ctx context.Context, req events.LimitsApply, who events.Actor) (events.LimitsApplied, error) {
	applied := events.LimitsApplied{Unit: req.Unit, Profile: req.Profile, Limits: req.Limits, How: req.How, Backend: req.Backend, Target: req.Target}
	p, command, err := m.place(req, who)
	if err != nil {
		return applied, err
	}
	cfg := m.cfg
	cfg.PID = p.PID
	if req.How == events.LimitsAttach {
		cfg.PID = who.PID // what is attached to stays inside the command's group
	}
	b, err := Detect(cfg, req.Backend)
	if err != nil {
		return applied, err
	}
	applied.Backend, applied.PID = b.Name(), p.PID
	remember := func(unit string, e []events.LimitEffect) error {
		n := note{Applied: applied, At: time.Now(), Boot: m.bootID(), Command: command}
		n.Applied.Unit, n.Applied.Effects = unit, e
		if req.Process != nil {
			n.Process = *req.Process
		}
		return m.writeNote(n)
	}
	if req.How == events.LimitsRun {
		applied.Effects, err = b.Start(ctx, p, remember)
	} else {
		applied.Unit, applied.Effects, err = b.Attach(ctx, p, remember)
	}
	if err == nil && p.PID != 0 {
		if _, err = checkRef(m.cfg.Root, *req.Process, req.How, who); err != nil {
			err = errors.Join(err, b.Revert(context.WithoutCancel(ctx), applied))
		}
	}
	if err != nil {
		return applied, errors.Join(err, m.Forget(req.Unit), m.Forget(applied.Unit))
	}
	return applied, nil
}

// place checks the process of a request, and the command that asks.
func (m *Machine) place(req events.LimitsApply, who events.Actor) (p Placement, command events.ProcessRef, err error) {
	p = Placement{Unit: req.Unit, Target: req.Target, Limits: req.Limits}
	if command, err = ProcessWithPID(m.cfg.Root, who.PID); err != nil {
		return p, command, &events.Error{Op: "limits.Apply", Kind: events.ErrCancelled, Subject: req.Unit, Err: errors.New("the command that asked for limits has ended")}
	}
	if req.Process == nil {
		return p, command, nil
	}
	found, err := checkRef(m.cfg.Root, *req.Process, req.How, who)
	if err != nil {
		return p, command, err
	}
	p.PID, p.UID = req.Process.PID, found.uids[0]
	return p, command, nil
}

// Usage returns what a group uses. It fails with ErrNotFound when the group is gone.
func (m *Machine) Usage(ctx context.Context, g Group) (events.LimitUsage, error) {
	if g.Backend == Rlimits && !m.programRuns(g) {
		return events.UnknownUsage, groupGoneError(g.Unit)
	}
	b, err := Open(m.cfg, g.Backend)
	if err != nil {
		return events.UnknownUsage, err
	}
	return b.Usage(ctx, g.LimitsApplied)
}

// Revert removes the limits of a group and leaves its processes running.
func (m *Machine) Revert(ctx context.Context, g Group) error {
	if g.Backend == Rlimits && !m.programRuns(g) {
		return nil // its number may belong to another process by now
	}
	b, err := Open(m.cfg, g.Backend)
	if err != nil {
		return err
	}
	return b.Revert(ctx, g.LimitsApplied)
}

func (m *Machine) programRuns(g Group) bool {
	return m.runs(g, g.PID, func(n note) events.ProcessRef { return n.Process })
}

// CommandRuns reports whether the command that asked for a group still runs.
func (m *Machine) CommandRuns(g Group) bool {
	return m.runs(g, g.Command, func(n note) events.ProcessRef { return n.Command })
}

// runs compares a process with the note of its group, and where there is none with the time
// of the group: a later process that has the number started after it.
func (m *Machine) runs(g Group, pid int, which func(note) events.ProcessRef) bool {
	n, err := readNote(m.notePath(g.Unit))
	if err != nil || which(n).PID != pid {
		return aliveSince(m.cfg.Root, pid, g.At)
	}
	now, err := ProcessWithPID(m.cfg.Root, pid)
	return err == nil && now == which(n) && n.Boot == m.bootID()
}

func (m *Machine) bootID() string {
	id, err := os.ReadFile(filepath.Join(m.cfg.Root, "proc/sys/kernel/random/boot_id"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}

// Noted lists the groups that have a note.
func (m *Machine) Noted() ([]Group, error) {
	files, err := filepath.Glob(filepath.Join(m.notes, "*.json"))
	if err != nil {
		return nil, err
	}
	var out []Group
	for _, f := range files {
		n, err := readNote(f)
		if err != nil {
			return nil, err
		}
		out = append(out, Group{n.Applied, n.At, n.Command.PID})
	}
	return out, nil
}

func readNote(path string) (n note, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return n, err
	}
	if err := json.Unmarshal(data, &n); err != nil {
		return n, &events.Error{Op: "limits.readNote", Kind: events.ErrCorrupt, Subject: path, Err: err, Hint: "remove the file, and look for the group that it names"}
	}
	return n, nil
}

// Forget removes the note of a group. It does nothing where there is no note.
func (m *Machine) Forget(unit string) error {
	err := os.Remove(m.notePath(unit))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

func (m *Machine) notePath(unit string) string {
	return filepath.Join(m.notes, strings.ReplaceAll(unit, "/", "_")+".json")
}

// writeNote stores the note durably: the file, and its name in the directory.
func (m *Machine) writeNote(n note) error {
	fail := func(err error) error { return fmt.Errorf("note limits before they are applied: %w", err) }
	data, err := json.Marshal(n)
	if err != nil {
		return fail(err)
	}
	if err := os.MkdirAll(m.notes, 0o700); err != nil {
		return fail(err)
	}
	path := m.notePath(n.Applied.Unit)
	if err := writeSynced(path+".new", data); err != nil {
		return fail(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fail(err)
	}
	dir, err := os.Open(m.notes)
	if err != nil {
		return fail(err)
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		return fail(err)
	}
	return nil
}

func writeSynced(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}
