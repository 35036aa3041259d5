package consumers_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"

	"cortex/consumers"
	"cortex/consumers/recorder"
	"cortex/embedded/natslog"
	"cortex/events"
)

func newID() events.ID { return events.ID(uuid.Must(uuid.NewV7()).String()) }

// routed is a router with one handler over a real broker.
type routed struct {
	broker   *natslog.Broker
	recorder *recorder.Recorder
	router   *consumers.Router
	seen     chan events.ID

	mu   sync.Mutex
	fail func(r events.Record, attempt int) error
	runs map[events.ID]int
}

func route(t *testing.T) *routed {
	t.Helper()
	b, err := natslog.Open(t.Context(), natslog.Config{Dir: t.TempDir(), Create: true, Now: time.Now, NewID: newID})
	if err != nil {
		t.Fatal(err)
	}
	x := &routed{broker: b, seen: make(chan events.ID, 100), runs: map[events.ID]int{}}
	x.recorder = &recorder.Recorder{Log: b.Log(), Now: time.Now, NewID: newID, Actor: events.Actor{Program: "test"}}
	subscribe := func(name, _ string) (message.Subscriber, error) {
		return b.Subscriber(natslog.SubscriberConfig{Durable: name}), nil
	}
	x.router = consumers.NewRouter(x.recorder, subscribe, b.ReadMessage, consumers.Config{InitialBackoff: time.Millisecond})
	x.router.Add(consumers.Handler{Name: "worker", Filter: events.KindFilter(b.Host(), events.KindCancelled), Handle: x.handle})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- x.router.Run(ctx) }()
	<-x.router.Ready()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-ended, b.Close()); err != nil {
			t.Error(err)
		}
	})
	return x
}

func (x *routed) handle(_ context.Context, r events.Record) error {
	x.mu.Lock()
	x.runs[r.ID]++
	attempt, fail := x.runs[r.ID], x.fail
	x.mu.Unlock()
	if fail != nil {
		if err := fail(r, attempt); err != nil {
			return err
		}
	}
	x.seen <- r.ID
	return nil
}

func (x *routed) set(fail func(events.Record, int) error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.fail = fail
}

// append appends a fact that the handler receives.
func (x *routed) append(t *testing.T) events.Record {
	t.Helper()
	return x.appendAs(t, newID())
}

// appendAs appends it with an id.
func (x *routed) appendAs(t *testing.T, id events.ID) events.Record {
	t.Helper()
	txn := events.TransactionID(newID())
	s := *x.recorder
	s.NewID = func() events.ID { return id }
	r, err := s.Append(t.Context(), recorder.Cause{}.ForTransaction(txn), events.TransactionSubject(txn), &events.Cancelled{}, events.NoExpectation)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// deadLetter waits for the next dead letter after a position.
func (x *routed) deadLetter(t *testing.T, after events.Position) (events.Record, *events.DeadLettered) {
	t.Helper()
	for r, err := range x.broker.Log().Follow(t.Context(), events.Query{After: after, Filters: []string{events.KindFilter(x.broker.Host(), events.KindDeadLettered)}}) {
		if err != nil {
			t.Fatal(err)
		}
		f, err := events.Decode(r.Event)
		if err != nil {
			t.Fatal(err)
		}
		return r, f.(*events.DeadLettered)
	}
	t.Fatal("there is no dead letter")
	return events.Record{}, nil
}

func TestRouterRetriesTransientFailure(t *testing.T) {
	x := route(t)
	x.set(func(_ events.Record, attempt int) error {
		if attempt <= events.MaxHandlerRetries {
			return errors.New("not yet")
		}
		return nil
	})
	first, second := x.append(t), x.append(t)
	if got := []events.ID{<-x.seen, <-x.seen}; got[0] != first.ID || got[1] != second.ID {
		t.Errorf("handled %v, want %s then %s", got, first.ID, second.ID)
	}
}

func TestRouterDeadLetterAndNextMessage(t *testing.T) {
	for name, fail := range map[string]func() error{
		"an error": func() error {
			return &events.Error{Kind: events.ErrInternal, Subject: "thing", Err: errors.New("broken for good")}
		},
		"a panic": func() error { panic("broken for good") },
	} {
		t.Run(name, func(t *testing.T) {
			x := route(t)
			poison := newID()
			x.set(func(r events.Record, _ int) error {
				if r.ID == poison {
					return fail()
				}
				return nil
			})
			bad := x.appendAs(t, poison)
			good := x.append(t)
			fact, dead := x.deadLetter(t, bad.Position)
			if dead.Handler != "worker" || dead.EventID != bad.ID || dead.EventKind != bad.Kind || dead.StreamPosition != bad.Position || dead.Failure.Message == "" {
				t.Errorf("%+v", dead)
			}
			if fact.Transaction != bad.Transaction || fact.Causation != bad.ID {
				t.Errorf("its cause is missing: %+v", fact)
			}
			if got := <-x.seen; got != good.ID {
				t.Errorf("then %s was handled, want %s", got, good.ID)
			}
			x.mu.Lock()
			runs := x.runs[bad.ID]
			x.mu.Unlock()
			if runs != events.MaxHandlerRetries+1 {
				t.Errorf("tried %d times", runs)
			}

			// Retried: first it still fails, then it succeeds.
			if name == "an error" {
				if err := x.router.Retry(t.Context(), dead); err == nil {
					t.Error("a retry that fails succeeded")
				}
			}
			x.set(nil)
			if err := x.router.Retry(t.Context(), dead); err != nil {
				t.Fatal(err)
			}
			if got := <-x.seen; got != bad.ID {
				t.Errorf("the retry handled %s", got)
			}
		})
	}
}

func TestRetryOfAnUnknownHandlerIsRefused(t *testing.T) {
	x := route(t)
	if err := x.router.Retry(t.Context(), &events.DeadLettered{Handler: "nobody"}); !errors.Is(err, events.ErrNotFound) {
		t.Error(fmt.Sprint(err))
	}
}
