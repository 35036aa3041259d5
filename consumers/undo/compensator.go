package undo

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"cortex/consumers/inventory"
	"cortex/consumers/machine/confstate"
	"cortex/consumers/recorder"
	"cortex/events"
)

// Compensator handles the end of an undo, redo or rollback. From the log alone it
// compares every element that the undone transactions or the undo itself changed with
// its earlier state, and records the result on the undone transactions.
type Compensator struct {
	log       events.Log
	recorder  *recorder.Recorder
	inventory *inventory.Tracker
}

// NewCompensator returns a compensator.
func NewCompensator(s *recorder.Recorder, l *inventory.Tracker) *Compensator {
	return &Compensator{log: s.Log, recorder: s, inventory: l}
}

// Handle handles the fact that ended a transaction.
func (c *Compensator) Handle(ctx context.Context, r events.Record) error {
	undo, err := events.LoadTransaction(ctx, c.log, r.Transaction)
	if err != nil {
		return err
	}
	if !undo.Intent.Verb.Reverts() || !undo.State.Ran() {
		return nil
	}
	undone, residue, err := c.compareRestored(ctx, r, undo)
	if err != nil {
		return err
	}
	if undo.State != events.StateSucceeded && len(residue) > 0 {
		return nil // the undo is incomplete and can be tried again
	}
	for _, t := range undone {
		done, err := events.IsUndone(ctx, c.log, t)
		if err != nil {
			return err
		}
		if done || t.ID == undo.ID {
			continue
		}
		_, err = c.recorder.AppendToTransaction(ctx, recorder.CausedBy(r), t, &events.Compensated{By: undo.ID, Exact: len(residue) == 0, Residue: residue})
		if err != nil && !errors.Is(err, events.ErrConflict) {
			return err
		}
	}
	return nil
}

// compareRestored compares the elements to restore with their state right after the
// undo, and lists those that differ.
func (c *Compensator) compareRestored(ctx context.Context, r events.Record, undo *events.Transaction) (undone []*events.Transaction, residue []string, err error) {
	in := undo.Intent
	if len(undo.Plan.Undoes) > 0 && in.Verb != events.VerbRollback {
		in.Target, in.AlsoUndo = undo.Plan.Undoes[0], undo.Plan.Undoes[1:]
	}
	sel, err := MergeEffectsBefore(ctx, c.log, in, r.Position)
	if err != nil {
		return nil, nil, err
	}
	inv, err := c.inventory.At(ctx, r.Position)
	if err != nil {
		return nil, nil, err
	}
	if in.Options.Hold {
		unhold(inv, undo.Plan) // a requested hold is not a residue
	}
	residue = append(Residue(sel.Changes, inv), fileResidue(sel, undo)...)
	for _, unknown := range slices.Concat(sel.UnknownKinds, sel.UnknownFields, undo.UnknownKinds, undo.UnknownFields) {
		residue = append(residue, unknown.String())
	}
	for _, line := range undo.Plan.Residue {
		if !slices.Contains(residue, line) {
			residue = append(residue, line)
		}
	}
	if len(residue) > maxResidue {
		residue = append(residue[:maxResidue], fmt.Sprintf("and %d more", len(residue)-maxResidue))
	}
	return sel.Transactions, residue, nil
}

// unhold removes the holds that the plan set from the inventory.
func unhold(inv events.Inventory, plan events.Plan) {
	for _, c := range plan.Changes {
		if s := inv[c.PackageKey]; c.Action == events.ActionHold && s.Held() {
			s.Want = events.WantInstall
			inv[c.PackageKey] = s
		}
	}
}

// notRestored follows a path.
const notRestored = ": not restored"

// maxResidue bounds the recorded lines.
const maxResidue = 200

// Residue lists every package of the changes that is not in its earlier state.
func Residue(changes []events.PackageChange, now events.Inventory) []string {
	var out []string
	for _, change := range changes {
		if n := now[change.PackageKey]; n != change.Before {
			out = append(out, fmt.Sprintf("%s: is %q, was %q", change.Name, n, change.Before))
		}
	}
	return out
}

// fileResidue lists every path and setting that the undo did not restore, and those
// that it changed although the undone transactions did not.
func fileResidue(sel MergedEffects, undo *events.Transaction) []string {
	var out []string
	done := map[string]events.FileChange{}
	for _, c := range undo.Files {
		done[c.Path] = c
	}
	before := map[string]events.FileState{}
	for _, c := range sel.Files {
		before[c.Path] = c.Before
	}
	for _, c := range undo.Plan.Files() {
		if d, ok := done[c.Path]; (!ok || d.After != c.After) && c.Before != c.After {
			out = append(out, c.Path+notRestored)
		}
	}
	for _, c := range undo.Files {
		switch b, ok := before[c.Path]; {
		case confstate.IsAlternativeLink(c.Path):
		case !ok:
			out = append(out, c.Path+": the undo changed it")
		case b != c.After && !slices.ContainsFunc(out, func(s string) bool { return s == c.Path+notRestored }):
			out = append(out, c.Path+notRestored)
		}
	}
	return append(out, settingResidue(sel, undo)...)
}

func settingResidue(sel MergedEffects, undo *events.Transaction) []string {
	var out []string
	before, now := map[settingKey]string{}, map[settingKey]string{}
	for _, c := range sel.Settings {
		k := settingKey{c.Kind, c.Name}
		before[k], now[k] = c.Before, c.After
	}
	for _, c := range undo.Settings {
		k := settingKey{c.Kind, c.Name}
		if _, ok := before[k]; !ok {
			before[k] = c.Before
		}
		now[k] = c.After
	}
	planned := map[settingKey]bool{}
	for _, c := range undo.Plan.Settings() {
		planned[settingKey{c.Kind, c.Name}] = true
	}
	for k, b := range before {
		// A setting that the undo neither planned nor touched was changed since
		// and is kept.
		_, touched := findSetting(undo.Settings, k)
		if now[k] != b && (touched || planned[k] || k.kind == events.SettingConffiles) {
			out = append(out, fmt.Sprintf("%s %s: is %s, was %s", k.kind, k.name, k.kind.Display(now[k]), k.kind.Display(b)))
		}
	}
	slices.Sort(out)
	return out
}

func findSetting(list []events.SettingChange, k settingKey) (events.SettingChange, bool) {
	i := slices.IndexFunc(list, func(c events.SettingChange) bool { return settingKey{c.Kind, c.Name} == k })
	if i < 0 {
		return events.SettingChange{}, false
	}
	return list[i], true
}
