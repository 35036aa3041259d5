// Package custodian looks after the vault: it knows what undoable transactions
// need, drops what nothing needs, and fetches the package files of what is
// installed while they can still be had.
//
// It promises that nothing an undoable transaction needs is dropped, unless it was
// told to forget what lies before a time; then the transactions that cannot be
// undone exactly any more are named, on record.
package custodian

import (
	"context"
	"fmt"
	"slices"
	"time"

	"cortex/consumers/scribe"
	"cortex/consumers/vault"
	"cortex/events"
)

// grace protects what was put a moment ago and is not on record yet.
const grace = time.Hour

// Machine is what the custodian needs of apt and dpkg.
type Machine interface {
	Inventory(ctx context.Context) (events.Inventory, error)
	Offered(ctx context.Context, names []events.PackageName) (map[events.PackageKey][]events.Version, error)
	Fetch(ctx context.Context, k events.PackageKey, v events.Version, keep func(path string) error) error
}

// Custodian looks after one vault. It is safe for concurrent use.
type Custodian struct {
	scribe  *scribe.Scribe
	vault   *vault.Vault
	machine Machine
}

// New returns a custodian.
func New(s *scribe.Scribe, v *vault.Vault, m Machine) *Custodian { return &Custodian{s, v, m} }

// needs is what has to be kept, and for whom.
type needs struct {
	contents map[events.Digest]bool
	versions map[string]bool // NAME:ARCH=VERSION of package files
	forgets  []events.TransactionID
}

// Collect drops what nothing needs. Transactions that ended before forget lose
// what only they need; the zero time forgets none. What was done is on record
// when something was.
func (c *Custodian) Collect(ctx context.Context, forget time.Time) (*events.Collected, error) {
	n, err := c.needed(ctx, forget)
	if err != nil {
		return nil, err
	}
	kept := c.named(n)
	dropped, err := c.vault.Collect(func(i vault.Item) bool { return n.contents[i.Digest] || kept[i.Digest] }, c.scribe.Now().Add(-grace))
	if err != nil {
		return nil, err
	}
	fact := &events.Collected{Contents: len(dropped), Forgotten: n.forgets}
	for _, d := range dropped {
		fact.Bytes += d.Size
	}
	if len(dropped) == 0 {
		return fact, nil
	}
	_, err = c.scribe.Append(ctx, scribe.Cause{}, events.MachineSubject(c.scribe.Log.Host()), fact, events.Anything)
	return fact, err
}

// named gives the contents of the package files that are needed by version.
func (c *Custodian) named(n needs) map[events.Digest]bool {
	out := map[events.Digest]bool{}
	items, err := c.vault.Items()
	if err != nil {
		return out
	}
	for _, i := range items {
		for _, name := range i.Debs {
			if n.versions[name] {
				out[i.Digest] = true
			}
		}
	}
	return out
}

// needed folds the log.
func (c *Custodian) needed(ctx context.Context, forget time.Time) (needs, error) {
	n := needs{contents: map[events.Digest]bool{}, versions: map[string]bool{}}
	inv, err := c.machine.Inventory(ctx)
	if err != nil {
		return n, err
	}
	for k, s := range inv {
		n.versions[vault.DebName(k, s.Version)] = true
	}
	transactions, err := c.transactions(ctx)
	if err != nil {
		return n, err
	}
	for _, t := range transactions {
		switch {
		case !t.State.Ended():
			n.running(t)
		case !t.Undoable():
		case t.EndedAt.Before(forget):
			n.forgets = append(n.forgets, t.ID)
		default:
			n.undoable(t)
		}
	}
	return n, nil
}

// transactions loads every transaction that changed something or may yet.
func (c *Custodian) transactions(ctx context.Context) ([]*events.Transaction, error) {
	var out []*events.Transaction
	byID := map[events.TransactionID]*events.Transaction{}
	for r, err := range c.scribe.Log.Read(ctx, events.Query{}) {
		if err != nil {
			return nil, fmt.Errorf("read what is needed: %w", err)
		}
		if r.Transaction == "" || r.Subject != events.TransactionSubject(r.Transaction) {
			continue
		}
		t := byID[r.Transaction]
		if t == nil {
			t = &events.Transaction{}
			byID[r.Transaction] = t
			out = append(out, t)
		}
		if err := t.Apply(r); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// running keeps everything that a transaction on its way names.
func (n *needs) running(t *events.Transaction) {
	for _, p := range t.Prepared {
		n.contents[p.Image] = true
		for _, d := range p.Debs {
			n.contents[d.Digest] = true
		}
	}
	for _, s := range t.Plan.Steps {
		for _, target := range s.Targets {
			n.contents[target.Deb] = true
		}
	}
	n.files(t.Plan.Files())
}

// undoable keeps both sides of every change: an undo needs the one, a redo the
// other.
func (n *needs) undoable(t *events.Transaction) {
	n.files(t.Files)
	for _, c := range t.Changes {
		n.versions[vault.DebName(c.PackageKey, c.Before.Version)] = true
		n.versions[vault.DebName(c.PackageKey, c.After.Version)] = true
	}
	for _, s := range t.Settings {
		for _, v := range []string{s.Before, s.After} {
			if d, ok := events.SecretOf(v); ok {
				n.contents[d] = true
			}
		}
	}
}

func (n *needs) files(changes []events.FileChange) {
	for _, c := range changes {
		n.contents[c.Before.Digest] = true
		n.contents[c.After.Digest] = true
	}
}

// Fetched is one try to get a package file.
type Fetched struct {
	events.PackageKey
	Version events.Version
	Err     error
	Left    int // how many are still to be tried
}

// Fetch gets the package files of what is installed, one at a time, as far as
// some source offers them. Between two it waits for pace, which may be nil; it
// ends when ctx does or the vault holds more than budget bytes.
func (c *Custodian) Fetch(ctx context.Context, budget int64, pace func(context.Context) error, tell func(Fetched)) error {
	missing, err := c.missing(ctx)
	if err != nil {
		return err
	}
	for i, p := range missing {
		if pace != nil {
			if err := pace(ctx); err != nil {
				return err
			}
		}
		if size, err := c.size(); err != nil || size >= budget {
			return err
		}
		err := c.machine.Fetch(ctx, p.PackageKey, p.Version, func(path string) error {
			_, err := c.vault.KeepDeb(p.PackageKey, p.Version, path)
			return err
		})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		tell(Fetched{p.PackageKey, p.Version, err, len(missing) - i - 1})
	}
	return nil
}

// missing lists the installed packages whose file is not kept and is offered.
func (c *Custodian) missing(ctx context.Context) ([]events.Package, error) {
	inv, err := c.machine.Inventory(ctx)
	if err != nil {
		return nil, err
	}
	var without []events.Package
	var names []events.PackageName
	for _, p := range inv.Packages() {
		if _, ok := c.vault.Deb(p.PackageKey, p.Version); p.Installed() && !ok {
			without, names = append(without, p), append(names, p.Name)
		}
	}
	offered, err := c.machine.Offered(ctx, names)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(without, func(p events.Package) bool { return !slices.Contains(offered[p.PackageKey], p.Version) }), nil
}

func (c *Custodian) size() (int64, error) {
	items, err := c.vault.Items()
	var sum int64
	for _, i := range items {
		sum += i.Size
	}
	return sum, err
}
