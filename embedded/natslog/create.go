package natslog

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"cortex/events"
)

// clearUnfinishedStore removes the remains of an interrupted creation, so that it can
// start again. No event in it was acknowledged. When there is more than the first event,
// the manifest is wrong, and clearUnfinishedStore removes nothing and returns an error.
func clearUnfinishedStore(cfg Config) error {
	if !cfg.Create {
		return noStoreError(cfg.Dir)
	}
	blocks, err := factBlocks(cfg)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, b := range blocks {
		if b.FirstSeq > 1 || len(blocks) > 1 || b.Size > 16<<10 {
			return corruptError(manifestPath(cfg.Dir), errors.New("the manifest marks the store as unfinished, but there is a log with events"))
		}
	}
	if err := os.RemoveAll(cfg.logDir()); err != nil {
		return &events.Error{Op: "natslog.Open", Kind: events.ErrUnavailable, Subject: cfg.logDir(), Err: err}
	}
	return nil
}

// createStore creates a store in an empty directory. It first writes a manifest that
// is marked as unfinished. It removes the mark when the first fact is durable.
func createStore(ctx context.Context, cfg Config) (*Broker, error) {
	fail := func(err error) (*Broker, error) {
		return nil, &events.Error{Op: "natslog.create", Kind: kindOf(err), Subject: cfg.Dir, Err: err}
	}
	m := manifest{Format: manifestFormat, Creating: true, Host: cfg.Host, MaxBytes: cfg.MaxBytes}
	if m.Host == "" {
		m.Host = events.HostID(cfg.NewID())
	}
	if err := checkFreeSpace(cfg); err != nil {
		return nil, err
	}
	if err := writeManifest(cfg.Dir, m, true); err != nil {
		return fail(err)
	}
	if err := os.MkdirAll(cfg.logDir(), 0o700); err != nil {
		return fail(err)
	}
	e, err := startEngine(ctx, cfg, m.Host, m.MaxBytes)
	if err != nil {
		return nil, err
	}
	if m.Streams, err = e.createStreams(ctx, m.MaxBytes); err != nil {
		e.stop()
		return fail(err)
	}
	b := newBroker(cfg, e, m, events.Link{})
	if err := b.appendFirstFact(ctx, m); err != nil {
		b.abandon()
		return fail(err)
	}
	return b, nil
}

// appendFirstFact appends the first fact and marks the store as created.
func (b *Broker) appendFirstFact(ctx context.Context, m manifest) error {
	first, err := events.NewFactEvent(events.Event{
		ID: b.cfg.NewID(), Host: m.Host, Subject: events.LogSubject(m.Host), Time: b.cfg.Now(),
		Actor: events.Actor{UID: os.Getuid(), Program: "cortexd", PID: os.Getpid()}, CortexVersion: b.cfg.Build,
	}, &events.LogOpened{Host: m.Host, Machine: b.cfg.Machine, Build: b.cfg.Build})
	if err != nil {
		return err
	}
	if _, err := b.log.Append(ctx, first, events.NoExpectation); err != nil {
		return err
	}
	if b.engine.cluster == nil {
		if err := b.cfg.files.Sync(); err != nil {
			return err
		}
	}
	return b.manifestWriter.markCreated()
}
