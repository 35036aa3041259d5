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

	"cortex/cmd/door"
	"cortex/cmd/parts"
	"cortex/cmd/settings"
	"cortex/consumers"
	"cortex/consumers/analyst"
	"cortex/consumers/apt"
	"cortex/consumers/auditor"
	"cortex/consumers/custodian"
	"cortex/consumers/executor"
	"cortex/consumers/intake"
	"cortex/consumers/keeper"
	"cortex/consumers/ledger"
	"cortex/consumers/observer"
	"cortex/consumers/planner"
	"cortex/consumers/projector"
	"cortex/consumers/reconciler"
	"cortex/consumers/scribe"
	"cortex/consumers/surveyor"
	"cortex/consumers/undoer"
	"cortex/consumers/vault"
	"cortex/embedded/broker"
	"cortex/embedded/store"
	"cortex/events"
	"cortex/projections"
)

// inside is everything in the daemon but its door, wired by hand.
type inside struct {
	settings  settings.Settings
	broker    *broker.Broker
	models    []*projections.Model
	projector *projector.Projector
	router    *consumers.Router
	executor  *executor.Executor
	reconcile *reconciler.Reconciler
	logger    *slog.Logger
	custodian *custodian.Custodian
	surveyor  *surveyor.Surveyor
	analyst   *analyst.Analyst
	way       *models
	memory    remembering
	auditor   *auditor.Auditor
	notes     []string

	stopOnce sync.Once
	stopped  chan struct{} // closed when somebody asked the daemon to leave

	mu         sync.Mutex
	reconciled bool
}

var _ door.Backend = (*inside)(nil)

// assemble opens the store and wires workers and read models. Nothing runs yet.
func assemble(ctx context.Context, s settings.Settings, build string, logger *slog.Logger) (*inside, error) {
	name, _ := os.Hostname()
	b, err := broker.Open(ctx, broker.Config{
		Dir: s.State, Machine: name, Build: build, Create: true, Now: time.Now, NewID: parts.NewID, Logger: logger,
		Cluster: Cluster(s), Listen: s.NATS.Listen,
	})
	if err != nil {
		return nil, err
	}
	in := &inside{settings: s, broker: b, logger: logger, stopped: make(chan struct{})}
	if err := in.openModels(ctx); err != nil {
		return nil, errors.Join(err, in.Close())
	}
	v, err := vault.Open(s.Vault())
	if err != nil {
		return nil, errors.Join(err, in.Close())
	}
	in.wire(build, v)
	return in, nil
}

func (in *inside) openModels(ctx context.Context) error {
	open := func(ctx context.Context, path string) (projections.Store, error) {
		return store.Open(ctx, store.Config{Path: path, PoolSize: in.settings.PoolSize})
	}
	for _, p := range parts.Projections() {
		m, err := projections.New(p, open, projections.Config{
			Dir: in.settings.Reads(), Now: time.Now,
			Report: func(d projections.DeadLetter) {
				in.logger.Error("fact put aside", "model", p.Name(), "letter", d.String())
			},
		})
		if err != nil {
			return err
		}
		in.models = append(in.models, m)
		if err := m.Open(ctx, in.broker.Log()); err != nil {
			return err
		}
		if why := m.Rebuilt(); why != "" && !in.fresh(ctx) {
			in.logger.Warn(why)
			in.notes = append(in.notes, why)
		}
	}
	return nil
}

// fresh reports whether the log holds nothing but its own first fact: then there
// is nothing to tell about what had to be built.
func (in *inside) fresh(ctx context.Context) bool {
	head, err := in.broker.Log().Head(ctx)
	return err == nil && head.Position <= 1
}

// wire connects the workers.
func (in *inside) wire(build string, v *vault.Vault) {
	log, s := in.broker.Log(), in.settings
	sc := &scribe.Scribe{
		Log: log, Now: time.Now, NewID: parts.NewID,
		Actor: events.Actor{UID: s.UID, Program: "cortexd", PID: os.Getpid()},
	}
	start := hands(s)
	machine := apt.New(apt.Config{Root: s.Root, WorkDir: s.Work(), Lend: v.Lend, Deb: v.Deb, Start: start, Logger: in.logger})
	keep := keeper.New(s.Root, v, machine)
	in.custodian = custodian.New(sc, v, machine)
	book := ledger.New(log)
	register := scribe.NewRegister(log)
	watch := observer.New(sc, register, book, v, keep, observer.Config{
		Dir: s.Spool(), Logger: in.logger, Alive: alive,
		Look: func(ctx context.Context) (events.Look, error) { return keep.Look(ctx, machine.Inventory) },
	})
	in.reconcile = reconciler.New(sc, book, machine, keep, watch)
	laws := Policy(s)
	plans := planner.New(sc, machine, keep, v, laws, planner.Config{MayRefresh: s.UID == 0, Tell: in.broker.SendProgress})
	in.executor = executor.New(sc, machine, restorer(s, keep, start), v, plans, laws, in.reconcile, executor.Config{MayRun: s.UID == 0, Tell: in.broker.SendProgress})
	in.surveyor = surveyor.New(sc, probe(s))
	in.analyst, in.way = newAnalyst(sc, s, in.logger)
	in.memory = newRemembering(sc, s)
	in.router = consumers.NewRouter(sc, in.subscribe, in.broker.Message, consumers.Config{Logger: in.logger})
	in.router.Add(consumers.Workers{
		Intake: intake.New(sc, register, intake.Config{
			MayChange: func(a events.Actor) bool { return s.MayChange(a.UID) },
			Retry:     in.router.Retry,
			Survey:    in.surveyor.Requested,
		}),
		Planner:     in.surveyor.BeforePlans(plans, in.unsurveyed),
		Executor:    in.executor,
		Compensator: undoer.NewCompensator(sc, book),
	}.Handlers(log.Host())...)
	var models []projector.ReadModel
	for _, m := range in.models {
		models = append(models, m)
	}
	in.projector = projector.New(log, models, projector.Config{
		Report: func(model string, err error) {
			in.logger.Error("read model stands still", "model", model, "error", err)
		},
	})
	in.wireAuditor(sc)
}

func (in *inside) subscribe(name, _ string) (message.Subscriber, error) {
	return in.broker.Subscriber(broker.SubscriberConfig{Durable: name}), nil
}

// Run makes history and machine agree, then works until ctx is done.
func (in *inside) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return in.projector.Run(ctx) })
	g.Go(func() error {
		in.auditor.Run(ctx)
		return nil
	})
	g.Go(func() error {
		in.fetch(ctx)
		return nil
	})
	g.Go(func() error {
		in.index(ctx)
		return nil
	})
	g.Go(func() error { return in.analyst.Run(ctx) })
	g.Go(func() error {
		if err := in.reconcile.Run(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("reconcile: %w", err)
		}
		if err := in.surveyor.AtStart(ctx); err != nil && ctx.Err() == nil {
			in.unsurveyed(err)
		}
		in.mu.Lock()
		in.reconciled = true
		in.mu.Unlock()
		return in.router.Run(ctx)
	})
	return g.Wait()
}

// How politely package files of what is installed are fetched.
const (
	fetchAfter = 20 * time.Second // the daemon's start
	fetchEvery = 2 * time.Second
)

// fetch gets the package files of what is installed while they can be had, slowly
// and only while nothing else goes on. The daemon does not stay for it.
func (in *inside) fetch(ctx context.Context) {
	if in.settings.UID != 0 || in.settings.StoreBudget == 0 || pause(ctx, fetchAfter) != nil {
		return
	}
	pace := func(ctx context.Context) error {
		for {
			if err := pause(ctx, fetchEvery); err != nil || !in.Busy() {
				return err
			}
		}
	}
	err := in.custodian.Fetch(ctx, in.settings.StoreBudget, pace, func(f custodian.Fetched) {
		if f.Err != nil {
			in.logger.Info("package file not fetched", "package", f.Name, "error", f.Err)
		}
	})
	if err != nil && ctx.Err() == nil {
		in.logger.Warn("package files are not fetched", "error", err)
	}
}

// alive reports whether there is such a process.
func alive(pid int) bool {
	_, err := os.Lstat("/proc/" + strconv.Itoa(pid))
	return pid > 0 && err == nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// Busy reports whether the daemon must not leave: it is still finding out how
// things are, or a transaction is being carried out.
func (in *inside) Busy() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return !in.reconciled || in.executor.Running()
}

// Close closes what assemble opened.
func (in *inside) Close() error {
	var errs []error
	if in.way != nil {
		in.way.Close()
	}
	for _, m := range in.models {
		errs = append(errs, m.Close())
	}
	return errors.Join(append(errs, in.broker.Close())...)
}

// drain waits for the running transaction and lets no other start.
func (in *inside) drain() { in.executor.Drain() }

// The rest is the door's [door.Backend].

func (in *inside) Host() events.HostID    { return in.broker.Host() }
func (in *inside) MayChange(uid int) bool { return in.settings.MayChange(uid) }
func (in *inside) Notes() []string        { return in.notes }
func (in *inside) Stop()                  { in.stopOnce.Do(func() { close(in.stopped) }) }

func (in *inside) Submit(ctx context.Context, e events.Event) (events.Position, error) {
	return in.broker.Submit(ctx, e)
}

func (in *inside) Read(ctx context.Context, q events.Query) iter.Seq2[events.Record, error] {
	return in.broker.Log().Read(ctx, q)
}

func (in *inside) Follow(ctx context.Context, q events.Query) iter.Seq2[events.Record, error] {
	return in.broker.Log().Follow(ctx, q)
}

func (in *inside) Head(ctx context.Context) (events.Link, error) { return in.broker.Log().Head(ctx) }

func (in *inside) Progress(ctx context.Context, t events.TransactionID) <-chan events.Progress {
	return in.broker.FollowProgress(ctx, t)
}

// Observe takes in what the hooks saw of other programs' changes, unless a
// transaction of our own is running: then its end does.
func (in *inside) Observe(ctx context.Context) error {
	_, err := in.executor.WhileIdle(func() error { return in.reconcile.CatchUp(ctx) })
	return err
}

// Collect implements [door.Backend].
func (in *inside) Collect(ctx context.Context, forget time.Time) (*events.Collected, error) {
	return in.custodian.Collect(ctx, forget)
}

func (in *inside) WaitProjected(ctx context.Context, p events.Position) error {
	return in.projector.WaitFor(ctx, p)
}
