package undoer

import (
	"context"
	"slices"

	"cortex/events"
)

// Selection is what an undo, redo or rollback takes back: the merged effects of
// some facts of the log.
type Selection struct {
	events.Effects                            // for each element the oldest before and the newest after
	Transactions   []*events.Transaction      // whose effects these are, and are to be called undone; in the order of the log
	Captured       bool                       // an image was taken before each of them
	Last           events.Position            // of the newest effect
	Packages       map[events.PackageKey]bool // changed by somebody else in between
	Paths          map[string]bool            // the same for files
}

// Target is the first transaction, for messages.
func (s Selection) Target() *events.Transaction {
	if len(s.Transactions) == 0 {
		return &events.Transaction{}
	}
	return s.Transactions[0]
}

// Select reads what the intent takes back: the named transactions, and what
// earlier tries to undo them left half-done; for a rollback everything after a
// position.
func Select(ctx context.Context, log events.Log, in events.Intent) (Selection, error) {
	return (&selector{log: log, chosen: map[events.TransactionID]*events.Transaction{}}).selected(ctx, in)
}

func (s *selector) selected(ctx context.Context, in events.Intent) (Selection, error) {
	if in.Verb == events.VerbRollback {
		return s.read(ctx, in.After, true)
	}
	for _, id := range append([]events.TransactionID{in.Target}, in.Also...) {
		t, err := events.LoadTransaction(ctx, s.log, id)
		if err != nil {
			return Selection{}, err
		}
		s.chosen[id] = t
		s.named = append(s.named, t)
	}
	if err := s.tries(ctx); err != nil {
		return Selection{}, err
	}
	return s.read(ctx, 0, false)
}

// SelectBefore is [Select] as it was before a position.
func SelectBefore(ctx context.Context, log events.Log, in events.Intent, until events.Position) (Selection, error) {
	s := &selector{log: log, chosen: map[events.TransactionID]*events.Transaction{}, until: until}
	return s.selected(ctx, in)
}

type selector struct {
	log    events.Log
	until  events.Position // 0: no end
	named  []*events.Transaction
	chosen map[events.TransactionID]*events.Transaction
}

// tries adds the undos of the named transactions that did not get there.
func (s *selector) tries(ctx context.Context) error {
	q := events.Query{}
	for _, v := range []events.Verb{events.VerbUndo, events.VerbRedo, events.VerbRollback} {
		q.Filters = append(q.Filters, events.KindFilter(s.log.Host(), events.RequestedKind(v)))
	}
	for r, err := range s.log.Read(ctx, q) {
		if err != nil {
			return err
		}
		if s.chosen[r.Transaction] != nil {
			continue
		}
		t, err := events.LoadTransaction(ctx, s.log, r.Transaction)
		if err != nil {
			return err
		}
		if (t.State == events.StateFailed || t.State == events.StateInterrupted) && t.CompensatedBy == "" && s.undoes(t) {
			s.chosen[t.ID] = t
		}
	}
	return nil
}

// undoes reports whether t takes back one of the named transactions.
func (s *selector) undoes(t *events.Transaction) bool {
	return slices.ContainsFunc(s.named, func(n *events.Transaction) bool {
		return t.Intent.Target == n.ID || slices.Contains(t.Plan.Undoes, n.ID)
	})
}

// read merges the effects of the chosen transactions, or of everything.
func (s *selector) read(ctx context.Context, after events.Position, all bool) (Selection, error) {
	q := events.Query{After: after}
	for _, kind := range events.InventoryKinds {
		if kind != events.KindAdopted {
			q.Filters = append(q.Filters, events.KindFilter(s.log.Host(), kind))
		}
	}
	m := merge{captured: true}
	var order []*events.Transaction
	for r, err := range s.log.Read(ctx, q) {
		if err != nil {
			return Selection{}, err
		}
		t := s.chosen[r.Transaction]
		if t == nil && !all || s.until != 0 && r.Position >= s.until {
			continue
		}
		f, err := events.Decode(r.Event)
		if err != nil {
			return Selection{}, err
		}
		if t == nil && r.Transaction != "" {
			if t, err = events.LoadTransaction(ctx, s.log, r.Transaction); err != nil {
				return Selection{}, err
			}
		}
		m.add(r.Position, events.EffectsOf(f), captured(f, t))
		if t != nil && all {
			undone, err := events.Undone(ctx, s.log, t)
			if err != nil {
				return Selection{}, err
			}
			if !undone {
				order = append(order, t)
			}
		}
	}
	out := m.selection()
	if out.Transactions = s.named; all {
		out.Transactions = order
	}
	return out, nil
}

// captured reports whether there is an image from before the effects.
func captured(f events.Fact, t *events.Transaction) bool {
	if o, ok := f.(*events.Observed); ok {
		return o.Image != ""
	}
	return t != nil && (len(t.Prepared) > 0 || !changesPackages(t.Plan))
}

// changesPackages reports whether a plan does more than set marks and holds.
func changesPackages(p events.Plan) bool {
	return slices.ContainsFunc(p.Steps, func(s events.Step) bool {
		switch s.Op {
		case events.OpInstall, events.OpRemove, events.OpPurge, events.OpUpgrade, events.OpForget, events.OpRestore:
			return true
		case events.OpHold, events.OpUnhold, events.OpAuto, events.OpManual:
		}
		return false
	})
}

// merge folds effects, the oldest first.
type merge struct {
	packages ordered[events.PackageKey, events.PackageChange]
	files    ordered[string, events.FileChange]
	settings ordered[setting, events.SettingChange]
	gaps     map[events.PackageKey]bool
	paths    map[string]bool
	captured bool
	last     events.Position
}

type setting struct {
	kind events.SettingKind
	name string
}

// ordered is a map that remembers in which order its keys came.
type ordered[K comparable, V any] struct {
	keys []K
	at   map[K]V
}

func (o *ordered[K, V]) set(k K, v V) {
	if o.at == nil {
		o.at = map[K]V{}
	}
	if _, ok := o.at[k]; !ok {
		o.keys = append(o.keys, k)
	}
	o.at[k] = v
}

func (m *merge) add(p events.Position, e events.Effects, captured bool) {
	if m.gaps == nil {
		m.gaps, m.paths = map[events.PackageKey]bool{}, map[string]bool{}
	}
	if e.Empty() {
		return
	}
	m.captured, m.last = m.captured && captured, p
	for _, c := range e.Changes {
		if old, ok := m.packages.at[c.PackageKey]; ok {
			m.gaps[c.PackageKey] = m.gaps[c.PackageKey] || body(old.After) != body(c.Before)
			c.Before = old.Before
		}
		m.packages.set(c.PackageKey, c)
	}
	for _, c := range e.Files {
		if old, ok := m.files.at[c.Path]; ok {
			m.paths[c.Path] = m.paths[c.Path] || old.After != c.Before
			c.Before = old.Before
		}
		m.files.set(c.Path, c)
	}
	for _, c := range e.Settings {
		k := setting{c.Kind, c.Name}
		if old, ok := m.settings.at[k]; ok {
			c.Before = old.Before
		}
		m.settings.set(k, c)
	}
}

func (m *merge) selection() Selection {
	s := Selection{Captured: m.captured, Last: m.last, Packages: m.gaps, Paths: m.paths}
	for _, k := range m.packages.keys {
		if c := m.packages.at[k]; c.Before != c.After {
			s.Changes = append(s.Changes, c)
		}
	}
	for _, k := range m.files.keys {
		if c := m.files.at[k]; c.Before != c.After {
			s.Files = append(s.Files, c)
		}
	}
	for _, k := range m.settings.keys {
		if c := m.settings.at[k]; c.Before != c.After {
			s.Settings = append(s.Settings, c)
		}
	}
	return s
}
