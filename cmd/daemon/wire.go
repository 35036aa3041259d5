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
	"cortex/cmd/parts"
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

// server is everything in the daemon but its door, wired by hand.
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
	stopped  chan struct{} // closed when somebody asked the daemon to leave

	mu           sync.Mutex
	recoveryDone bool
}

var _ api.Daemon = (*server)(nil)

// assemble opens the store and wires workers and read models. Nothing runs yet.
func assemble(ctx context.Context, s config.Settings, build string, logger *slog.Logger) (*server, error) {
	name, _ := os.Hostname()
	b, err := natslog.Open(ctx, natslog.Config{
		Dir: s.StateDir, Machine: name, Build: build, Create: true, Now: time.Now, NewID: parts.NewID, Logger: logger,
		Cluster: NATSCluster(s), Listen: s.NATS.Listen,
	})
	if err != nil {
		return nil, err
	}
	in := &server{settings: s, broker: b, logger: logger, stopped: make(chan struct{})}
	if err := in.openReadModels(ctx); err != nil {
		return nil, errors.Join(err, in.Close())
	}
	v, err := blobstore.Open(s.BlobStoreDir())
	if err != nil {
		return nil, errors.Join(err, in.Close())
	}
	in.wire(build, v)
	return in, nil
}

func (in *server) openReadModels(ctx context.Context) error {
	open := func(ctx context.Context, path string) (projections.Store, error) {
		return sqlite.Open(ctx, sqlite.Config{Path: path, PoolSize: in.settings.PoolSize})
	}
	for _, p := range parts.Projections() {
		m, err := projections.New(p, open, projections.Config{
			Dir: in.settings.ReadModelsDir(), Now: time.Now,
			OnDeadLetter: func(d projections.DeadLetter) {
				in.logger.Error("fact put aside", "model", p.Name, "letter", d.String())
			},
		})
		if err != nil {
			return err
		}
		in.readModels = append(in.readModels, m)
		if err := m.Open(ctx, in.broker.Log()); err != nil {
			return err
		}
		if why := m.RebuildReason(); why != "" && !in.isNewLog(ctx) {
			in.logger.Warn(why)
			in.startupNotes = append(in.startupNotes, why)
		}
	}
	return nil
}

// isNewLog reports whether the log holds nothing but its own first fact: then there
// is nothing to tell about what had to be built.
func (in *server) isNewLog(ctx context.Context) bool {
	head, err := in.broker.Log().Head(ctx)
	return err == nil && head.Position <= 1
}

// wire connects the workers.
func (in *server) wire(build string, v *blobstore.Blobs) {
	log, s := in.broker.Log(), in.settings
	sc := &recorder.Recorder{
		Log: log, Now: time.Now, NewID: parts.NewID,
		Actor: events.Actor{UID: s.UID, Program: "cortexd", PID: os.Getpid()}, Version: build,
	}
	start := starter(s)
	machine := apt.New(apt.Config{Root: s.Root, WorkDir: s.WorkDir(), PlaceDeb: v.PlaceDeb, FindDeb: v.Deb, Start: start, Logger: in.logger})
	keep := confstate.New(s.Root, v, machine)
	in.retention = retention.New(sc, v, machine)
	book := inventory.New(log)
	register := recorder.NewSequence(log)
	watch := external.New(sc, register, book, v, keep, external.Config{
		SpoolDir: s.SpoolDir(), Logger: in.logger, ProcessAlive: processExists,
		TakeSnapshot: func(ctx context.Context) (events.StateSnapshot, error) {
			return keep.CaptureState(ctx, machine.Inventory)
		},
	})
	in.recovery = recovery.New(sc, book, machine, keep, watch)
	laws := NewPolicy(s)
	plans := planner.New(sc, machine, keep, v, laws, planner.Config{MayRefresh: s.UID == 0, OnProgress: in.broker.SendProgress})
	in.executor = executor.New(sc, machine, newRestorer(s, keep, start), v, plans, laws, in.recovery, executor.Config{MayRun: s.UID == 0, OnProgress: in.broker.SendProgress})
	in.hwSnapshots = hwsnapshot.New(sc, hardwareProbe(s))
	in.asker, in.llmProviders = newAsker(sc, s, in.logger)
	in.memoryWriter = newMemoryWriter(sc, s)
	in.limiter = limiter.New(sc, newLimitsMachine(s, start), in.logger)
	in.router = consumers.NewRouter(sc, in.subscribe, in.broker.ReadMessage, consumers.Config{Logger: in.logger})
	in.router.Add(consumers.Handlers(log.Host(), consumers.HandleFuncs{
		Commands: commands.New(sc, register, commands.Config{
			MayChange:        func(a events.Actor) bool { return s.MayChange(a.UID) },
			RetryDeadLetter:  in.router.Retry,
			SnapshotHardware: in.hwSnapshots.RecordOnRequest,
			HandleLimits:     in.limiter.Handle,
		}).Handle,
		Planner:     in.hwSnapshots.SnapshotBeforePlan(plans.Handle, in.reportSnapshotFailure),
		Executor:    in.executor.Handle,
		Compensator: undo.NewCompensator(sc, book).Handle,
	})...)
	var models []projector.ReadModel
	for _, m := range in.readModels {
		models = append(models, m)
	}
	in.projector = projector.New(log, models, projector.Config{
		Report: func(model string, err error) {
			in.logger.Error("read model stands still", "model", model, "error", err)
		},
	})
	in.wireTreeHeads(sc)
}

func (in *server) subscribe(name, _ string) (message.Subscriber, error) {
	return in.broker.Subscriber(natslog.SubscriberConfig{Durable: name}), nil
}

// Run makes history and machine agree, then works until ctx is done.
func (in *server) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return in.projector.Run(ctx) })
	g.Go(func() error {
		in.treeHeads.Run(ctx)
		return nil
	})
	g.Go(func() error {
		in.prefetchDebs(ctx)
		return nil
	})
	g.Go(func() error {
		in.maintainIndex(ctx)
		return nil
	})
	g.Go(func() error {
		in.limiter.Run(ctx)
		return nil
	})
	g.Go(func() error { return in.asker.Run(ctx) })
	g.Go(func() error {
		if err := in.recovery.Run(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("reconcile: %w", err)
		}
		if err := in.hwSnapshots.RecordAtStart(ctx); err != nil && ctx.Err() == nil {
			in.reportSnapshotFailure(err)
		}
		in.mu.Lock()
		in.recoveryDone = true
		in.mu.Unlock()
		return in.router.Run(ctx)
	})
	return g.Wait()
}

// How politely package files of what is installed are fetched.
const (
	prefetchStartDelay = 20 * time.Second // the daemon's start
	prefetchInterval   = 2 * time.Second
)

// prefetchDebs gets the package files of what is installed while they can be had, slowly
// and only while nothing else goes on. The daemon does not stay for it.
func (in *server) prefetchDebs(ctx context.Context) {
	if in.settings.UID != 0 || in.settings.StoreBudget == 0 || sleep(ctx, prefetchStartDelay) != nil {
		return
	}
	pace := func(ctx context.Context) error {
		for {
			if err := sleep(ctx, prefetchInterval); err != nil || !in.Busy() {
				return err
			}
		}
	}
	err := in.retention.PrefetchDebs(ctx, in.settings.StoreBudget, pace, func(f retention.FetchAttempt) {
		if f.Err != nil {
			in.logger.Info("package file not fetched", "package", f.Name, "error", f.Err)
		}
	})
	if err != nil && ctx.Err() == nil {
		in.logger.Warn("package files are not fetched", "error", err)
	}
}

// processExists reports whether there is such a process.
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

// Busy reports whether the daemon must not leave: it is still finding out how
// things are, or a transaction is being carried out.
func (in *server) Busy() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return !in.recoveryDone || in.executor.Running()
}

// Close closes what assemble opened.
func (in *server) Close() error {
	var errs []error
	if in.llmProviders != nil {
		in.llmProviders.Close()
	}
	for _, m := range in.readModels {
		errs = append(errs, m.Close())
	}
	return errors.Join(append(errs, in.broker.Close())...)
}

// drain waits for the running transaction and lets no other start.
func (in *server) drain() { in.executor.Drain() }

// The rest is the door's [api.Daemon].

func (in *server) Host() events.HostID    { return in.broker.Host() }
func (in *server) MayChange(uid int) bool { return in.settings.MayChange(uid) }
func (in *server) StartupNotes() []string { return in.startupNotes }
func (in *server) Stop()                  { in.stopOnce.Do(func() { close(in.stopped) }) }

func (in *server) Submit(ctx context.Context, e events.Event) (events.Position, error) {
	return in.broker.Submit(ctx, e)
}

func (in *server) Read(ctx context.Context, q events.Query) iter.Seq2[events.Record, error] {
	return in.broker.Log().Read(ctx, q)
}

func (in *server) Follow(ctx context.Context, q events.Query) iter.Seq2[events.Record, error] {
	return in.broker.Log().Follow(ctx, q)
}

func (in *server) Head(ctx context.Context) (events.Link, error) { return in.broker.Log().Head(ctx) }

func (in *server) Progress(ctx context.Context, t events.TransactionID) <-chan events.Progress {
	return in.broker.FollowProgress(ctx, t)
}

// RecordExternalChanges takes in what the hooks saw of other programs' changes, unless a
// transaction of our own is running: then its end does.
func (in *server) RecordExternalChanges(ctx context.Context) error {
	_, err := in.executor.WhileIdle(func() error { return in.recovery.CatchUp(ctx) })
	return err
}

// CollectGarbage implements [api.Daemon].
func (in *server) CollectGarbage(ctx context.Context, forget time.Time) (*events.GarbageCollected, error) {
	return in.retention.Collect(ctx, forget)
}

func (in *server) WaitProjected(ctx context.Context, p events.Position) error {
	return in.projector.WaitFor(ctx, p)
}
