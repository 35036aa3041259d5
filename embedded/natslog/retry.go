package natslog

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"cortex/events"
)

// withRetry calls do until it succeeds, fails with an error that is not transient, or
// RetryTimeout is over. With a server in this process it calls do once.
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

// isTransient reports whether a retry may succeed.
func isTransient(err error) bool {
	var api *jetstream.APIError
	switch {
	case kindOf(err) != events.ErrUnavailable, errors.Is(err, errClosed), errors.Is(err, errNoMessage):
		return false
	case errors.As(err, &api):
		return api.Code < 400 || api.Code >= 500 || api.Code == 409 // an error of the servers, or the same message is in flight
	}
	return true
}
