package usage_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"pgregory.net/rapid"

	"cortex/events"
	"cortex/events/memlog"
	"cortex/projections"
	"cortex/projections/projectiontest"
	"cortex/projections/usage"
)

func TestMain(m *testing.M) { projectiontest.Main(m) }

func TestContract(t *testing.T) {
	projectiontest.Run(t, usage.Definition())
}

// The report must contain the exact amounts of all facts.
func TestReportMatchesTheLog(t *testing.T) {
	base, n := t.TempDir(), 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		records := projectiontest.History(rt, rapid.IntRange(50, 300).Draw(rt, "facts"))
		var want int64
		answered, cached := 0, 0
		for _, r := range records {
			f, err := events.Decode(r.Event)
			if err != nil {
				rt.Fatal(err)
			}
			switch f := f.(type) {
			case *events.LLMCompleted:
				want += f.Cost
				if f.Cache != "" {
					cached++
				} else {
					answered++
				}
			case *events.LLMFailed:
				want += f.Cost
			}
		}
		m, err := projections.New(usage.Definition(), projectiontest.Open, projections.Config{Dir: filepath.Join(base, fmt.Sprint(n)), OnDeadLetter: func(d projections.DeadLetter) { rt.Errorf("%s", d) }})
		if err != nil {
			rt.Fatal(err)
		}
		err = errors.Join(m.Open(context.Background(), memlog.New(projectiontest.Host)), m.Apply(context.Background(), records))
		if err != nil {
			rt.Fatal(err)
		}
		db, err := projectiontest.OpenReader(m.Path())
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { _ = errors.Join(db.Close(), m.Close()) }()
		got, err := usage.NewReader(db).Report(context.Background(), time.Time{})
		if err != nil {
			rt.Fatal(err)
		}
		var lines int64
		for _, l := range got.ModelDays {
			lines += l.Cost
		}
		if got.Cost != want || lines != want || got.Answered < answered || got.Cached != cached {
			rt.Errorf("%+v, want %d, %d answered, %d cached", got, want, answered, cached)
		}
	})
}
