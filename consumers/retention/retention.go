// Package retention looks after the vault: it knows what undoable transactions
// need, drops what nothing needs, and fetches the package files of what is
// installed while they can still be had.
//
// It promises that nothing an undoable transaction needs is dropped, unless it was
// told to forget what lies before a time; then the transactions that cannot be
// undone exactly any more are named, on record.
package retention

import (
	"context"
	"fmt"
	"slices"
	"time"

	"cortex/consumers/machine/blobstore"
	"cortex/consumers/recorder"
	"cortex/events"
)

// gracePeriod protects what was put a moment ago and is not on record yet.
const gracePeriod = time.Hour

// PackageSource reads what is installed and fetches package files; apt.Machine
// implements it.
type PackageSource interface {
	Inventory(ctx context.Context) (events.Inventory, error)
	OfferedVersions(ctx context.Context, names []events.PackageName) (map[events.PackageKey][]events.Version, error)
	FetchDeb(ctx context.Context, k events.PackageKey, v events.Version, keep func(path string) error) error
}

// GarbageCollector looks after one vault. It is safe for concurrent use.
type GarbageCollector struct {
	recorder *recorder.Recorder
	blobs    *blobstore.Blobs
	machine  PackageSource
}

// New returns a custodian.
func New(s *recorder.Recorder, v *blobstore.Blobs, m PackageSource) *GarbageCollector {
	return &GarbageCollector{s, v, m}
}

// retained is what has to be kept, and for whom.
type retained struct {
	contents  map[events.Digest]bool
	versions  map[string]bool // NAME:ARCH=VERSION of package files
	forgotten []events.TransactionID
}

// Collect drops what nothing needs. Transactions that ended before forget lose
// what only they need; the zero time forgets none. What was done is on record
// when something was.
func (c *GarbageCollector) Collect(ctx context.Context, forget time.Time) (*events.GarbageCollected, error) {
	n, err := c.computeRetained(ctx, forget)
	if err != nil {
		return nil, err
	}
	kept := c.retainedDebs(n)
	dropped, err := c.blobs.Collect(func(i blobstore.Blob) bool { return n.contents[i.Digest] || kept[i.Digest] }, c.recorder.Now().Add(-gracePeriod))
	if err != nil {
		return nil, err
	}
	fact := &events.GarbageCollected{ContentsRemoved: len(dropped), NoLongerUndoable: n.forgotten}
	for _, d := range dropped {
		fact.BytesFreed += d.Size
	}
	if len(dropped) == 0 {
		return fact, nil
	}
	_, err = c.recorder.Append(ctx, recorder.Cause{}, events.MachineSubject(c.recorder.Log.Host()), fact, events.NoExpectation)
	return fact, err
}

// retainedDebs gives the contents of the package files that are needed by version.
func (c *GarbageCollector) retainedDebs(n retained) map[events.Digest]bool {
	out := map[events.Digest]bool{}
	items, err := c.blobs.List()
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

// computeRetained folds the log.
func (c *GarbageCollector) computeRetained(ctx context.Context, forget time.Time) (retained, error) {
	n := retained{contents: map[events.Digest]bool{}, versions: map[string]bool{}}
	inv, err := c.machine.Inventory(ctx)
	if err != nil {
		return n, err
	}
	for k, s := range inv {
		n.versions[blobstore.DebFileName(k, s.Version)] = true
	}
	transactions, err := c.transactions(ctx)
	if err != nil {
		return n, err
	}
	for _, t := range transactions {
		switch {
		case !t.State.Ended():
			n.retainRunning(t)
		case !t.Undoable():
		case t.EndedAt.Before(forget):
			n.forgotten = append(n.forgotten, t.ID)
		default:
			n.retainUndoable(t)
		}
	}
	return n, nil
}

// transactions loads every transaction that changed something or may yet.
func (c *GarbageCollector) transactions(ctx context.Context) ([]*events.Transaction, error) {
	var out []*events.Transaction
	byID := map[events.TransactionID]*events.Transaction{}
	for r, err := range c.recorder.Log.Read(ctx, events.Query{}) {
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

// retainRunning keeps everything that a transaction on its way names.
func (n *retained) retainRunning(t *events.Transaction) {
	for _, p := range t.Snapshots {
		n.contents[p.Snapshot] = true
		for _, d := range p.Debs {
			n.contents[d.Digest] = true
		}
	}
	for _, s := range t.Plan.Steps {
		for _, target := range s.Targets {
			n.contents[target.Deb] = true
		}
	}
	n.retainFiles(t.Plan.Files())
}

// retainUndoable keeps both sides of every change: an undo needs the one, a redo the
// other.
func (n *retained) retainUndoable(t *events.Transaction) {
	n.retainFiles(t.Files)
	for _, c := range t.Changes {
		n.versions[blobstore.DebFileName(c.PackageKey, c.Before.Version)] = true
		n.versions[blobstore.DebFileName(c.PackageKey, c.After.Version)] = true
	}
	for _, s := range t.Settings {
		for _, v := range []string{s.Before, s.After} {
			if d, ok := events.SecretDigest(v); ok {
				n.contents[d] = true
			}
		}
	}
}

func (n *retained) retainFiles(changes []events.FileChange) {
	for _, c := range changes {
		n.contents[c.Before.Digest] = true
		n.contents[c.After.Digest] = true
	}
}

// FetchAttempt is one try to get a package file.
type FetchAttempt struct {
	events.PackageKey
	Version   events.Version
	Err       error
	Remaining int // how many are still to be tried
}

// PrefetchDebs gets the package files of what is installed, one at a time, as far as
// some source offers them. Between two it waits for pace, which may be nil; it
// ends when ctx does or the vault holds more than budget bytes.
func (c *GarbageCollector) PrefetchDebs(ctx context.Context, budget int64, pace func(context.Context) error, tell func(FetchAttempt)) error {
	missing, err := c.missingDebs(ctx)
	if err != nil {
		return err
	}
	for i, p := range missing {
		if pace != nil {
			if err := pace(ctx); err != nil {
				return err
			}
		}
		if size, err := c.storedBytes(); err != nil || size >= budget {
			return err
		}
		err := c.machine.FetchDeb(ctx, p.PackageKey, p.Version, func(path string) error {
			_, err := c.blobs.PutDeb(p.PackageKey, p.Version, path)
			return err
		})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		tell(FetchAttempt{p.PackageKey, p.Version, err, len(missing) - i - 1})
	}
	return nil
}

// missingDebs lists the installed packages whose file is not kept and is offered.
func (c *GarbageCollector) missingDebs(ctx context.Context) ([]events.Package, error) {
	inv, err := c.machine.Inventory(ctx)
	if err != nil {
		return nil, err
	}
	var without []events.Package
	var names []events.PackageName
	for _, p := range inv.Packages() {
		if _, ok := c.blobs.Deb(p.PackageKey, p.Version); p.Installed() && !ok {
			without, names = append(without, p), append(names, p.Name)
		}
	}
	offered, err := c.machine.OfferedVersions(ctx, names)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(without, func(p events.Package) bool { return !slices.Contains(offered[p.PackageKey], p.Version) }), nil
}

func (c *GarbageCollector) storedBytes() (int64, error) {
	items, err := c.blobs.List()
	var sum int64
	for _, i := range items {
		sum += i.Size
	}
	return sum, err
}
