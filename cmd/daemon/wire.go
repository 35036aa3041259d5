package daemon

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"golang.org/x/sync/errgroup"

	"cortex/cmd/api"
	"cortex/cmd/config"
	"cortex/cmd/ids"
	"cortex/cmd/readmodels"
	"cortex/consumers"
	"cortex/consumers/commands"
	"cortex/consumers/executor"
	"cortex/consumers/external"
	"cortex/consumers/hwsnapshot"
	"cortex/consumers/inventory"
	"cortex/consumers/limiter"
	"cortex/consumers/llm/ask"
	"cortex/consumers/machine/apt"
	"cortex/consumers/machine/blobstore"
	"cortex/consumers/machine/confstate"
	"cortex/consumers/planner"
	"cortex/consumers/projector"
	"cortex/consumers/recorder"
	"cortex/consumers/recovery"
	"cortex/consumers/retention"
	"cortex/consumers/treehead"
	"cortex/consumers/undo"
	"cortex/embedded/natslog"
	"cortex/embedded/sqlite"
	"cortex/events"
	"cortex/projections"
)

// server has all parts of the daemon except the API server.
type server struct {
	settings     config.Settings
	broker       *natslog.Broker
	readModels   []*projections.ReadModel
	projector    *projector.Projector
	router       *consumers.Router
	executor     *executor.Executor
	recovery     *recovery.Reconciler
	logger       *slog.Logger
	retention    *retention.GarbageCollector
	hwSnapshots  *hwsnapshot.Snapshotter
	asker        *ask.Asker
	llmProviders *llmProviders
	memoryWriter memoryWriter
	limiter      *limiter.Limiter
	treeHeads    *treehead.Signer
	startupNotes []string

	stopOnce sync.Once
	stopped  chan struct{} // closed when the daemon must stop

	mu           sync.Mutex
	recoveryDone bool
}

var _ api.Daemon = (*server)(nil)

// assemble opens the store and connects consumers and read models. It starts none of them.
func assemble(ctx context.Context, s config.Settings, build string, logger *slog.Logger) (*server, error) {
	name, _ := os.Hostname()
	b, err := natslog.Open(ctx, natslog.Config{
		Dir: s.StateDir, Machine: name, Build: build, Create: true, Now: time.Now, NewID: ids.New, Logger: logger,
		Cluster: NATSCluster(s), Listen: s.NATS.Listen,
	})
	if err != nil {
		return nil, err
	}
	srv := &server{settings: s, broker: b, logger: logger, stopped: make(chan struct{})}
	if err := srv.openReadModels(ctx); err != nil {
		return nil, errors.Join(err, srv.Close())
	}
	v, err := blobstore.Open(s.BlobStoreDir())
	if err != nil {
		return nil, errors.Join(err, srv.Close())
	}
	srv.wire(build, v)
	return srv, nil
}

func (srv *server) openReadModels(ctx context.Context) error {
	open := func(ctx context.Context, path string) (projections.Store, error) {
		return sqlite.Open(ctx, sqlite.Config{Path: path, PoolSize: srv.settings.PoolSize})
	}
	for _, p := range readmodels.Definitions() {
		m, err := projections.New(p, open, projections.Config{
			Dir: srv.settings.ReadModelsDir(), Now: time.Now,
			OnDeadLetter: func(d projections.DeadLetter) {
				srv.logger.Error("dead letter", "model", p.Name, "letter", d.String())
			},
		})
		if err != nil {
			return err
		}
		srv.readModels = append(srv.readModels, m)
		if err := m.Open(ctx, srv.broker.Log()); err != nil {
			return err
		}
		if reason := m.RebuildReason(); reason != "" && !srv.isNewLog(ctx) {
			srv.logger.Warn("read model rebuilt", "model", p.Name, "reason", reason)
			srv.startupNotes = append(srv.startupNotes, reason)
		}
	}
	return nil
}

// isNewLog reports whether the log has at most its first fact. The read models of a new log
// are built without a note to the user.
func (srv *server) isNewLog(ctx context.Context) bool {
	head, err := srv.broker.Log().Head(ctx)
	return err == nil && head.Position <= 1
}

// wire connects the consumers.
func (srv *server) wire(build string, v *blobstore.Blobs) {
	log, s := srv.broker.Log(), srv.settings
	rec := &recorder.Recorder{
		Log: log, Now: time.Now, NewID: ids.New,
		Actor: events.Actor{UID: s.UID, Program: "cortexd", PID: os.Getpid()}, Version: build,
	}
	start := starter(s)
	machine := apt.New(apt.Config{Root: s.Root, WorkDir: s.WorkDir(), PlaceDeb: v.PlaceDeb, FindDeb: v.Deb, Start: start, Logger: srv.logger})
	snapshots := confstate.New(s.Root, v, machine)
	srv.retention = retention.New(rec, v, machine)
	installed := inventory.New(log)
	sequence := recorder.NewSequence(log)
	observer := external.New(rec, sequence, installed, v, snapshots, external.Config{
		SpoolDir: s.SpoolDir(), Logger: srv.logger, ProcessAlive: processExists,
		TakeSnapshot: func(ctx context.Context) (events.StateSnapshot, error) {
			return snapshots.CaptureState(ctx, machine.Inventory)
		},
	})
	srv.recovery = recovery.New(rec, installed, machine, snapshots, observer)
	rules := NewPolicy(s)
	plans := planner.New(rec, machine, snapshots, v, rules, planner.Config{MayRefresh: s.UID == 0, OnProgress: srv.broker.SendProgress})
	srv.executor = executor.New(rec, machine, newRestorer(s, snapshots, start), v, plans, rules, srv.recovery, executor.Config{MayRun: s.UID == 0, OnProgress: srv.broker.SendProgress})
	srv.hwSnapshots = hwsnapshot.New(rec, hardwareProbe(s))
	srv.asker, srv.llmProviders = newAsker(rec, s, srv.logger)
	srv.memoryWriter = newMemoryWriter(rec, s)
	srv.limiter = limiter.New(rec, newLimitsMachine(s, start), srv.logger)
	srv.router = consumers.NewRouter(rec, srv.subscribe, srv.broker.ReadMessage, consumers.Config{Logger: srv.logger})
	srv.router.Add(consumers.Handlers(log.Host(), consumers.HandleFuncs{
		Commands: commands.New(rec, sequence, commands.Config{
			MayChange:        func(a events.Actor) bool { return s.MayChange(a.UID) },
			RetryDeadLetter:  srv.router.Retry,
			SnapshotHardware: srv.hwSnapshots.RecordOnRequest,
			HandleLimits:     srv.limiter.Handle,
		}).Handle,
		Planner:     srv.hwSnapshots.SnapshotBeforePlan(plans.Handle, srv.reportSnapshotFailure),
		Executor:    srv.executor.Handle,
		Compensator: undo.NewCompensator(rec, installed).Handle,
	})...)
	var models []projector.ReadModel
	for _, m := range srv.readModels {
		models = append(models, m)
	}
	srv.projector = projector.New(log, models, projector.Config{
		Report: func(model string, err error) {
			srv.logger.Error("read model stopped", "model", model, "error", err)
		},
	})
	srv.wireTreeHeads(rec)
}

func (srv *server) subscribe(name, _ string) (message.Subscriber, error) {
	return srv.broker.Subscriber(natslog.SubscriberConfig{Durable: name}), nil
}

// Run reconciles the history with the machine, then runs all parts until ctx is done.
func (srv *server) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return srv.projector.Run(ctx) })
	g.Go(func() error {
		srv.treeHeads.Run(ctx)
		return nil
	})
	g.Go(func() error {
		srv.prefetchDebs(ctx)
		return nil
	})
	g.Go(func() error {
		srv.maintainIndex(ctx)
		return nil
	})
	g.Go(func() error {
		srv.limiter.Run(ctx)
		return nil
	})
	g.Go(func() error { return srv.asker.Run(ctx) })
	g.Go(func() error {
		if err := srv.recovery.Run(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("reconcile: %w", err)
		}
		if err := srv.hwSnapshots.RecordAtStart(ctx); err != nil && ctx.Err() == nil {
			srv.reportSnapshotFailure(err)
		}
		srv.mu.Lock()
		srv.recoveryDone = true
		srv.mu.Unlock()
		return srv.router.Run(ctx)
	})
	return g.Wait()
}

// Schedule of the prefetch of package files.
const (
	prefetchStartDelay = 20 * time.Second // after the start of the daemon
	prefetchInterval   = 2 * time.Second
)

// prefetchDebs fetches the package files of installed packages while the sources still offer
// them. It fetches slowly and only while no transaction runs. It does not delay an idle
// exit.
func (srv *server) prefetchDebs(ctx context.Context) {
	if srv.settings.UID != 0 || srv.settings.StoreBudget == 0 || sleep(ctx, prefetchStartDelay) != nil {
		return
	}
	pace := func(ctx context.Context) error {
		for {
			if err := sleep(ctx, prefetchInterval); err != nil || !srv.Busy() {
				return err
			}
		}
	}
	err := srv.retention.PrefetchDebs(ctx, srv.settings.StoreBudget, pace, func(f retention.FetchAttempt) {
		if f.Err != nil {
			srv.logger.Info("package file prefetch failed", "package", f.Name, "error", f.Err)
		}
	})
	if err != nil && ctx.Err() == nil {
		srv.logger.Warn("package file prefetch stopped", "error", err)
	}
}

// processExists reports whether a process exists.
func processExists(pid int) bool {
	_, err := os.Lstat("/proc/" + strconv.Itoa(pid))
	return pid > 0 && err == nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// Busy reports whether the daemon must keep running: the recovery at the start has not
// ended, or a transaction runs.
func (srv *server) Busy() bool {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return !srv.recoveryDone || srv.executor.Running()
}

// Close closes everything that assemble opened.
func (srv *server) Close() error {
	var errs []error
	if srv.llmProviders != nil {
		srv.llmProviders.Close()
	}
	for _, m := range srv.readModels {
		errs = append(errs, m.Close())
	}
	return errors.Join(append(errs, srv.broker.Close())...)
}

// drain waits for the running transaction and prevents another start.
func (srv *server) drain() { srv.executor.Drain() }

// The following methods implement [api.Daemon].

func (srv *server) Host() events.HostID    { return srv.broker.Host() }
func (srv *server) MayChange(uid int) bool { return srv.settings.MayChange(uid) }
func (srv *server) StartupNotes() []string { return srv.startupNotes }
func (srv *server) Stop()                  { srv.stopOnce.Do(func() { close(srv.stopped) }) }

func (srv *server) Submit(ctx context.Context, e events.Event) (events.Position, error) {
	return srv.broker.Submit(ctx, e)
}

func (srv *server) Read(ctx context.Context, q events.Query) iter.Seq2[events.Record, error] {
	return srv.broker.Log().Read(ctx, q)
}

func (srv *server) Follow(ctx context.Context, q events.Query) iter.Seq2[events.Record, error] {
	return srv.broker.Log().Follow(ctx, q)
}

func (srv *server) Head(ctx context.Context) (events.Link, error) { return srv.broker.Log().Head(ctx) }

func (srv *server) Progress(ctx context.Context, t events.TransactionID) <-chan events.Progress {
	return srv.broker.FollowProgress(ctx, t)
}

// RecordExternalChanges records the changes of other programs that the hooks have seen. It
// does nothing while a transaction runs, because the end of the transaction records them.
func (srv *server) RecordExternalChanges(ctx context.Context) error {
	_, err := srv.executor.WhileIdle(func() error { return srv.recovery.CatchUp(ctx) })
	return err
}

// CollectGarbage implements [api.Daemon].
func (srv *server) CollectGarbage(ctx context.Context, forget time.Time) (*events.GarbageCollected, error) {
	return srv.retention.Collect(ctx, forget)
}

func (srv *server) WaitProjected(ctx context.Context, p events.Position) error {
	return srv.projector.WaitFor(ctx, p)
}
