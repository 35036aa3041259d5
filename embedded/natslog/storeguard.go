package natslog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"cortex/embedded/natslog/filestore"
	"cortex/events"
)

// corruptError is the refusal of a store that is not as it was written.
func corruptError(subject string, err error) error {
	return &events.Error{
		Op: "natslog.Open", Kind: events.ErrCorrupt, Subject: subject, Err: err,
		Hint: "nothing was changed; keep a copy of the state directory, then restore it from a backup",
	}
}

// fileError is [corruptError] for an error of package filestore, which names the file.
func fileError(err error) error {
	var e *filestore.Error
	if errors.As(err, &e) {
		return corruptError(e.Path, e.Err)
	}
	return err
}

// openFiles checks that the format of the server's files is known. With a cluster
// there are none.
func (c *Config) openFiles() (err error) {
	if c.Cluster != nil {
		return nil
	}
	if c.files, err = filestore.Open(c.logDir(), c.serverVersion); err != nil {
		return &events.Error{
			Op: "natslog.openFiles", Kind: events.ErrInternal, Subject: c.logDir(), Err: err,
			Hint: "nothing was changed; install a build of cortex with one of the tested versions",
		}
	}
	return nil
}

// factBlocks returns the blocks of the facts stream, oldest first.
func factBlocks(cfg Config) ([]filestore.Block, error) {
	blocks, err := cfg.files.Stream(FactsStream).Blocks()
	if err != nil {
		return nil, fileError(err)
	}
	return blocks, nil
}

// inspectDir decides what lies in the directory: a store (its manifest), or nothing
// yet (nil) when it may be made.
func inspectDir(cfg Config) (*manifest, error) {
	m, err := readManifest(cfg.Dir)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(cfg.logDir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, &events.Error{Op: "natslog.Open", Kind: events.ErrUnavailable, Subject: cfg.logDir(), Err: err}
	}
	present := len(entries) > 0
	switch {
	case m == nil && present:
		return nil, corruptError(manifestPath(cfg.Dir), errors.New("it is missing, but there is a log"))
	case m != nil && m.Cluster != (cfg.Cluster != nil):
		return nil, wrongLocationError(cfg, *m)
	case m == nil && !cfg.Create:
		return nil, noStoreError(cfg.Dir)
	case m == nil:
		return nil, nil //nolint:nilnil // nothing there, to be made
	case m.Creating && cfg.Cluster == nil:
		return nil, clearUnfinishedStore(cfg)
	case !present && cfg.Cluster == nil:
		return nil, corruptError(cfg.logDir(), errors.New("the log is missing"))
	}
	if cfg.Host != "" && cfg.Host != m.Host {
		return nil, corruptError(manifestPath(cfg.Dir), fmt.Errorf("it is of host %s, not of %s", m.Host, cfg.Host))
	}
	return m, nil
}

// clearUnfinishedStore clears what a creation that was cut off has left, so that it can begin
// again. Nobody was told of any event in it; were there more than the first, it
// would not be what the manifest says, and stays.
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
			return corruptError(manifestPath(cfg.Dir), errors.New("it says that the store is being created, but there is a log with events"))
		}
	}
	if err := os.RemoveAll(cfg.logDir()); err != nil {
		return &events.Error{Op: "natslog.Open", Kind: events.ErrUnavailable, Subject: cfg.logDir(), Err: err}
	}
	return nil
}

// createStore makes a store where there is none. The manifest says so first, and says
// that it is done only when the first fact is durable.
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

// appendFirstFact appends the first fact and declares the store made.
func (b *Broker) appendFirstFact(ctx context.Context, m manifest) error {
	first, err := events.NewFactEvent(events.Event{
		ID: b.cfg.NewID(), Host: m.Host, Subject: events.LogSubject(m.Host), Time: b.cfg.Now(),
		Actor: events.Actor{UID: os.Getuid(), Program: "cortexd", PID: os.Getpid()},
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

// checkDescription compares a stream's description with the manifest before the
// server reads it. The server ignores a stream whose description it cannot read, and
// then the stream could be created again.
func checkDescription(cfg Config, m manifest, name string) error {
	stream := cfg.files.Stream(name)
	created, err := stream.Created()
	if err != nil {
		return fileError(err)
	}
	if want := m.Streams[name]; !created.Equal(want) {
		return corruptError(stream.DescriptionPath(), fmt.Errorf("the stream was created %s, the manifest names one created %s", created.Format(time.RFC3339Nano), want.Format(time.RFC3339Nano)))
	}
	return nil
}

// checkStreams compares what the server opened with what must be there.
func checkStreams(ctx context.Context, e *engine, m manifest, head events.Link) error {
	for _, want := range e.streamConfigs(m.MaxBytes) {
		var s jetstream.Stream
		err := e.withRetry(ctx, func() (err error) {
			s, err = e.js.Stream(ctx, want.Name)
			return err
		})
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return corruptError(want.Name, errors.New("the server cannot open the stream"))
		}
		if err != nil {
			return &events.Error{Op: "natslog.checkStreams", Kind: events.ErrUnavailable, Subject: want.Name, Err: err}
		}
		info := s.CachedInfo()
		if !e.sameConfig(want, info.Config) {
			return corruptError(want.Name, errors.New("the stream's configuration was changed"))
		}
		if !info.Created.Equal(m.Streams[e.localStreamName(want.Name)]) {
			return corruptError(want.Name, errors.New("it is not the stream that the manifest knows"))
		}
		if e.localStreamName(want.Name) == FactsStream {
			if err := checkState(info.State, head); err != nil {
				return err
			}
		}
		e.setStream(s, want.Name)
	}
	return nil
}

// checkState makes sure that the server sees what we saw in the files; with a head
// of nothing, that it has everything that there ever was.
func checkState(s jetstream.StreamState, head events.Link) error {
	switch {
	case head.Position == 0 && s.LastSeq == 0:
		return nil // the manifest knows whether there must be one
	case s.FirstSeq != 1:
		return corruptError(FactsStream, fmt.Errorf("it begins at event %d", s.FirstSeq))
	case s.NumDeleted > 0 || s.Msgs != s.LastSeq:
		return corruptError(FactsStream, fmt.Errorf("%d of its %d events are missing", s.LastSeq-s.Msgs, s.LastSeq))
	case head.Position > 0 && events.Position(s.LastSeq) != head.Position:
		return corruptError(FactsStream, fmt.Errorf("the server sees %d events, the files hold %d", s.LastSeq, head.Position))
	}
	return nil
}
