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
	t.Run("several are rebuilt at once, and one that fails keeps no other from it", func(t *testing.T) {
		first, second := newSetup(t, tally{}), newSetup(t, tally{fails: func(r events.Record) error {
			if r.Position == 7 {
				return errUnlucky
			}
			return nil
		}})
		broken, err := projections.New(tally{}, func(context.Context, string) (projections.Store, error) { return nil, errUnlucky }, projections.Config{Dir: t.TempDir(), Batch: 3})
		if err != nil {
			t.Fatal(err)
		}
		log := &countedLog{Log: first.log, records: first.records}
		if err := projections.RebuildAll(t.Context(), log, first.ReadModel, broken, second.ReadModel); !errors.Is(err, errUnlucky) {
			t.Errorf("got %v", err)
		}
		if n, m := first.count(t), second.count(t); n != 40 || m != 39 || len(second.told) != 1 {
			t.Errorf("%d and %d facts are in, %d aside", n, m, len(second.told))
		}
		if n := log.given.Load(); n != 40 {
			t.Errorf("%d records were read for two", n)
		}
	})
	t.Run("what does not follow in the log ends every rebuild", func(t *testing.T) {
		first, second := newSetup(t, tally{}), newSetup(t, tally{})
		forged := slices.Clone(first.records)
		forged[20].Data = []byte(`{}`)
		err := projections.RebuildAll(t.Context(), &countedLog{Log: first.log, records: forged}, first.ReadModel, second.ReadModel)
		if n := strings.Count(fmt.Sprint(err), "event 21"); n != 2 || !errors.Is(err, events.ErrCorrupt) {
			t.Errorf("got %v", err)
		}
		if n := first.count(t) + second.count(t); n != 0 {
			t.Errorf("%d facts are in", n)
		}
	})
}

// countedLog gives other records than the log has, and counts them.
type countedLog struct {
	*memlog.Log
	records []events.Record
	given   atomic.Int64
}

func (l *countedLog) Read(_ context.Context, q events.Query) iter.Seq2[events.Record, error] {
	return func(yield func(events.Record, error) bool) {
		for _, r := range l.records {
			if q.Match(r) {
				l.given.Add(1)
				if !yield(r, nil) {
					return
				}
			}
		}
	}
}
