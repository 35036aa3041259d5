package natslog_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"

	"cortex/embedded/natslog"
	"cortex/events"
	"cortex/events/logtest"
)

// deliveryTimeout is longer than any delivery takes and shorter than every AckWait.
const deliveryTimeout = 10 * time.Second

// next returns the next message.
func next(t *testing.T, c <-chan *message.Message) *message.Message {
	t.Helper()
	select {
	case m, ok := <-c:
		if !ok {
			t.Fatal("the subscription ended")
		}
		return m
	case <-time.After(deliveryTimeout):
		t.Fatal("timeout without a message")
	}
	return nil
}

// subscribe opens a subscription with the name "worker".
func subscribe(t *testing.T, b *natslog.Broker, filter string) (<-chan *message.Message, message.Subscriber) {
	t.Helper()
	s := b.Subscriber(natslog.SubscriberConfig{
		Durable: "worker", AckWait: time.Hour, MaxNackPause: time.Millisecond, CloseTimeout: 20 * time.Millisecond,
	})
	c, err := s.Subscribe(t.Context(), filter)
	check(t, err)
	return c, s
}

func submit(t *testing.T, b *natslog.Broker) events.Event {
	t.Helper()
	e := request(t, b)
	_, err := b.Submit(t.Context(), e)
	check(t, err)
	return e
}

func TestSubscribeMessageIsTheEvent(t *testing.T) {
	b := open(t, natslog.Config{Dir: t.TempDir(), Create: true})
	facts, _ := subscribe(t, b, events.KindFilter(b.Host(), events.KindCancelled))
	requests, _ := subscribe(t, b, events.RequestFilter(b.Host()))

	want := logtest.Append(t, b.Log(), logtest.NewTransaction(), &events.Cancelled{Reason: "x"})
	m := next(t, facts)
	got, err := events.DecodeHeaders(events.Headers(m.Metadata), m.Payload)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-appended +received):\n%s", err, diff)
	}
	if m.UUID != string(want.ID) || m.Metadata["cortex-position"] != strconv.Itoa(int(want.Position)) ||
		m.Metadata["cortex-stream"] != natslog.FactsStream || m.Metadata["cortex-delivered"] != "1" {
		t.Errorf("%s with %v", m.UUID, m.Metadata)
	}
	m.Ack()

	e := submit(t, b)
	m = next(t, requests)
	if m.UUID != string(e.ID) || m.Metadata["cortex-position"] != "1" || m.Metadata["cortex-stream"] != natslog.RequestsStream {
		t.Errorf("%s with %v", m.UUID, m.Metadata)
	}
	m.Ack()
}

func TestSubscribeNackedMessageComesFirst(t *testing.T) {
	b := open(t, natslog.Config{Dir: t.TempDir(), Create: true})
	first, second := submit(t, b), submit(t, b)
	c, _ := subscribe(t, b, events.RequestFilter(b.Host()))
	for i := range 5 {
		m := next(t, c)
		if m.UUID != string(first.ID) || m.Metadata["cortex-delivered"] != strconv.Itoa(i+1) {
			t.Fatalf("delivery %d is %s with %v", i+1, m.UUID, m.Metadata)
		}
		m.Nack()
	}
	next(t, c).Ack()
	if m := next(t, c); m.UUID != string(second.ID) || m.Metadata["cortex-delivered"] != "1" {
		t.Errorf("next is %s with %v", m.UUID, m.Metadata)
	}
}

func TestSubscribeResumesByName(t *testing.T) {
	dir := t.TempDir()
	b := open(t, natslog.Config{Dir: dir, Create: true})
	sent := []events.Event{submit(t, b), submit(t, b), submit(t, b)}
	filter := events.RequestFilter(b.Host())

	t.Run("after the subscription was closed", func(t *testing.T) {
		c, s := subscribe(t, b, filter)
		next(t, c).Ack()
		held := next(t, c)
		check(t, s.Close())
		select {
		case <-held.Context().Done():
		default:
			t.Error("the context of the message being handled is not done")
		}
		c, s = subscribe(t, b, filter)
		if m := next(t, c); m.UUID != string(sent[1].ID) {
			t.Errorf("it resumes with %s, want %s", m.UUID, sent[1].ID)
		}
		check(t, s.Close())
	})
	t.Run("after a crash", func(t *testing.T) {
		c, _ := subscribe(t, b, filter)
		next(t, c) // being handled at the time of the crash
		again := image(t, dir)
		b.CutConnections()
		c, _ = subscribe(t, open(t, natslog.Config{Dir: again}), filter)
		for i, want := range sent[1:] {
			m := next(t, c)
			if m.UUID != string(want.ID) {
				t.Errorf("message %d is %s, want %s", i, m.UUID, want.ID)
			}
			m.Ack()
		}
	})
}

func TestSubscribeAckedMessageIsNotRepeated(t *testing.T) {
	dir := t.TempDir()
	b := open(t, natslog.Config{Dir: dir, Create: true})
	filter := events.RequestFilter(b.Host())
	c, _ := subscribe(t, b, filter)
	for range 20 {
		submit(t, b)
		next(t, c).Ack()
	}
	closeBroker(t, b)
	b = open(t, natslog.Config{Dir: dir})
	c, _ = subscribe(t, b, filter)
	e := submit(t, b)
	if m := next(t, c); m.UUID != string(e.ID) {
		t.Errorf("%s was delivered again after it was acknowledged", m.Metadata["cortex-position"])
	}
}

func TestSubscribeShortHandlersNeverStall(t *testing.T) {
	b := open(t, natslog.Config{Dir: t.TempDir(), Create: true})
	const n = 3000
	fill(t, b.Log(), n)
	c, _ := subscribe(t, b, events.KindFilter(b.Host(), events.KindStepSucceeded))
	for i := range n {
		m := next(t, c)
		if m.Metadata["cortex-position"] != strconv.Itoa(i+2) {
			t.Fatalf("message %d is %s", i, m.Metadata["cortex-position"])
		}
		m.Ack()
	}
}

func TestSubscribeCloseDropsUndeliveredMessages(t *testing.T) {
	b := open(t, natslog.Config{Dir: t.TempDir(), Create: true})
	submit(t, b)
	s := b.Subscriber(natslog.SubscriberConfig{Durable: "worker", CloseTimeout: time.Hour})
	c, err := s.Subscribe(t.Context(), events.RequestFilter(b.Host()))
	check(t, err)
	stream, err := b.JetStream().Consumer(t.Context(), natslog.RequestsStream, "worker")
	check(t, err)
	eventually(t, func() bool { // until the subscription offers it
		info, err := stream.Info(t.Context())
		return err == nil && info.NumAckPending == 1
	})
	<-time.After(20 * time.Millisecond) // time for the way from the server to the channel
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		check(t, s.Close())
	}()
	select {
	case <-closed:
	case <-time.After(deliveryTimeout):
		t.Fatal("Close blocks")
	}
	for range c {
		t.Error("a message was delivered after Close")
	}
}

func TestSubscribeLongHandlerKeepsItsMessage(t *testing.T) {
	b := open(t, natslog.Config{Dir: t.TempDir(), Create: true})
	const wait = 150 * time.Millisecond
	var subs []<-chan *message.Message
	for range 2 { // the second would receive a message that was delivered again
		c, err := b.Subscriber(natslog.SubscriberConfig{Durable: "slow", AckWait: wait, MaxAckPending: 2}).
			Subscribe(t.Context(), events.RequestFilter(b.Host()))
		check(t, err)
		subs = append(subs, c)
	}
	submit(t, b)
	var held *message.Message
	select {
	case held = <-subs[0]:
	case held = <-subs[1]:
	}
	select {
	case <-subs[0]:
		t.Error("it was delivered again")
	case <-subs[1]:
		t.Error("it was delivered again")
	case <-time.After(5 * wait):
	}
	held.Ack()
}

func TestSubscribeDiscardsInvalidMessages(t *testing.T) {
	b := open(t, natslog.Config{Dir: t.TempDir(), Create: true})
	_, err := b.JetStream().Publish(t.Context(), "cortex.req."+string(b.Host())+".junk.x", []byte("junk"))
	check(t, err)
	e := submit(t, b)
	c, _ := subscribe(t, b, events.RequestFilter(b.Host()))
	m := next(t, c)
	if m.UUID != string(e.ID) {
		t.Errorf("%q was delivered", m.Payload)
	}
	m.Ack()
}

func TestSubscribeRefusesInvalidNameOrTopic(t *testing.T) {
	b := open(t, natslog.Config{Dir: t.TempDir(), Create: true})
	for name, topic := range map[string]string{
		"": events.RequestFilter(b.Host()), "a.b": events.RequestFilter(b.Host()), "ok": "cortex.tmp.>", "also ok": ">",
	} {
		if _, err := b.Subscriber(natslog.SubscriberConfig{Durable: name}).Subscribe(t.Context(), topic); err == nil {
			t.Errorf("%q can subscribe to %s", name, topic)
		}
	}
}

func BenchmarkHandle(b *testing.B) {
	br := open(b, natslog.Config{Dir: b.TempDir(), Create: true})
	fill(b, br.Log(), b.N)
	c, err := br.Subscriber(natslog.SubscriberConfig{Durable: "bench"}).Subscribe(b.Context(), events.KindFilter(br.Host(), events.KindStepSucceeded))
	if err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	for range b.N {
		(<-c).Ack()
	}
}
