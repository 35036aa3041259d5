package natslog_test

import (
	"strconv"
	"testing"

	"cortex/embedded/natslog"
	"cortex/events"
	"cortex/events/logtest"
)

// The server delivers a fact to subscribers before it answers the append. A handler that reads
// the log then must find the fact.
func TestSubscribeDeliversFactsThatTheLogHas(t *testing.T) {
	b := open(t, natslog.Config{Dir: t.TempDir(), Create: true})
	messages, err := b.Subscriber(natslog.SubscriberConfig{Durable: "reader"}).Subscribe(t.Context(), events.KindFilter(b.Host(), events.KindCancelled))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		// Stored, but the answer did not arrive.
		if err := b.AppendUnnoticed(t.Context(), logtest.NewEvent(t, b.Host(), logtest.NewTransaction(), &events.Cancelled{})); err != nil {
			t.Fatal(err)
		}
		m := <-messages
		head, err := b.Log().Head(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if at, err := strconv.ParseUint(m.Metadata.Get("cortex-position"), 10, 64); err != nil || events.Position(at) > head.Position {
			t.Fatalf("event %d was delivered while the log ended at %d (%v)", at, head.Position, err)
		}
		m.Ack()
	}
}
