package natslog_test

import (
	"context"
	"sync"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"

	"cortex/embedded/natslog"
	"cortex/events"
	"cortex/events/logtest"
)

func TestSubmitStoresRequestOnce(t *testing.T) {
	dir := t.TempDir()
	b := open(t, natslog.Config{Dir: dir, Create: true})
	_, err := b.Submit(t.Context(), request(t, b))
	check(t, err)
	e := request(t, b)
	var wg sync.WaitGroup
	for range 25 {
		wg.Go(func() {
			if p, err := b.Submit(t.Context(), e); err != nil || p != 2 {
				t.Errorf("at %d, %v", p, err)
			}
		})
	}
	wg.Wait()
	if n := b.Health(t.Context()).Requests.Messages; n != 2 {
		t.Errorf("%d requests are stored", n)
	}
	closeBroker(t, b)
	b = open(t, natslog.Config{Dir: dir})
	if p, err := b.Submit(t.Context(), e); err != nil || p != 2 {
		t.Errorf("after a restart: at %d, %v", p, err)
	}
	if head := b.Health(t.Context()).Head.Position; head != 1 {
		t.Errorf("requests moved the log's head to %d", head)
	}
}

func TestSubmitRefusesInvalidRequests(t *testing.T) {
	b := open(t, natslog.Config{Dir: t.TempDir(), Create: true})
	fact := logtest.NewEvent(t, b.Host(), logtest.NewTransaction(), &events.Approved{How: "forged"})
	other := request(t, b)
	other.Host = events.HostID(logtest.NewID())
	bad := request(t, b)
	bad.Data = []byte(`{"reason":1}`)
	for name, e := range map[string]events.Event{"a fact": fact, "of another host": other, "malformed": bad, "empty": {}} {
		if _, err := b.Submit(t.Context(), e); err == nil || events.KindOf(err).Retryable() {
			t.Errorf("%s: %v", name, err)
		}
	}
	m := message.NewMessage(string(fact.ID), []byte(fact.Data))
	m.SetContext(t.Context())
	for _, topic := range []string{events.FactSubject(fact), events.RequestSubject(other), "$JS.API.STREAM.DELETE." + natslog.FactsStream, "x"} {
		if err := b.Publisher().Publish(topic, m); err == nil {
			t.Errorf("published to %s", topic)
		}
	}
	if h := b.Health(t.Context()); h.Requests.Messages != 0 || h.Facts.Messages != 1 {
		t.Errorf("%d requests, %d facts are stored", h.Requests.Messages, h.Facts.Messages)
	}
}

func TestReadMessage(t *testing.T) {
	b := open(t, natslog.Config{Dir: t.TempDir(), Create: true})
	e := request(t, b)
	p, err := b.Submit(t.Context(), e)
	check(t, err)
	e.Time = e.Time.UTC()
	got, err := b.ReadMessage(t.Context(), natslog.RequestsStream, p)
	if diff := cmp.Diff(events.Record{Event: e, Position: p}, got); err != nil || diff != "" {
		t.Errorf("%v (-submitted +read):\n%s", err, diff)
	}
	want := logtest.Append(t, b.Log(), logtest.NewTransaction(), &events.Cancelled{})
	got, err = b.ReadMessage(t.Context(), natslog.FactsStream, want.Position)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-appended +read):\n%s", err, diff)
	}
	for stream, p := range map[string]events.Position{natslog.RequestsStream: 7, natslog.FactsStream: 0, "OTHER": 1} {
		if _, err := b.ReadMessage(t.Context(), stream, p); events.KindOf(err) != events.ErrNotFound {
			t.Errorf("message %d of %s: %v", p, stream, err)
		}
	}
}

func TestProgressReachesFollowers(t *testing.T) {
	b := open(t, natslog.Config{Dir: t.TempDir(), Create: true})
	mine, other := events.TransactionID(logtest.NewID()), events.TransactionID(logtest.NewID())
	ctx, cancel := context.WithCancel(t.Context())
	first, second := b.FollowProgress(ctx, mine), b.FollowProgress(t.Context(), mine)
	idle := b.FollowProgress(t.Context(), mine) // never read; must not block the others
	b.SendProgress(events.Progress{Transaction: other, Message: "not mine"})
	for i := range 1000 {
		want := events.Progress{Transaction: mine, Stage: events.StageApply, Step: i, Percent: 12.5}
		b.SendProgress(want)
		for _, c := range []<-chan events.Progress{first, second} {
			if got := <-c; got != want {
				t.Fatalf("got %+v, want %+v", got, want)
			}
		}
	}
	cancel()
	for range first { // ends when the channel is closed
	}
	closeBroker(t, b)
	for range second {
	}
	n := 0
	for range idle {
		n++
	}
	if n == 0 || n > 200 {
		t.Errorf("the idle follower has %d reports", n)
	}
	for range b.FollowProgress(t.Context(), mine) {
		t.Error("a closed broker sends reports")
	}
	b.SendProgress(events.Progress{Transaction: mine})
}
