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
	if got := []events.ID{<-x.seen, <-x.seen}; got[0] != stopped || got[1] != next.ID {
		t.Errorf("handled %v, want %s then %s", got, stopped, next.ID)
	}
	if r, ok, err := x.broker.Log().Last(t.Context(), events.KindFilter(x.broker.Host(), events.KindDeadLettered)); ok || err != nil {
		t.Errorf("dead letter %v, %v", r, err)
	}
}
