package app

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"strconv"
	"strings"
	"time"

	"cortex/cmd/adapters"
	"cortex/cmd/client"

	"cortex/consumers/machine/apt"
	"cortex/events"
	"cortex/producers/hardware"
	model "cortex/projections/hardware"
)

// snapshotTimeout bounds how long a requested hardware snapshot may take.
const snapshotTimeout = 30 * time.Second

// ReadHardware reads the hardware of this machine now. It needs no daemon.
func (s *Service) ReadHardware(ctx context.Context) (hardware.Reading, error) {
	return adapters.HardwareCollector(s.Settings).Collect(ctx)
}

// SelectFacts returns the facts whose keys match; * matches anything. No key selects all
// facts; a key that matches no fact is ErrNotFound.
func SelectFacts(facts []events.HardwareFact, keys []string) ([]events.HardwareFact, error) {
	if len(keys) == 0 {
		return facts, nil
	}
	out := []events.HardwareFact{}
	used := map[string]bool{}
	for _, f := range facts {
		for _, k := range keys {
			if events.Kind(f.Key).Match(k) {
				used[k] = true
				if len(out) == 0 || out[len(out)-1].Key != f.Key {
					out = append(out, f)
				}
			}
		}
	}
	for _, k := range keys {
		if !used[k] {
			return nil, &events.Error{
				Op: "app.SelectFacts", Kind: events.ErrNotFound, Subject: k, Err: errors.New("this machine has no such fact"),
				Hint: `to list all: cortex hardware --facts "*"`,
			}
		}
	}
	return out, nil
}

func (s *Service) readHardwareModel(ctx context.Context, ask func(*model.Reader) error) error {
	return s.ReadModel(ctx, model.Name, func(db *sql.DB) error { return ask(model.NewReader(db)) })
}

// HardwareSnapshots lists the recorded snapshots; limit 0 lists all. A machine without a
// log has none.
func (s *Service) HardwareSnapshots(ctx context.Context, limit int) ([]model.SnapshotSummary, error) {
	list := []model.SnapshotSummary{}
	err := s.readHardwareModel(ctx, func(r *model.Reader) (err error) {
		list, err = r.List(ctx, limit)
		return err
	})
	if err != nil && !s.HasLog() {
		return []model.SnapshotSummary{}, nil
	}
	return list, err
}

// HardwareDiff returns the stable facts that differ between two snapshots. A reference is a
// position, last, last-N or now.
func (s *Service) HardwareDiff(ctx context.Context, from, to string) ([]events.HardwareChange, error) {
	before, err := s.hardwareFactsAt(ctx, from)
	if err != nil {
		return nil, err
	}
	after, err := s.hardwareFactsAt(ctx, to)
	if err != nil {
		return nil, err
	}
	return events.DiffHardware(before, after), nil
}

// hardwareFactsAt returns the facts of the snapshot that ref names.
func (s *Service) hardwareFactsAt(ctx context.Context, ref string) (facts []events.HardwareFact, err error) {
	if ref == "now" {
		r, err := s.ReadHardware(ctx)
		return r.Facts, err
	}
	back, isLast := strings.CutPrefix(ref, "last")
	n, err := strconv.ParseUint(strings.TrimPrefix(cmp.Or(back, "-0"), "-"), 10, 31)
	if !isLast {
		n, err = strconv.ParseUint(ref, 10, 63)
	}
	if err != nil || isLast && back != "" && back[0] != '-' {
		return nil, &events.Error{
			Op: "app.HardwareDiff", Kind: events.ErrUsage, Subject: strconv.Quote(ref), Err: errors.New("not a snapshot"),
			Hint: "use a position from 'cortex hardware history', last, last-1 or now",
		}
	}
	err = s.readHardwareModel(ctx, func(r *model.Reader) error {
		at := events.Position(n)
		if isLast {
			list, err := r.List(ctx, int(n)+1)
			if err != nil {
				return err
			}
			if len(list) <= int(n) {
				return &events.Error{
					Op: "app.HardwareDiff", Kind: events.ErrNotFound, Subject: ref, Err: errors.New("fewer snapshots are recorded"),
					Hint: "'cortex hardware history' lists them",
				}
			}
			at = list[0].Position
		}
		facts, err = r.Facts(ctx, at)
		return err
	})
	return facts, err
}

// RecordHardware records a snapshot and returns its position once the read models show it.
func (s *Service) RecordHardware(ctx context.Context) (events.Position, error) {
	ctx, cancel := context.WithTimeout(ctx, snapshotTimeout)
	defer cancel()
	c, ping, err := s.Connect(ctx)
	if err != nil {
		return 0, err
	}
	status, err := c.Status(ctx)
	if err != nil {
		return 0, err
	}
	id, err := s.Producer(c, ping.Host).RequestHardwareSnapshot(ctx)
	if err != nil {
		return 0, err
	}
	for r, err := range Facts(ctx, c, client.StreamOptions{After: status.Head, Kind: string(events.KindHardwareSnapshot), Follow: true}) {
		if err != nil {
			return 0, err
		}
		if r.Causation == id {
			return r.Position, c.WaitProjected(ctx, r.Position)
		}
	}
	return 0, &events.Error{
		Op: "app.RecordHardware", Kind: events.ErrUnavailable, Subject: "hardware snapshot", Err: errors.New("the daemon did not record one in " + snapshotTimeout.String()),
		Hint: "see: cortex status",
	}
}

// PackageAdvice is a recommended package with its state on this machine.
type PackageAdvice struct {
	hardware.Recommendation
	Installed bool   `json:"installed"`
	Offered   string `json:"offered"` // yes, no, unknown
}

// Installable reports whether the package can be installed and suits the hardware with
// some certainty.
func (p PackageAdvice) Installable() bool {
	return !p.Installed && p.Offered == "yes" && p.Confidence != events.ConfidenceGuess
}

// HardwareAdvice lists the packages that suit this hardware. Its JSON form is 'cortex hardware recommend
// --json'.
type HardwareAdvice struct {
	Version         int             `json:"version"`
	Recommendations []PackageAdvice `json:"recommendations"`
	Withheld        string          `json:"withheld,omitempty"` // why nothing is recommended
	Catalogues      []string        `json:"catalogues"`         // files that were read
	Unread          []string        `json:"unread"`             // files that could not be read, and why
}

// RecommendPackages recommends packages that suit this hardware; with onlyMissing those
// that are not installed.
func (s *Service) RecommendPackages(ctx context.Context, onlyMissing bool) (HardwareAdvice, error) {
	collector := adapters.HardwareCollector(s.Settings)
	r, err := collector.Collect(ctx)
	if err != nil {
		return HardwareAdvice{}, err
	}
	catalog := collector.ModaliasCatalog()
	list, withheld := hardware.Recommend(r.Facts, collector.Modaliases(), catalog)
	advice := HardwareAdvice{
		Version: 1, Recommendations: []PackageAdvice{}, Withheld: withheld,
		Catalogues: append([]string{}, catalog.FilesRead...), Unread: append([]string{}, catalog.FilesUnread...),
	}
	for _, p := range s.packageAdvice(ctx, list) {
		if !onlyMissing || !p.Installed {
			advice.Recommendations = append(advice.Recommendations, p)
		}
	}
	return advice, nil
}

// packageAdvice adds what apt knows of the packages. If apt cannot be asked, a note says so
// and the state stays unknown.
func (s *Service) packageAdvice(ctx context.Context, list []hardware.Recommendation) []PackageAdvice {
	machine := apt.New(apt.Config{Root: s.Settings.Root})
	var names []events.PackageName
	for _, r := range list {
		names = append(names, r.Package)
	}
	inv, err := machine.Inventory(ctx)
	if err != nil {
		s.Note("note: cannot read which packages are installed: " + err.Error())
	}
	offered, offeredErr := machine.OfferedVersions(ctx, names)
	if offeredErr != nil {
		s.Note("note: cannot read which packages the sources offer: " + offeredErr.Error())
	}
	installed, available := map[events.PackageName]bool{}, map[events.PackageName]bool{}
	for k, state := range inv {
		installed[k.Name] = installed[k.Name] || state.Installed()
	}
	for k, versions := range offered {
		available[k.Name] = available[k.Name] || len(versions) > 0
	}
	var out []PackageAdvice
	for _, r := range list {
		p := PackageAdvice{Recommendation: r, Installed: installed[r.Package], Offered: "no"}
		switch {
		case offeredErr != nil || machine.ListsEmpty():
			p.Offered = "unknown"
		case available[r.Package]:
			p.Offered = "yes"
		}
		out = append(out, p)
	}
	return out
}
