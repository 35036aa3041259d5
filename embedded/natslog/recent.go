package natslog

import "cortex/events"

// recentRecords holds at most so many records and bytes of data.
const (
	maxRecentRecords = 512
	maxRecentBytes   = 1 << 20
)

// recentRecords has the newest acknowledged records in memory, for followers that are
// close to the head. Reading them from the server would delay the appends.
type recentRecords struct {
	records []events.Record // consecutive
	bytes   int
}

// add appends the next record and drops the oldest ones beyond the limits.
func (t *recentRecords) add(r events.Record) {
	t.records = append(t.records, r)
	t.bytes += len(r.Data)
	for len(t.records) > maxRecentRecords || t.bytes > maxRecentBytes {
		t.bytes -= len(t.records[0].Data)
		t.records[0] = events.Record{}
		t.records = t.records[1:]
	}
}

// after returns the records after a position. It returns nil unless it has all of them.
func (t *recentRecords) after(p events.Position) []events.Record {
	if len(t.records) == 0 || p+1 < t.records[0].Position {
		return nil
	}
	skip := int(p + 1 - t.records[0].Position) // bounded by maxRecentRecords
	return append([]events.Record(nil), t.records[min(skip, len(t.records)):]...)
}
