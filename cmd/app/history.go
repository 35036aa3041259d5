package app

import (
	"context"
	"errors"
	"path/filepath"

	"cortex/consumers/machine/apt"
	"cortex/events"
	"cortex/projections/history"
)

// FileVersions lists the recorded changes of a configuration file. It fails with
// ErrNotFound if there is none.
func (s *Service) FileVersions(ctx context.Context, path string) (list []history.FileVersion, err error) {
	if path, err = filepath.Abs(path); err != nil {
		return nil, err
	}
	if err := events.ValidatePath(path); err != nil {
		return nil, &events.Error{Op: "app.FileVersions", Kind: events.ErrUsage, Subject: path, Err: err}
	}
	err = s.ReadHistory(ctx, func(r *history.Reader) (err error) {
		list, err = r.FileVersions(ctx, path)
		return err
	})
	if err == nil && len(list) == 0 {
		err = &events.Error{
			Op: "app.FileVersions", Kind: events.ErrNotFound, Subject: path, Err: errors.New("no transaction changed this file"),
			Hint: "cortex watches /etc and configuration files of packages elsewhere",
		}
	}
	return list, err
}

// Reason says why a package is installed. Its JSON form is 'cortex why --json'.
type Reason struct {
	Version     int                     `json:"version"`
	Package     events.PackageName      `json:"package"`
	Automatic   bool                    `json:"automatic"`
	Transaction *history.TransactionRow `json:"transaction,omitempty"` // that installed it; nil: installed before cortex
	Chain       []apt.Dependency        `json:"chain,omitempty"`       // from a manually installed package
}

// Why finds out why a package is installed: the transaction that installed it, and the
// dependencies that lead to it. It fails with ErrNotFound if it is not installed.
func (s *Service) Why(ctx context.Context, name events.PackageName) (Reason, error) {
	machine := apt.New(apt.Config{Root: s.Settings.Root})
	inv, err := machine.Inventory(ctx)
	if err != nil {
		return Reason{}, err
	}
	why := Reason{Version: 1, Package: name}
	installed := false
	var manual []events.PackageName
	for k, state := range inv {
		if !state.Installed() {
			continue
		}
		if k.Name == name {
			installed, why.Automatic = true, state.Auto
		}
		if !state.Auto {
			manual = append(manual, k.Name)
		}
	}
	if !installed {
		return why, &events.Error{
			Op: "app.Why", Kind: events.ErrNotFound, Subject: string(name), Err: errors.New("the package is not installed"),
			Hint: "see: cortex history --package " + string(name),
		}
	}
	err = s.ReadHistory(ctx, func(r *history.Reader) error {
		t, ok, err := r.InstalledBy(ctx, name)
		if ok {
			why.Transaction = &t
		}
		return err
	})
	if err != nil && events.KindOf(err) != events.ErrNotFound {
		return why, err
	}
	if why.Automatic {
		why.Chain, err = machine.DependencyChain(ctx, manual, name)
		return why, err
	}
	return why, nil
}
