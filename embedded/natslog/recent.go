package natslog

import "cortex/events"

// What the tail holds at most.
const (
	tailRecords = 512
	tailBytes   = 1 << 20 // of data
)

// recentRecords is the newest records as they were acknowledged, so that who follows the
// log closely need not read back what was written a moment ago: reading waits for
// the appends that are being synced, and holds up the next.
type recentRecords struct {
	records []events.Record // without a hole
	bytes   int
}

// add puts a record behind the newest and lets the oldest go.
func (t *recentRecords) add(r events.Record) {
	t.records = append(t.records, r)
	t.bytes += len(r.Data)
	for len(t.records) > tailRecords || t.bytes > tailBytes {
		t.bytes -= len(t.records[0].Data)
		t.records[0] = events.Record{}
		t.records = t.records[1:]
	}
}

// after gives the records behind a position when the tail holds all of them.
func (t *recentRecords) after(p events.Position) []events.Record {
	if len(t.records) == 0 || p+1 < t.records[0].Position {
		return nil
	}
	skip := int(p + 1 - t.records[0].Position) //nolint:gosec // bounded by tailRecords
	return append([]events.Record(nil), t.records[min(skip, len(t.records)):]...)
}
