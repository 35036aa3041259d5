package recorder_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"cortex/consumers/recorder"
	"cortex/consumers/recorder/recordertest"
	"cortex/events"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// unsure is a log whose first appends end with an error; each was stored if stores is
// set.
type unsure struct {
	events.Log
	failures int
	stores   bool
	err      events.ErrorKind
	ids      []events.ID
}

func (l *unsure) Append(ctx context.Context, e events.Event, x events.Expect) (events.Record, error) {
	l.ids = append(l.ids, e.ID)
	if len(l.ids) > l.failures {
		return l.Log.Append(ctx, e, x)
	}
	if l.stores {
		if _, err := l.Log.Append(ctx, e, x); err != nil {
			return events.Record{}, err
		}
	}
	return events.Record{}, &events.Error{Op: "test", Kind: l.err, Err: errors.New("no answer")}
}

func TestRecorderRepeatsAppendWithUnknownOutcome(t *testing.T) {
	for name, tc := range map[string]struct {
		failures int
		stores   bool
		err      events.ErrorKind
		attempts int
		stored   int
		fails    bool
	}{
		"the first attempt succeeds":           {attempts: 1, stored: 1},
		"four attempts are lost":               {failures: 4, err: events.ErrUnavailable, attempts: 5, stored: 1},
		"an attempt was stored without answer": {failures: 1, stores: true, err: events.ErrUnavailable, attempts: 2, stored: 1},
		"no attempt reaches the log":           {failures: 9, err: events.ErrUnavailable, attempts: 5, fails: true},
		"a conflict is final":                  {failures: 1, err: events.ErrConflict, attempts: 1, fails: true},
		"a full disk is final":                 {failures: 1, err: events.ErrFull, attempts: 1, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := recordertest.New()
			log := &unsure{Log: s.Log, failures: tc.failures, stores: tc.stores, err: tc.err}
			s.Log = log
			_, err := s.Append(t.Context(), recorder.Cause{}, events.MachineSubject(recordertest.Host), &events.IndexesRefreshed{Reason: "test"}, events.NoExpectation)
			if (err != nil) != tc.fails || tc.fails && !errors.Is(err, tc.err) {
				t.Errorf("got %v", err)
			}
			if len(log.ids) != tc.attempts {
				t.Errorf("%d attempts, want %d", len(log.ids), tc.attempts)
			}
			for _, id := range log.ids {
				if id != log.ids[0] {
					t.Errorf("the attempts had the ids %v; want one id", log.ids)
				}
			}
			if n := len(recordertest.Facts[*events.IndexesRefreshed](t, s)); n != tc.stored {
				t.Errorf("%d facts are stored, want %d", n, tc.stored)
			}
		})
	}
}

func TestRecorderStopsRepeatingWhenContextEnds(t *testing.T) {
	s := recordertest.New()
	log := &unsure{Log: s.Log, failures: 9, err: events.ErrUnavailable}
	s.Log = log
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Append(ctx, recorder.Cause{}, events.MachineSubject(recordertest.Host), &events.IndexesRefreshed{}, events.NoExpectation); err == nil || len(log.ids) != 1 {
		t.Errorf("%d attempts, %v", len(log.ids), err)
	}
}

func TestRecorderFillsEnvelope(t *testing.T) {
	s := recordertest.New()
	s.Version = "1.2.3"
	user := events.Actor{UID: 1000, Program: "cortex"}
	first := recordertest.Append(t, s, &events.IndexesRefreshed{})
	if first.Correlation != first.ID || first.Causation != "" || first.Actor != s.Actor || first.CortexVersion != "1.2.3" || !first.Time.Equal(recordertest.Now) {
		t.Errorf("a fact without a cause: %+v", first.Event)
	}
	request := recordertest.Request(t, s, "", 1000, &events.CancelRequest{})
	request.TraceParent, request.Correlation = "00-trace", ""
	other := events.TransactionID(s.NewID())
	caused, err := s.Append(t.Context(), recorder.CausedBy(request).WithActor(user).ForTransaction(other), events.TransactionSubject(other), &events.Cancelled{}, events.NoExpectation)
	if err != nil {
		t.Fatal(err)
	}
	if caused.Causation != request.ID || caused.Correlation != request.ID || caused.Actor != user || caused.Transaction != other || caused.TraceParent != request.TraceParent {
		t.Errorf("a fact that a request caused: %+v", caused.Event)
	}
	next, err := s.Append(t.Context(), recorder.CausedBy(caused), events.TransactionSubject(other), &events.Cancelled{}, events.NoExpectation)
	if err != nil {
		t.Fatal(err)
	}
	if next.Causation != caused.ID || next.Correlation != request.ID || next.Actor != s.Actor || next.Transaction != other {
		t.Errorf("a fact that a fact caused: %+v", next.Event)
	}
}

func TestRecorderConflictStoresNothing(t *testing.T) {
	s := recordertest.New()
	txn, _ := recordertest.Transaction(t, s, &events.Requested{Number: 1, Intent: events.Intent{Verb: events.VerbUpgrade}})
	stale := *txn
	recordertest.Continue(t, s, txn, &events.Cancelled{})
	_, err := s.AppendToTransaction(t.Context(), recorder.Cause{}, &stale, &events.Cancelled{Reason: "late"})
	if !errors.Is(err, events.ErrConflict) || stale.State != events.StateRequested {
		t.Errorf("%v, the stale transaction is %s", err, stale.State)
	}
	if n := len(recordertest.Facts[*events.Cancelled](t, s)); n != 1 {
		t.Errorf("%d facts, want 1", n)
	}
}

// openTransaction opens a transaction by a request, or by an observation.
func openTransaction(s *recorder.Recorder, g *recorder.Sequence, observed bool) (number int, err error) {
	txn := events.TransactionID(s.NewID())
	err = g.Next(context.Background(), func(n int) error {
		number = n
		var f events.Fact = &events.Requested{Number: n, Intent: events.Intent{Verb: events.VerbUpgrade}}
		if observed {
			f = &events.Observed{Number: n, Program: "apt-get"}
		}
		_, err := s.Append(context.Background(), recorder.Cause{Transaction: txn}, events.TransactionSubject(txn), f, events.NoExpectation)
		return err
	})
	return number, err
}

func TestSequenceCountsRequestedAndObservedTransactions(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := recordertest.New()
		for i, observed := range rapid.SliceOfN(rapid.Bool(), 1, 12).Draw(rt, "observed") {
			// A new sequence, as after a restart: the log alone decides.
			if n, err := openTransaction(s, recorder.NewSequence(s.Log), observed); err != nil || n != i+1 {
				rt.Fatalf("transaction %d has number %d, %v", i+1, n, err)
			}
		}
	})
}

func TestSequenceNumbersAreUniqueUnderConcurrency(t *testing.T) {
	s := recordertest.New()
	g := recorder.NewSequence(s.Log)
	var mu sync.Mutex
	seen := map[int]bool{}
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			n, err := openTransaction(s, g, i%2 == 0)
			mu.Lock()
			defer mu.Unlock()
			if err != nil || seen[n] || n < 1 || n > 40 {
				t.Errorf("number %d, %v; so far %v", n, err, seen)
			}
			seen[n] = true
		})
	}
	wg.Wait()
}

func TestSequenceNumberThatIsNotUsedIsTakenAgain(t *testing.T) {
	s := recordertest.New()
	g := recorder.NewSequence(s.Log)
	failed := errors.New("not appended")
	if err := g.Next(t.Context(), func(int) error { return failed }); !errors.Is(err, failed) {
		t.Errorf("got %v", err)
	}
	if n, err := openTransaction(s, g, false); n != 1 || err != nil {
		t.Errorf("number %d, %v; want 1", n, err)
	}
}

func TestCauseIndexFindsFactsOfItsKindsOnly(t *testing.T) {
	s := recordertest.New()
	x := recorder.NewCauseIndex(s.Log, events.KindAnswersForgotten)
	request := recordertest.Request(t, s, "", 0, &events.CancelRequest{})
	caused := func() bool {
		t.Helper()
		yes, err := x.Caused(t.Context(), request.ID)
		if err != nil {
			t.Fatal(err)
		}
		return yes
	}
	record := func(f events.Fact) {
		t.Helper()
		if _, err := s.Append(t.Context(), recorder.CausedBy(request), events.MachineSubject(recordertest.Host), f, events.NoExpectation); err != nil {
			t.Fatal(err)
		}
	}
	record(&events.IndexesRefreshed{})
	if caused() {
		t.Error("a fact of another kind counts")
	}
	record(&events.AnswersForgotten{All: true})
	for range 2 {
		if !caused() {
			t.Error("a fact that was appended since the last question is not found")
		}
	}
	if yes, err := x.Caused(t.Context(), s.NewID()); yes || err != nil {
		t.Errorf("an event without a fact: %v, %v", yes, err)
	}
}
