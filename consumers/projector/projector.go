package projector

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"cortex/events"
)

// ReadModel is the read model that a [Projector] drives. Checkpoint and Apply may be called
// during a rebuild.
type ReadModel interface {
	Name() string
	// Checkpoint returns the link of the last applied record.
	Checkpoint(ctx context.Context) (events.Link, error)
	// Apply applies consecutive records. It skips records at or before the checkpoint.
	Apply(ctx context.Context, records []events.Record) error
}

// Config configures a projector. Zero values mean the defaults.
type Config struct {
	BatchSize  int           // the maximum number of records of one Apply; default 500
	MinBackoff time.Duration // before the first retry; default 10 ms
	MaxBackoff time.Duration // between retries; default 5 s
	// Report is called for every error, including errors that are retried. It may be nil.
	// It must not call the projector.
	Report func(model string, err error)
}

const (
	defaultBatchSize  = 500
	defaultMinBackoff = 10 * time.Millisecond
	defaultMaxBackoff = 5 * time.Second
	// maxBatchBytes bounds the data of one batch in memory.
	maxBatchBytes = 8 << 20
	// fetchAhead is the number of records that are read ahead.
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

// Projector drives read models. Use [New]. It is safe for concurrent use.
type Projector struct {
	log    events.Log
	cfg    Config
	models []*modelProgress

	mu      sync.Mutex
	changed chan struct{} // closed and replaced by every update
}

// modelProgress is the progress of one read model. Projector.mu guards position,
// positionKnown, err and stopped.
type modelProgress struct {
	model         ReadModel
	position      events.Position
	positionKnown bool  // whether position was read from the checkpoint
	err           error // of the last attempt
	stopped       bool  // by err, until Resume
	resume        chan struct{}
}

// ModelStatus is the status of one read model.
type ModelStatus struct {
	Name     string          `json:"name"`
	Position events.Position `json:"position"`
	Lag      uint64          `json:"lag"`     // records of the log that are not applied yet
	Stopped  bool            `json:"stopped"` // until it is rebuilt and resumed
	Err      error           `json:"-"`
	Error    string          `json:"error,omitempty"` // the text of Err
}

// New returns a projector of read models. Call [Projector.Run] to start it.
func New(log events.Log, models []ReadModel, cfg Config) *Projector {
	cfg.setDefaults()
	p := &Projector{log: log, cfg: cfg, changed: make(chan struct{})}
	for _, m := range models {
		p.models = append(p.models, &modelProgress{model: m, resume: make(chan struct{}, 1)})
	}
	return p
}

// Run drives all read models until ctx is done. It then returns nil. Call it once.
func (p *Projector) Run(ctx context.Context) error {
	var running sync.WaitGroup
	for _, t := range p.models {
		running.Go(func() { p.drive(ctx, t) })
	}
	running.Wait()
	return nil
}

// drive runs follow for one read model and retries after a failure.
func (p *Projector) drive(ctx context.Context, t *modelProgress) {
	pause := p.cfg.MinBackoff
	for ctx.Err() == nil {
		before := p.position(t)
		err := p.follow(ctx, t)
		if ctx.Err() != nil {
			return
		}
		if p.position(t) > before {
			pause = p.cfg.MinBackoff // the attempt made progress
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

// follow applies the records after the checkpoint. It returns if ctx is done or on an
// error.
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

// update changes the progress and wakes the waiting calls of WaitFor.
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

// WaitFor waits until every read model has reached a position, so that queries see the event
// at that position. If a read model stops, WaitFor returns its error. If ctx is done first,
// the error is ErrUnavailable.
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
			return false, nil, fmt.Errorf("read model %s is stopped: %w", t.model.Name(), t.err)
		}
	}
	return all, p.changed, nil
}

// Status returns the status of every read model, in the order of New.
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

// Resume restarts a stopped read model from its checkpoint, for example after a rebuild. It
// also ends the backoff of a read model that is being retried. It returns ErrNotFound for an
// unknown name.
func (p *Projector) Resume(name string) error {
	for _, t := range p.models {
		if t.model.Name() == name {
			select {
			case t.resume <- struct{}{}:
			default: // a resume is already pending
			}
			return nil
		}
	}
	return &events.Error{Op: "projector.Resume", Kind: events.ErrNotFound, Subject: "read model " + name, Err: errors.New("unknown")}
}
