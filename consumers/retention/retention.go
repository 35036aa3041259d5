// Package retention manages the store of blobs: it removes contents that no undoable
// transaction needs, and fetches the package files of installed packages while
// sources still offer them.
//
// It promises that it removes nothing that an undoable transaction needs, unless it is
// asked to forget everything before a time. Then it records which transactions can no
// longer be undone exactly.
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

// gracePeriod protects new contents, which no recorded event may name yet.
const gracePeriod = time.Hour

// PackageSource reads what is installed and fetches package files; apt.Machine
// implements it.
type PackageSource interface {
	Inventory(ctx context.Context) (events.Inventory, error)
	OfferedVersions(ctx context.Context, names []events.PackageName) (map[events.PackageKey][]events.Version, error)
	FetchDeb(ctx context.Context, k events.PackageKey, v events.Version, keep func(path string) error) error
}

// GarbageCollector manages one store. It is safe for concurrent use.
type GarbageCollector struct {
	recorder *recorder.Recorder
	blobs    *blobstore.Blobs
	machine  PackageSource
}

// New returns a garbage collector.
func New(s *recorder.Recorder, v *blobstore.Blobs, m PackageSource) *GarbageCollector {
	return &GarbageCollector{s, v, m}
}

// retained is the set of contents to keep.
type retained struct {
	contents  map[events.Digest]bool
	versions  map[string]bool        // names of package files, see blobstore.DebFileName
	forgotten []events.TransactionID // transactions that lose their contents
}

// Collect removes the contents that no transaction needs. Transactions that ended
// before forget lose the contents that only they need; the zero time forgets none. It
// records the result if it removed anything.
func (c *GarbageCollector) Collect(ctx context.Context, forget time.Time) (*events.GarbageCollected, error) {
	n, err := c.computeRetained(ctx, forget)
	if err != nil {
		return nil, err
	}
	debs, err := c.retainedDebs(n)
	if err != nil {
		return nil, err
	}
	removed, err := c.blobs.Collect(func(i blobstore.Blob) bool { return n.contents[i.Digest] || debs[i.Digest] }, c.recorder.Now().Add(-gracePeriod))
	if err != nil {
		return nil, err
	}
	fact := &events.GarbageCollected{ContentsRemoved: len(removed), NoLongerUndoable: n.forgotten}
	for _, d := range removed {
		fact.BytesFreed += d.Size
	}
	if len(removed) == 0 {
		return fact, nil
	}
	_, err = c.recorder.Append(ctx, recorder.Cause{}, events.MachineSubject(c.recorder.Log.Host()), fact, events.NoExpectation)
	return fact, err
}

// retainedDebs returns the contents of the package files to keep.
func (c *GarbageCollector) retainedDebs(n retained) (map[events.Digest]bool, error) {
	out := map[events.Digest]bool{}
	items, err := c.blobs.List()
	if err != nil {
		return nil, err // without the list, Collect would remove every package file
	}
	for _, i := range items {
		for _, name := range i.Debs {
			if n.versions[name] {
				out[i.Digest] = true
			}
		}
	}
	return out, nil
}

// computeRetained computes the set of contents to keep from the log and the inventory.
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

// transactions loads every transaction of the log.
func (c *GarbageCollector) transactions(ctx context.Context) ([]*events.Transaction, error) {
	var out []*events.Transaction
	byID := map[events.TransactionID]*events.Transaction{}
	for r, err := range c.recorder.Log.Read(ctx, events.Query{}) {
		if err != nil {
			return nil, fmt.Errorf("read transactions: %w", err)
		}
		if u, ok := events.UndoBlocker(r); ok {
			return nil, u.Error("", "removing stored content")
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

// retainRunning keeps everything that an unfinished transaction names.
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

// retainUndoable keeps both sides of every change: an undo needs the state before, a
// redo the state after.
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

// FetchAttempt is one attempt to fetch a package file.
type FetchAttempt struct {
	events.PackageKey
	Version   events.Version
	Err       error
	Remaining int // number of package files that are left
}

// PrefetchDebs fetches the package files of installed packages that a source still
// offers, one at a time. Before each it calls pace, which may be nil. It ends when ctx
// ends or the store holds more than budget bytes. report receives every attempt.
func (c *GarbageCollector) PrefetchDebs(ctx context.Context, budget int64, pace func(context.Context) error, report func(FetchAttempt)) error {
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
		report(FetchAttempt{p.PackageKey, p.Version, err, len(missing) - i - 1})
	}
	return nil
}

// missingDebs lists the installed packages whose package file is offered and not in the
// store.
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
