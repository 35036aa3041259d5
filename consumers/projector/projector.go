package projector

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"cortex/events"
)

// ReadModel is what is driven. Apply skips what is in already. Both may be
// called while the model is being rebuilt.
type ReadModel interface {
	Name() string
	// Checkpoint is the last record that is in.
	Checkpoint(ctx context.Context) (events.Link, error)
	// Apply brings records in, which follow each other.
	Apply(ctx context.Context, records []events.Record) error
}

// Config holds the limits; zero values mean the defaults.
type Config struct {
	BatchSize  int           // records in one Apply at most; 500
	MinBackoff time.Duration // before the first retry; 10 ms
	MaxBackoff time.Duration // between retries; 5 s
	// Report is told about every error, also those that will be retried. It may
	// be nil and must not call the projector.
	Report func(model string, err error)
}

const (
	defaultBatchSize  = 500
	defaultMinBackoff = 10 * time.Millisecond
	defaultMaxBackoff = 5 * time.Second
	// maxBatchBytes bounds the data of one batch in memory.
	maxBatchBytes = 8 << 20
	// fetchAhead is how many records wait while a model works.
	fetchAhead = 128
)

func (c *Config) setDefaults() {
	if c.BatchSize <= 0 {
		c.BatchSize = defaultBatchSize
	}
	if c.MinBackoff <= 0 {
		c.MinBackoff = defaultMinBackoff
	}
	if c.MaxBackoff < c.MinBackoff {
		c.MaxBackoff = max(defaultMaxBackoff, c.MinBackoff)
	}
	if c.Report == nil {
		c.Report = func(string, error) {}
	}
}

// Projector drives models. Use [New]; it is safe for concurrent use.
type Projector struct {
	log    events.Log
	cfg    Config
	models []*modelProgress

	mu      sync.Mutex
	changed chan struct{} // closed and replaced whenever a track moves
}

// modelProgress is one model's way; all but the model is guarded by Projector.mu.
type modelProgress struct {
	model         ReadModel
	position      events.Position
	positionKnown bool  // whether at was read from the model
	err           error // of the last attempt; nil when it went well
	stopped       bool  // by err, until resumed
	resume        chan struct{}
}

// ModelStatus is how one model is doing.
type ModelStatus struct {
	Name     string          `json:"name"`
	Position events.Position `json:"position"`
	Lag      uint64          `json:"lag"`     // records of the log that are not in yet
	Stopped  bool            `json:"stopped"` // for good, until it is rebuilt and resumed
	Err      error           `json:"-"`
	Error    string          `json:"error,omitempty"` // Err for people
}

// New returns a projector of models. Nothing runs before [Projector.Run].
func New(log events.Log, models []ReadModel, cfg Config) *Projector {
	cfg.setDefaults()
	p := &Projector{log: log, cfg: cfg, changed: make(chan struct{})}
	for _, m := range models {
		p.models = append(p.models, &modelProgress{model: m, resume: make(chan struct{}, 1)})
	}
	return p
}

// Run drives all models until ctx is done, then returns nil. It is called once.
func (p *Projector) Run(ctx context.Context) error {
	var running sync.WaitGroup
	for _, t := range p.models {
		running.Go(func() { p.drive(ctx, t) })
	}
	running.Wait()
	return nil
}

// drive keeps one model going.
func (p *Projector) drive(ctx context.Context, t *modelProgress) {
	pause := p.cfg.MinBackoff
	for ctx.Err() == nil {
		before := p.position(t)
		err := p.follow(ctx, t)
		if ctx.Err() != nil {
			return
		}
		if p.position(t) > before {
			pause = p.cfg.MinBackoff // it got somewhere
		}
		stopped := errors.Is(err, events.ErrCorrupt)
		p.update(func() { t.err, t.stopped = err, stopped })
		p.cfg.Report(t.model.Name(), err)
		if stopped {
			select {
			case <-t.resume:
				p.update(func() { t.err, t.stopped = nil, false })
			case <-ctx.Done():
			}
			continue
		}
		select {
		case <-time.After(pause):
		case <-t.resume:
		case <-ctx.Done():
		}
		pause = min(2*pause, p.cfg.MaxBackoff)
	}
}

// follow applies the log from the model's checkpoint on. It returns when ctx is
// done or something fails.
func (p *Projector) follow(ctx context.Context, t *modelProgress) error {
	at, err := t.model.Checkpoint(ctx)
	if err != nil {
		return fmt.Errorf("read the checkpoint: %w", err)
	}
	p.update(func() { t.position, t.positionKnown = at.Position, true })
	head, err := p.log.Head(ctx)
	if err != nil {
		return fmt.Errorf("read the log's head: %w", err)
	}
	f := startFetching(ctx, p.log, at.Position)
	defer f.stop()
	for {
		batch, err := f.next(p.cfg.BatchSize, head.Position)
		if len(batch) > 0 {
			if err := t.model.Apply(ctx, batch); err != nil {
				return err
			}
			last := batch[len(batch)-1].Position
			p.update(func() { t.position, t.err = last, nil })
		}
		if err != nil {
			return err
		}
	}
}

// update changes tracks and wakes whoever waits.
func (p *Projector) update(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *Projector) position(t *modelProgress) events.Position {
	p.mu.Lock()
	defer p.mu.Unlock()
	return t.position
}

// WaitFor returns nil when every model has reached a position: what was appended
// there can be read. A stopped model ends the wait with its error; a ctx that is
// done first, with ErrUnavailable.
func (p *Projector) WaitFor(ctx context.Context, pos events.Position) error {
	for {
		reached, changed, err := p.reached(pos)
		if reached || err != nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return &events.Error{
				Op: "projector.WaitFor", Kind: events.ErrUnavailable,
				Err: fmt.Errorf("the read models have not reached event %d: %w", pos, ctx.Err()),
			}
		}
	}
}

func (p *Projector) reached(pos events.Position) (bool, <-chan struct{}, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := true
	for _, t := range p.models {
		if t.positionKnown && t.position >= pos {
			continue
		}
		all = false
		if t.stopped {
			return false, nil, fmt.Errorf("read model %s has stopped: %w", t.model.Name(), t.err)
		}
	}
	return all, p.changed, nil
}

// ModelStatus tells how every model is doing, in the order of New.
func (p *Projector) Status(ctx context.Context) []ModelStatus {
	head, headErr := p.log.Head(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]ModelStatus, len(p.models))
	for i, t := range p.models {
		s := ModelStatus{Name: t.model.Name(), Position: t.position, Stopped: t.stopped, Err: t.err}
		if s.Err == nil && headErr != nil {
			s.Err = fmt.Errorf("read the log's head: %w", headErr)
		}
		if s.Err != nil {
			s.Error = s.Err.Error()
		}
		if head.Position > t.position {
			s.Lag = uint64(head.Position - t.position)
		}
		out[i] = s
	}
	return out
}

// Resume lets a stopped model go on from its checkpoint, for example after it
// was rebuilt, and ends the pause of one that is being retried. It is an
// ErrNotFound error when there is no such model.
func (p *Projector) Resume(name string) error {
	for _, t := range p.models {
		if t.model.Name() == name {
			select {
			case t.resume <- struct{}{}:
			default: // it was told already
			}
			return nil
		}
	}
	return &events.Error{Op: "projector.Resume", Kind: events.ErrNotFound, Subject: "read model " + name, Err: errors.New("there is no such read model")}
}
