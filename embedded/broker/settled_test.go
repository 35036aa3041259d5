package broker_test

import (
	"runtime"
	"strconv"
	"testing"

	"cortex/embedded/broker"
	"cortex/events"
	"cortex/events/logtest"
)

// Whoever is told of a fact finds it in the log.
func TestAFactThatIsDeliveredCanBeRead(t *testing.T) {
	b := open(t, broker.Config{Dir: t.TempDir(), Create: true})
	messages, err := b.Subscriber(broker.SubscriberConfig{Durable: "reader"}).Subscribe(t.Context(), events.KindFilter(b.Host(), events.KindCancelled))
	if err != nil {
		t.Fatal(err)
	}
	const n = 1000
	stop := make(chan struct{})
	defer close(stop)
	for range 2 * runtime.NumCPU() { // the appender does not always run at once
		go func() {
			for {
				select {
				case <-stop:
					return
				default:
					runtime.Gosched()
				}
			}
		}()
	}
	go func() {
		for range n {
			logtest.Append(t, b.Log(), logtest.NewTransaction(), &events.Cancelled{})
		}
	}()
	for range n {
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
