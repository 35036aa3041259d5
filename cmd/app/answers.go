package app

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"cortex/cmd/client"
	"cortex/events"
	"cortex/projections/answers"
)

// readAnswers queries the read model of cached model answers.
func (s *Service) readAnswers(ctx context.Context, ask func(*answers.Reader) error) error {
	return s.ReadModel(ctx, answers.Name, func(db *sql.DB) error {
		r := answers.NewReader(db)
		return errors.Join(ask(r), r.Close())
	})
}

// CacheTotals counts the cached answers and what they saved.
func (s *Service) CacheTotals(ctx context.Context) (t answers.Totals, err error) {
	err = s.readAnswers(ctx, func(r *answers.Reader) (err error) {
		t, err = r.Totals(ctx)
		return err
	})
	return t, err
}

// CachedAnswers lists cached answers, the one used last first; limit 0 lists all.
func (s *Service) CachedAnswers(ctx context.Context, limit int) ([]answers.CachedAnswer, error) {
	list := []answers.CachedAnswer{}
	err := s.readAnswers(ctx, func(r *answers.Reader) error {
		found, err := r.List(ctx, limit)
		list = append(list[:0], found...)
		return err
	})
	return list, err
}

// CachedAnswer returns the cached answer that ref names: a position, an id, or the end of
// an id.
func (s *Service) CachedAnswer(ctx context.Context, ref string) (found answers.CachedAnswer, err error) {
	err = s.readAnswers(ctx, func(r *answers.Reader) (err error) {
		found, err = r.Get(ctx, ref)
		return err
	})
	return found, err
}

// Forgotten is a deletion from the cache, and its position in the log.
type Forgotten struct {
	What     events.AnswersForgotten
	Position events.Position
}

// ForgetAllAnswers deletes every cached answer.
func (s *Service) ForgetAllAnswers(ctx context.Context, reason string) (Forgotten, error) {
	return s.forgetAnswers(ctx, events.AnswersForgotten{All: true, Reason: reason})
}

// ForgetAnswers deletes the cached answers that refs name.
func (s *Service) ForgetAnswers(ctx context.Context, refs []string, reason string) (Forgotten, error) {
	what := events.AnswersForgotten{Reason: reason}
	for _, ref := range refs {
		found, err := s.CachedAnswer(ctx, ref)
		if err != nil {
			return Forgotten{}, err
		}
		what.Answers = append(what.Answers, found.ID)
	}
	return s.forgetAnswers(ctx, what)
}

// forgetAnswers requests a deletion and waits until the read models show it.
func (s *Service) forgetAnswers(ctx context.Context, what events.AnswersForgotten) (Forgotten, error) {
	c, ping, err := s.Connect(ctx)
	if err != nil {
		return Forgotten{}, err
	}
	if s.Settings.IsSystem() && !ping.MayChange {
		return Forgotten{}, &events.Error{
			Op: "app.ForgetAnswers", Kind: events.ErrConfirmation, Subject: "answer cache of the system", Err: errors.New("changing it needs root; nothing was changed"),
			Hint: s.sudoHint(),
		}
	}
	status, err := c.Status(ctx)
	if err != nil {
		return Forgotten{}, err
	}
	id, err := s.Producer(c, ping.Host).RequestForget(ctx, what)
	if err != nil {
		return Forgotten{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, AnswerTimeout)
	defer cancel()
	for r, err := range Facts(ctx, c, client.StreamOptions{After: status.Head, Kind: string(events.KindAnswersForgotten), Follow: true}) {
		if err != nil {
			return Forgotten{}, fmt.Errorf("wait for the deletion from the cache: %w", err)
		}
		if r.Correlation == id {
			return Forgotten{what, r.Position}, c.WaitProjected(ctx, r.Position)
		}
	}
	return Forgotten{}, &events.Error{
		Op: "app.ForgetAnswers", Kind: events.ErrUnavailable, Subject: "answer cache", Err: errors.New("the daemon did not answer in " + AnswerTimeout.String()),
		Hint: "see: cortex status",
	}
}
