package memlog_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cortex/events"
	"cortex/events/logtest"
	"cortex/events/memlog"
)

func TestRestoreIsTheSameLog(t *testing.T) {
	l := memlog.New(events.HostID(logtest.NewID()))
	first := logtest.NewEvent(t, l.Host(), logtest.NewTransaction(), &events.Cancelled{})
	if _, err := l.Append(t.Context(), first, events.NoExpectation); err != nil {
		t.Fatal(err)
	}
	logtest.Append(t, l, logtest.NewTransaction(), &events.Cancelled{})
	records := logtest.ReadAll(t, l, events.Query{})
	back, err := memlog.Restore(l.Host(), records)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := back.Append(t.Context(), first, events.NoExpectation); err != nil || again.Position != 1 {
		t.Errorf("an event that is in it was appended again: %v, %v", again, err)
	}
	logtest.Append(t, back, logtest.NewTransaction(), &events.Cancelled{})
	if diff := cmp.Diff(records, logtest.VerifyAll(t, back)[:2]); diff != "" {
		t.Error(diff)
	}
	if n := len(logtest.ReadAll(t, l, events.Query{})); n != 2 {
		t.Errorf("the first log has %d records now", n)
	}
}

func TestRestoreRefusesBrokenChains(t *testing.T) {
	l := memlog.New(events.HostID(logtest.NewID()))
	for range 3 {
		logtest.Append(t, l, logtest.NewTransaction(), &events.Cancelled{})
	}
	for name, change := range map[string]func([]events.Record) []events.Record{
		"hole":    func(r []events.Record) []events.Record { return slices.Delete(r, 1, 2) },
		"start":   func(r []events.Record) []events.Record { return r[1:] },
		"content": func(r []events.Record) []events.Record { r[1].Data = []byte(`{}  `); return r },
		"host":    func(r []events.Record) []events.Record { r[1].Host = events.HostID(logtest.NewID()); return r },
	} {
		if _, err := memlog.Restore(l.Host(), change(logtest.ReadAll(t, l, events.Query{}))); !errors.Is(err, events.ErrCorrupt) {
			t.Errorf("%s: %v, want a corrupt error", name, err)
		}
	}
}
