package projector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"cortex/events"
)

// ReadModel is what the projector drives. Apply must fold a batch and the new
// checkpoint in atomically, and skip records that it has already.
type ReadModel interface {
	Name() string
	Checkpoint(ctx context.Context) (events.Link, error)
	Apply(ctx context.Context, batch []events.Record) error
}

// Config holds what may be tuned.
type Config struct {
	Batch  int           // records in one batch at most
	Pause  time.Duration // before a failed batch is tried again; doubles up to a hundredfold
	Logger *slog.Logger
}

func (c *Config) setDefaults() {
	if c.Batch == 0 {
		c.Batch = 500
	}
	if c.Pause == 0 {
		c.Pause = 50 * time.Millisecond
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
}

// Projector drives models. Use [New]; its methods are safe for concurrent use.
type Projector struct {
	log    events.Log
	models []ReadModel
	cfg    Config

	mu    sync.Mutex
	state map[string]progress
	moved chan struct{} // closed and replaced whenever state changes
}

type progress struct {
	at  events.Position
	err error
}

// Status is how far one model is.
type Status struct {
	Name     string
	Position events.Position
	Lag      uint64 // events behind the head
	Err      error  // why it stands still, or nil
}

// New returns a projector; [Projector.Run] does the work.
func New(log events.Log, models []ReadModel, cfg Config) *Projector {
	cfg.setDefaults()
	return &Projector{log: log, models: models, cfg: cfg, state: map[string]progress{}, moved: make(chan struct{})}
}

// Run drives every model until ctx is done.
func (p *Projector) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, m := range p.models {
		wg.Go(func() { p.drive(ctx, m) })
	}
	wg.Wait()
	return nil
}

// drive keeps one model up to date.
func (p *Projector) drive(ctx context.Context, m ReadModel) {
	pause := p.cfg.Pause
	for ctx.Err() == nil {
		advanced, err := p.follow(ctx, m)
		if err == nil || ctx.Err() != nil {
			return
		}
		p.report(m.Name(), func(s *progress) { s.err = err })
		p.cfg.Logger.Error("read model stands still", "model", m.Name(), "error", err)
		if errors.Is(err, events.ErrCorrupt) {
			return
		}
		if advanced {
			pause = p.cfg.Pause
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, 100*p.cfg.Pause)
	}
}

// follow applies what comes until something fails.
func (p *Projector) follow(ctx context.Context, m ReadModel) (advanced bool, err error) {
	at, err := m.Checkpoint(ctx)
	if err != nil {
		return false, fmt.Errorf("read checkpoint: %w", err)
	}
	p.report(m.Name(), func(s *progress) { s.at = at.Position })
	reading, stop := context.WithCancel(ctx)
	defer stop()
	records := make(chan events.Record, p.cfg.Batch)
	failed := make(chan error, 1)
	var reader sync.WaitGroup
	defer reader.Wait()
	defer stop()
	reader.Go(func() {
		defer close(records)
		for r, err := range p.log.Follow(reading, events.Query{After: at.Position}) {
			if err != nil {
				failed <- err
				return
			}
			select {
			case records <- r:
			case <-reading.Done():
				return
			}
		}
	})
	for r := range records {
		batch := gather(r, records, p.cfg.Batch)
		if err := m.Apply(ctx, batch); err != nil {
			return advanced, err
		}
		advanced = true
		p.report(m.Name(), func(s *progress) { s.at, s.err = batch[len(batch)-1].Position, nil })
	}
	select {
	case err := <-failed:
		return advanced, err
	default:
		return advanced, ctx.Err()
	}
}

// gather takes what is waiting, and waits for nothing.
func gather(first events.Record, records <-chan events.Record, most int) []events.Record {
	batch := []events.Record{first}
	for len(batch) < most {
		select {
		case r, ok := <-records:
			if !ok {
				return batch
			}
			batch = append(batch, r)
		default:
			return batch
		}
	}
	return batch
}

func (p *Projector) report(name string, change func(*progress)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.state[name]
	change(&s)
	p.state[name] = s
	close(p.moved)
	p.moved = make(chan struct{})
}

// WaitFor returns once every model has reached pos, with the error of one that
// stands still, or when ctx is done.
func (p *Projector) WaitFor(ctx context.Context, pos events.Position) error {
	for {
		p.mu.Lock()
		moved, behind := p.moved, false
		var stuck error
		for _, m := range p.models {
			s := p.state[m.Name()]
			if s.at < pos {
				behind = true
				if errors.Is(s.err, events.ErrCorrupt) {
					stuck = s.err
				}
			}
		}
		p.mu.Unlock()
		if !behind || stuck != nil {
			return stuck
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return &events.Error{Op: "projector.WaitFor", Kind: events.ErrUnavailable, Err: fmt.Errorf("the read models have not reached event %d: %w", pos, ctx.Err())}
		}
	}
}

// Status tells how far each model is.
func (p *Projector) Status() []Status {
	head, _ := p.log.Head(context.Background())
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []Status
	for _, m := range p.models {
		s := p.state[m.Name()]
		st := Status{Name: m.Name(), Position: s.at, Err: s.err}
		if head.Position > s.at {
			st.Lag = uint64(head.Position - s.at)
		}
		out = append(out, st)
	}
	return out
}
