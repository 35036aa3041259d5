package output_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"cortex/cmd/output"
	"cortex/events"
)

func TestEventLineShowsUnknownKindsAndFields(t *testing.T) {
	for name, tc := range map[string]struct{ kind, data, version, want string }{
		"unknown kind":    {"transaction.paused.v1", `{"why":"battery"}`, "9.1.0", `unknown kind, written by Cortex 9.1.0: {"why":"battery"}`},
		"without version": {"transaction.paused.v1", `{}`, "", `unknown kind: {}`},
		"unknown field":   {"transaction.cancelled.v1", `{"reason":"no","how":1}`, "9.1.0", `no (unknown field "how", written by Cortex 9.1.0)`},
		"known":           {"transaction.cancelled.v1", `{"reason":"no"}`, "9.1.0", `no`},
		"unreadable":      {"transaction.cancelled.v1", `{"reason":1}`, "", `unreadable`},
	} {
		var b bytes.Buffer
		output.EventLine(&b, events.Record{Position: 7, Event: events.Event{Kind: events.Kind(tc.kind), Data: []byte(tc.data), CortexVersion: tc.version}}, time.UTC)
		if !strings.HasSuffix(b.String(), "  "+tc.want+"\n") {
			t.Errorf("%s: %q", name, b.String())
		}
	}
}
