package projections_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"cortex/events"
	"cortex/events/memlog"
	"cortex/projections"
)

func TestRebuildAll(t *testing.T) {
	t.Run("one failing read model does not stop the others", func(t *testing.T) {
		first, second := newSetup(t, tally(nil)), newSetup(t, tally(func(r events.Record) error {
			if r.Position == 7 {
				return errInjected
			}
			return nil
		}))
		broken, err := projections.New(tally(nil), func(context.Context, string) (projections.Store, error) { return nil, errInjected }, projections.Config{Dir: t.TempDir(), Batch: 3})
		if err != nil {
			t.Fatal(err)
		}
		log := &countedLog{Log: first.log, records: first.records}
		if err := projections.RebuildAll(t.Context(), log, first.ReadModel, broken, second.ReadModel); !errors.Is(err, errInjected) {
			t.Errorf("got %v", err)
		}
		if n, m := first.count(t), second.count(t); n != 40 || m != 39 || len(second.letters) != 1 {
			t.Errorf("%d and %d facts are applied, %d dead letters", n, m, len(second.letters))
		}
		if n := log.reads.Load(); n != 40 {
			t.Errorf("%d records were read for two read models", n)
		}
	})
	t.Run("a record that does not follow its predecessor ends every rebuild", func(t *testing.T) {
		first, second := newSetup(t, tally(nil)), newSetup(t, tally(nil))
		forged := slices.Clone(first.records)
		forged[20].Data = []byte(`{}`)
		err := projections.RebuildAll(t.Context(), &countedLog{Log: first.log, records: forged}, first.ReadModel, second.ReadModel)
		if n := strings.Count(fmt.Sprint(err), "event 21"); n != 2 || !errors.Is(err, events.ErrCorrupt) {
			t.Errorf("got %v", err)
		}
		if n := first.count(t) + second.count(t); n != 0 {
			t.Errorf("%d facts are applied", n)
		}
	})
}

// countedLog returns the given records and counts them.
type countedLog struct {
	*memlog.Log
	records []events.Record
	reads   atomic.Int64
}

func (l *countedLog) Read(_ context.Context, q events.Query) iter.Seq2[events.Record, error] {
	return func(yield func(events.Record, error) bool) {
		for _, r := range l.records {
			if q.Match(r) {
				l.reads.Add(1)
				if !yield(r, nil) {
					return
				}
			}
		}
	}
}
