package consumers_test

import (
	"context"
	"fmt"
	"testing"

	"cortex/events"
)

// A handler that is stopped has not failed: its message is delivered again and does not
// become a dead letter.
func TestRouterDeliversCancelledMessageAgain(t *testing.T) {
	x := route(t)
	stopped := newID()
	x.set(func(r events.Record, attempt int) error {
		if r.ID == stopped && attempt == 1 {
			return fmt.Errorf("wait for the lock: %w", context.Canceled)
		}
		return nil
	})
	x.appendAs(t, stopped)
	next := x.append(t)
	for _, want := range []events.ID{stopped, next.ID} {
		if got := <-x.seen; got != want {
			t.Fatalf("handled %s, want %s", got, want)
		}
	}
	if r, ok, err := x.broker.Log().Last(t.Context(), events.KindFilter(x.broker.Host(), events.KindDeadLettered)); ok || err != nil {
		t.Errorf("dead letter %v, %v", r, err)
	}
}
