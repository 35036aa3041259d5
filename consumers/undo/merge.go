package undo

import (
	"context"
	"slices"

	"cortex/events"
)

// MergedEffects is the merged effects of the transactions that an undo, redo or
// rollback reverts.
type MergedEffects struct {
	events.Effects                            // for each element the oldest before and the newest after
	Transactions   []*events.Transaction      // the transactions to mark as undone, in the order of the log
	HasSnapshot    bool                       // a snapshot was taken before each of them
	Last           events.Position            // of the newest effect
	PackageGaps    map[events.PackageKey]bool // packages that another transaction changed in between
	FileGaps       map[string]bool            // the same for files
	UnknownKinds   []events.UnknownEvent      // of a kind or version that is not known here and that an undo may need: the undo is not possible
	UnknownFields  []events.UnknownEvent      // with a field that is not known here: the undo is not exact
}

// Target returns the first transaction, for messages.
func (s MergedEffects) Target() *events.Transaction {
	if len(s.Transactions) == 0 {
		return &events.Transaction{}
	}
	return s.Transactions[0]
}

// MergeEffects reads and merges the effects that the intent reverts: those of the named
// transactions and of failed attempts to undo them; for a rollback, everything after
// a position.
func MergeEffects(ctx context.Context, log events.Log, in events.Intent) (MergedEffects, error) {
	return (&effectsReader{log: log, chosen: map[events.TransactionID]*events.Transaction{}}).readIntent(ctx, in)
}

func (s *effectsReader) readIntent(ctx context.Context, in events.Intent) (MergedEffects, error) {
	if in.Verb == events.VerbRollback {
		if err := s.addUnknownAfter(ctx, in.RollbackTo); err != nil {
			return MergedEffects{}, err
		}
		return s.readEffects(ctx, in.RollbackTo, true)
	}
	for _, id := range append([]events.TransactionID{in.Target}, in.AlsoUndo...) {
		t, err := events.LoadTransaction(ctx, s.log, id)
		if err != nil {
			return MergedEffects{}, err
		}
		s.chosen[id] = t
		s.named = append(s.named, t)
		s.addUnknown(t)
	}
	if err := s.addFailedUndos(ctx); err != nil {
		return MergedEffects{}, err
	}
	return s.readEffects(ctx, 0, false)
}

// MergeEffectsBefore is [MergeEffects] with the effects before a position only.
func MergeEffectsBefore(ctx context.Context, log events.Log, in events.Intent, until events.Position) (MergedEffects, error) {
	s := &effectsReader{log: log, chosen: map[events.TransactionID]*events.Transaction{}, until: until}
	return s.readIntent(ctx, in)
}

type effectsReader struct {
	log   events.Log
	until events.Position // 0: no end

	unknownKinds, unknownFields []events.UnknownEvent
	named                       []*events.Transaction
	chosen                      map[events.TransactionID]*events.Transaction
}

// addFailedUndos adds the undos of the named transactions that failed or were
// interrupted.
func (s *effectsReader) addFailedUndos(ctx context.Context) error {
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
			s.addUnknown(t)
		}
	}
	return nil
}

// addUnknown takes note of the transaction's events that are not understood.
func (s *effectsReader) addUnknown(t *events.Transaction) {
	for _, u := range t.UnknownKinds {
		if events.UndoMayNeed(u.Kind) {
			s.unknownKinds = append(s.unknownKinds, u)
		}
	}
	s.unknownFields = append(s.unknownFields, t.UnknownFields...)
}

// addUnknownAfter takes note of all events after a position that are not understood,
// those outside transactions included.
func (s *effectsReader) addUnknownAfter(ctx context.Context, after events.Position) error {
	for r, err := range s.log.Read(ctx, events.Query{After: after}) {
		if err != nil {
			return err
		}
		if s.until != 0 && r.Position >= s.until {
			return nil
		}
		if u, ok := events.UndoBlocker(r); ok {
			s.unknownKinds = append(s.unknownKinds, u)
			continue
		}
		if !events.UndoMayNeed(r.Kind) {
			continue
		}
		if field := events.UnknownField(r.Event); field != "" {
			s.unknownFields = append(s.unknownFields, events.UnknownEvent{Position: r.Position, Kind: r.Kind, Field: field, CortexVersion: r.CortexVersion})
		}
	}
	return nil
}

// undoes reports whether t reverts one of the named transactions.
func (s *effectsReader) undoes(t *events.Transaction) bool {
	return slices.ContainsFunc(s.named, func(n *events.Transaction) bool {
		return t.Intent.Target == n.ID || slices.Contains(t.Plan.Undoes, n.ID)
	})
}

// readEffects merges the effects of the chosen transactions, or of everything.
func (s *effectsReader) readEffects(ctx context.Context, after events.Position, all bool) (MergedEffects, error) {
	q := events.Query{After: after}
	for _, kind := range events.InventoryKinds {
		if kind != events.KindBaselineRecorded {
			q.Filters = append(q.Filters, events.KindFilter(s.log.Host(), kind))
		}
	}
	m := effectsMerge{hasSnapshot: true}
	var order []*events.Transaction
	for r, err := range s.log.Read(ctx, q) {
		if err != nil {
			return MergedEffects{}, err
		}
		t := s.chosen[r.Transaction]
		if t == nil && !all || s.until != 0 && r.Position >= s.until {
			continue
		}
		f, err := events.Decode(r.Event)
		if err != nil {
			return MergedEffects{}, err
		}
		if t == nil && r.Transaction != "" {
			if t, err = events.LoadTransaction(ctx, s.log, r.Transaction); err != nil {
				return MergedEffects{}, err
			}
		}
		m.add(r.Position, events.EffectsOf(f), hasSnapshot(f, t))
		if t != nil && all {
			undone, err := events.IsUndone(ctx, s.log, t)
			if err != nil {
				return MergedEffects{}, err
			}
			if !undone {
				order = append(order, t)
			}
		}
	}
	out := m.result()
	if out.Transactions = s.named; all {
		out.Transactions = order
	}
	out.UnknownKinds, out.UnknownFields = s.unknownKinds, s.unknownFields
	return out, nil
}

// hasSnapshot reports whether there is a snapshot from before the effects.
func hasSnapshot(f events.Fact, t *events.Transaction) bool {
	if o, ok := f.(*events.Observed); ok {
		return o.Snapshot != ""
	}
	return t != nil && (len(t.Snapshots) > 0 || !changesPackages(t.Plan))
}

// changesPackages reports whether a plan does more than set marks and holds.
func changesPackages(p events.Plan) bool {
	return slices.ContainsFunc(p.Steps, func(s events.Step) bool {
		switch s.Op {
		case events.OpInstall, events.OpRemove, events.OpPurge, events.OpUpgrade, events.OpPurgeLeftovers, events.OpRestore:
			return true
		case events.OpHold, events.OpUnhold, events.OpMarkAuto, events.OpMarkManual:
		}
		return false
	})
}

// effectsMerge merges effects, the oldest first.
type effectsMerge struct {
	packages    orderedMap[events.PackageKey, events.PackageChange]
	files       orderedMap[string, events.FileChange]
	settings    orderedMap[settingKey, events.SettingChange]
	packageGaps map[events.PackageKey]bool
	fileGaps    map[string]bool
	hasSnapshot bool
	last        events.Position
}

type settingKey struct {
	kind events.SettingKind
	name string
}

// orderedMap is a map with its keys in the order of insertion.
type orderedMap[K comparable, V any] struct {
	keys   []K
	values map[K]V
}

func (o *orderedMap[K, V]) set(k K, v V) {
	if o.values == nil {
		o.values = map[K]V{}
	}
	if _, ok := o.values[k]; !ok {
		o.keys = append(o.keys, k)
	}
	o.values[k] = v
}

func (m *effectsMerge) add(p events.Position, e events.Effects, captured bool) {
	if m.packageGaps == nil {
		m.packageGaps, m.fileGaps = map[events.PackageKey]bool{}, map[string]bool{}
	}
	if e.Empty() {
		return
	}
	m.hasSnapshot, m.last = m.hasSnapshot && captured, p
	for _, c := range e.Changes {
		if old, ok := m.packages.values[c.PackageKey]; ok {
			m.packageGaps[c.PackageKey] = m.packageGaps[c.PackageKey] || withoutMarks(old.After) != withoutMarks(c.Before)
			c.Before = old.Before
		}
		m.packages.set(c.PackageKey, c)
	}
	for _, c := range e.Files {
		if old, ok := m.files.values[c.Path]; ok {
			m.fileGaps[c.Path] = m.fileGaps[c.Path] || old.After != c.Before
			c.Before = old.Before
		}
		m.files.set(c.Path, c)
	}
	for _, c := range e.Settings {
		k := settingKey{c.Kind, c.Name}
		if old, ok := m.settings.values[k]; ok {
			c.Before = old.Before
		}
		m.settings.set(k, c)
	}
}

func (m *effectsMerge) result() MergedEffects {
	s := MergedEffects{HasSnapshot: m.hasSnapshot, Last: m.last, PackageGaps: m.packageGaps, FileGaps: m.fileGaps}
	for _, k := range m.packages.keys {
		if c := m.packages.values[k]; c.Before != c.After {
			s.Changes = append(s.Changes, c)
		}
	}
	for _, k := range m.files.keys {
		if c := m.files.values[k]; c.Before != c.After {
			s.Files = append(s.Files, c)
		}
	}
	for _, k := range m.settings.keys {
		if c := m.settings.values[k]; c.Before != c.After {
			s.Settings = append(s.Settings, c)
		}
	}
	return s
}
