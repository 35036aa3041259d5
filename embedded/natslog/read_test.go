package natslog_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cortex/embedded/natslog"
	"cortex/events"
	"cortex/events/logtest"
)

// TestReadLongRangeFromFiles reads ranges of several blocks while other goroutines append.
func TestReadLongRangeFromFiles(t *testing.T) {
	b := open(t, natslog.Config{Dir: t.TempDir(), Create: true})
	const n = 2600
	fill(t, b.Log(), n)
	short := map[events.Position]events.Record{} // as the server returns it
	for after := events.Position(0); after < n; after += 500 {
		for r, err := range b.Log().Read(t.Context(), events.Query{After: after, Filters: []string{events.KindFilter(b.Host(), events.KindStepSucceeded)}}) {
			check(t, err)
			if r.Position > after+500 {
				break
			}
			short[r.Position] = r
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		fill(t, b.Log(), 200)
	}()
	for _, after := range []events.Position{0, 1, 400, 1500} {
		want := after
		for r, err := range b.Log().Read(t.Context(), events.Query{After: after}) {
			check(t, err)
			if want++; r.Position != want {
				t.Fatalf("after %d: got event %d, want %d", after, r.Position, want)
			}
			if s, ok := short[r.Position]; ok && !cmp.Equal(s, r) {
				t.Fatalf("the server and the files differ:\n%s", cmp.Diff(s, r))
			}
		}
		if want < n+1 {
			t.Errorf("after %d: it ends at %d", after, want)
		}
	}
	<-done
	t.Run("stopped early", func(t *testing.T) {
		seen := 0
		for _, err := range b.Log().Read(t.Context(), events.Query{}) {
			check(t, err)
			if seen++; seen == 10 {
				break
			}
		}
	})
	t.Run("cancelled context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var last error
		seen := 0
		for _, err := range b.Log().Read(ctx, events.Query{}) {
			if seen++; seen == 10 {
				cancel()
			}
			last = err
		}
		if events.KindOf(last) != events.ErrUnavailable || seen > 20 {
			t.Errorf("%d records, then %v", seen, last)
		}
	})
	t.Run("damaged block", func(t *testing.T) {
		flip(t, lastBlock(t, b.Dir()), "")
		var last error
		for _, err := range b.Log().Read(t.Context(), events.Query{}) {
			last = err
		}
		if events.KindOf(last) != events.ErrCorrupt {
			t.Errorf("%v, want corrupt", last)
		}
		e := logtest.NewEvent(t, b.Host(), logtest.NewTransaction(), &events.Cancelled{})
		if _, err := b.Log().Append(t.Context(), e, events.NoExpectation); events.KindOf(err) != events.ErrCorrupt {
			t.Errorf("append: %v, want corrupt", err)
		}
	})
}
