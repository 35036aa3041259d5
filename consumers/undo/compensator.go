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

// Compensator is a worker: when an undo or redo has ended, it compares what the
// log says of every package the undone transaction changed with what was before,
// and records the verdict on the undone transaction.
type Compensator struct {
	log       events.Log
	recorder  *recorder.Recorder
	inventory *inventory.Tracker
}

// NewCompensator returns a compensator.
func NewCompensator(s *recorder.Recorder, l *inventory.Tracker) *Compensator {
	return &Compensator{log: s.Log, recorder: s, inventory: l}
}

// Handle reacts to the fact that ended a transaction.
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
		return nil // it did not get there, and can be tried again
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

// compareRestored compares what was to be restored with what the log says is now.
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
		unhold(inv, undo.Plan) // asked for, and so no residue
	}
	residue = append(Residue(sel.Changes, inv), fileResidue(sel, undo)...)
	for _, unknown := range slices.Concat(sel.UnknownKinds, sel.UnknownFields, undo.UnknownKinds, undo.UnknownFields) {
		residue = append(residue, unknown.String())
	}
	for _, said := range undo.Plan.Residue {
		if !slices.Contains(residue, said) {
			residue = append(residue, said)
		}
	}
	if len(residue) > maxResidue {
		residue = append(residue[:maxResidue], fmt.Sprintf("and %d more", len(residue)-maxResidue))
	}
	return sel.Transactions, residue, nil
}

// unhold takes the holds that the plan set out of the inventory.
func unhold(inv events.Inventory, plan events.Plan) {
	for _, c := range plan.Changes {
		if s := inv[c.PackageKey]; c.Action == events.ActionHold && s.Held() {
			s.Want = events.WantInstall
			inv[c.PackageKey] = s
		}
	}
}

// maxResidue bounds the lines of one verdict.
const maxResidue = 200

// Residue lists every package of the changes that is not as it was before.
func Residue(changes []events.PackageChange, now events.Inventory) []string {
	var out []string
	for _, change := range changes {
		if n := now[change.PackageKey]; n != change.Before {
			out = append(out, fmt.Sprintf("%s: is %q, was %q", change.Name, n, change.Before))
		}
	}
	return out
}

// fileResidue lists every path and setting that the undo left other than it was
// before, and what it changed besides.
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
			out = append(out, c.Path+": is not as it was")
		}
	}
	for _, c := range undo.Files {
		switch b, ok := before[c.Path]; {
		case confstate.IsAlternativeLink(c.Path):
		case !ok:
			out = append(out, c.Path+": was changed by undoing")
		case b != c.After && !slices.ContainsFunc(out, func(s string) bool { return s == c.Path+": is not as it was" }):
			out = append(out, c.Path+": is not as it was")
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
		// One that the undo neither planned nor touched was changed by somebody
		// since, and is theirs.
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
