package projections_test

import (
	"errors"
	"slices"
	"testing"

	"cortex/events"
	"cortex/projections"
	"cortex/projections/projectiontest"
)

func TestNewRefusesInvalidHandlers(t *testing.T) {
	opened := func(*projections.Tx, events.Record, *events.LogOpened) error { return nil }
	for name, handlers := range map[string][]projections.Handler{
		"no function":      {{}},
		"two of one type":  {projections.On(opened), projections.On(opened)},
		"an interface":     {projections.On(func(*projections.Tx, events.Record, events.Fact) error { return nil })},
		"an embedded type": {projections.On(func(*projections.Tx, events.Record, events.StandaloneFact) error { return nil })},
	} {
		d := projections.Definition{Name: "x", Version: 1, Handlers: handlers}
		if _, err := projections.New(d, projectiontest.Open, projections.Config{Dir: t.TempDir()}); !errors.Is(err, events.ErrInternal) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestHandlersGetTheirFacts(t *testing.T) {
	var got []string
	s := newSetup(t, projections.Definition{
		Name: "x", Version: 1, Schema: `CREATE TABLE x (y INTEGER) STRICT`,
		Handlers: []projections.Handler{
			projections.On(func(_ *projections.Tx, r events.Record, f *events.BaselineRecorded) error {
				got = append(got, "typed "+string(r.Kind)+" "+string(f.Kind()))
				return nil
			}),
			projections.OnRecord(func(_ *projections.Tx, r events.Record) error {
				got = append(got, "record "+string(r.Kind))
				return nil
			}),
		},
	})
	if err := s.Apply(t.Context(), s.records[:2]); err != nil {
		t.Fatal(err)
	}
	opened, baseline := string(events.KindLogOpened), string(events.KindBaselineRecorded)
	want := []string{"record " + opened, "record " + baseline, "typed " + baseline + " " + baseline}
	if !slices.Equal(want, got) {
		t.Errorf("got %q, want %q", got, want)
	}
}
