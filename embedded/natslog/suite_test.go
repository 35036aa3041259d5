package natslog_test

import (
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"

	"cortex/embedded/natslog"
)

// TestPubSubContractOfWatermill runs Watermill's test suite for publishers and subscribers.
func TestPubSubContractOfWatermill(t *testing.T) {
	b, err := natslog.OpenWithoutStreams(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeBroker(t, b) })
	group := func(t *testing.T, name string) (message.Publisher, message.Subscriber) {
		return b.Adapter(natslog.SubscriberConfig{
			Durable: name, MaxNackPause: time.Millisecond, CloseTimeout: 50 * time.Millisecond,
		})
	}
	tests.TestPubSub(t, tests.Features{
		ConsumerGroups:      true,
		ExactlyOnceDelivery: false,
		GuaranteedOrder:     true,
		Persistent:          true,
	}, func(t *testing.T) (message.Publisher, message.Subscriber) {
		return group(t, "shared")
	}, group)
}
