package natslog_test

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"cortex/embedded/natslog"
	"cortex/events"
	"cortex/events/logtest"
)

// TestFollowAroundTheOldestRecentRecord follows from before, at and after the oldest record in
// memory, once with the limit of records and once with the limit of bytes.
func TestFollowAroundTheOldestRecentRecord(t *testing.T) {
	for name, tc := range map[string]struct{ events, bytes, inMemory int }{
		"many small events": {560, 10, 512},
		"few large events":  {12, 200 << 10, 5},
	} {
		t.Run(name, func(t *testing.T) {
			b := open(t, natslog.Config{Dir: t.TempDir(), Create: true})
			s := logtest.NewTransaction()
			for i := range tc.events {
				logtest.Append(t, b.Log(), s, &events.StepSucceeded{Index: i, Output: strings.Repeat("x", tc.bytes)})
			}
			want := logtest.ReadAll(t, b.Log(), events.Query{})
			if got := b.RecentLength(); got != tc.inMemory {
				t.Errorf("%d records are in memory, want %d", got, tc.inMemory)
			}
			edge := len(want) - tc.inMemory
			for _, after := range []int{0, edge - 1, edge, edge + 1, len(want) - 1} {
				if !reflect.DeepEqual(want[after:], follow(t, b.Log(), after, len(want)-after)) {
					t.Errorf("after %d, Follow and Read differ", after)
				}
			}
		})
	}
}

// follow returns the n records after a position.
func follow(t *testing.T, l events.Log, after, n int) (out []events.Record) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for r, err := range l.Follow(ctx, events.Query{After: events.Position(after)}) {
		if err != nil {
			t.Fatal(fmt.Errorf("after %d: %w", after, err))
		}
		if out = append(out, r); len(out) == n {
			break
		}
	}
	return out
}
