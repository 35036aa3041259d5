package app

import (
	"context"
	"fmt"
	"time"

	"cortex/cmd/ids"
	"cortex/consumers/machine/apt"
	"cortex/consumers/machine/blobstore"
	"cortex/consumers/recorder"
	"cortex/consumers/retention"
	"cortex/events"
)

// StoreUsage says how much the store holds. Its JSON form is 'cortex store status --json'.
type StoreUsage struct {
	Version  int        `json:"version"`
	Debs     BlobsTotal `json:"package_files"`
	Contents BlobsTotal `json:"contents"`
	Secrets  BlobsTotal `json:"secrets"`
	Budget   int64      `json:"budget_b"`
}

// BlobsTotal counts contents of one kind.
type BlobsTotal struct {
	Number int   `json:"number"`
	Bytes  int64 `json:"bytes"`
}

// StoreUsage counts what the store holds.
func (s *Service) StoreUsage() (StoreUsage, error) {
	usage := StoreUsage{Version: 1, Budget: s.Settings.StoreBudget}
	blobs, err := blobstore.OpenExisting(s.Settings.BlobStoreDir())
	if err != nil {
		return usage, err
	}
	list, err := blobs.List()
	for _, b := range list {
		total := &usage.Contents
		switch {
		case b.Secret:
			total = &usage.Secrets
		case len(b.Debs) > 0:
			total = &usage.Debs
		}
		total.Number++
		total.Bytes += b.Size
	}
	return usage, err
}

// VerifyStore reads every stored content and compares it with its digest. It returns how
// many it checked and the problems.
func (s *Service) VerifyStore() (checked int, problems []string, err error) {
	blobs, err := blobstore.OpenExisting(s.Settings.BlobStoreDir())
	if err != nil {
		return 0, nil, err
	}
	return blobs.Verify()
}

// CollectGarbage removes stored contents that no undo needs. With a forget time it also
// removes what only transactions that ended before it need; then approved must be true.
func (s *Service) CollectGarbage(ctx context.Context, forget string, approved bool) (done events.GarbageCollected, err error) {
	at, err := ParseTime(forget)
	if err != nil {
		return done, err
	}
	if !at.IsZero() && !approved {
		return done, &events.Error{
			Op: "app.CollectGarbage", Kind: events.ErrConfirmation, Subject: "--forget " + forget,
			Err:  fmt.Errorf("transactions that ended before %s could not be undone exactly any more; nothing was removed", at.Local().Format("2006-01-02 15:04")),
			Hint: "to remove anyway, pass --yes",
		}
	}
	c, _, err := s.Connect(ctx)
	if err != nil {
		return done, err
	}
	return c.CollectGarbage(ctx, at)
}

// FetchedDeb is one attempt to fetch a package file.
type FetchedDeb = retention.FetchAttempt

// FetchDebs fetches the package files of installed packages that a source still offers, and
// calls progress after each. It needs root.
func (s *Service) FetchDebs(ctx context.Context, progress func(FetchedDeb)) (fetched, failed int, err error) {
	if err := s.RequireRoot("fetching package files into the store"); err != nil {
		return 0, 0, err
	}
	blobs, err := blobstore.Open(s.Settings.BlobStoreDir())
	if err != nil {
		return 0, 0, err
	}
	machine := apt.New(apt.Config{Root: s.Settings.Root, WorkDir: s.Settings.WorkDir()})
	c := retention.New(&recorder.Recorder{Now: time.Now, NewID: ids.New}, blobs, machine)
	err = c.PrefetchDebs(ctx, max(s.Settings.StoreBudget, 1), nil, func(f FetchedDeb) {
		if f.Err != nil {
			failed++
		} else {
			fetched++
		}
		progress(f)
	})
	return fetched, failed, err
}
