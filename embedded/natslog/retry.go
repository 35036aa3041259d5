package natslog

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"cortex/events"
)

// withRetry does what may fail because the cluster is away, again and again until it
// succeeds, fails for another reason, or patience ends. A server in our own process
// is not away: there it is done once.
func (e *engine) withRetry(ctx context.Context, do func() error) error {
	if e.cluster == nil {
		return do()
	}
	ctx, cancel := context.WithTimeout(ctx, e.cluster.RetryTimeout)
	defer cancel()
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		err := do()
		if err == nil || !isTransient(err) {
			return err
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return err
		case <-e.retryQuit:
			t.Stop()
			return err
		}
	}
}

// isTransient reports whether trying again may help.
func isTransient(err error) bool {
	var api *jetstream.APIError
	switch {
	case kindOf(err) != events.ErrUnavailable, errors.Is(err, errClosed), errors.Is(err, errNoMessage):
		return false
	case errors.As(err, &api):
		return api.Code < 400 || api.Code >= 500 || api.Code == 409 // their own troubles; the same is on its way already
	}
	return true
}
