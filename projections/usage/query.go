package usage

import (
	"context"
	"database/sql"
	"time"

	"cortex/projections"
)

// ModelDay sums up the calls of one model on one day.
type ModelDay struct {
	Day       string `json:"day"`
	Provider  string `json:"provider"`
	Model     string `json:"model"`
	Answered  int    `json:"answered"`
	Failed    int    `json:"failed"`
	Input     int64  `json:"input_tokens"`
	Output    int64  `json:"output_tokens"`
	Cost      int64  `json:"cost_uusd"`
	Unpriced  int    `json:"unpriced"` // calls of unknown cost
	LatencyMs int64  `json:"mean_latency_ms"`
}

// Report sums up the calls of a period.
type Report struct {
	Version   int        `json:"version"`
	ModelDays []ModelDay `json:"lines"`
	// The totals of ModelDays.
	Answered int   `json:"answered"`
	Failed   int   `json:"failed"`
	Cached   int   `json:"cached"`
	Denied   int   `json:"denied"`
	Cost     int64 `json:"cost_uusd"`
	Unpriced int   `json:"unpriced"`
}

// FormatVersion is the version of the JSON form.
const FormatVersion = 1

// Reader queries the read model. It is safe for concurrent use. If the database is missing,
// damaged or of another version, [projections.NeedsRebuild] is true for its errors.
type Reader struct{ tables *projections.Tables }

// NewReader returns a reader of an open database. It does not access the database.
func NewReader(db *sql.DB) *Reader { return &Reader{projections.NewTables(db, Name, Version)} }

// Report sums up the calls since a time. The zero time means all calls.
func (r *Reader) Report(ctx context.Context, since time.Time) (Report, error) {
	out := Report{Version: FormatVersion, ModelDays: []ModelDay{}}
	from := int64(0)
	if !since.IsZero() {
		from = since.UnixNano()
	}
	_, err := r.tables.QueryRow(ctx, `SELECT coalesce(sum(provider = 'cache'), 0), coalesce(sum(class = ?), 0) FROM calls WHERE at >= ?`,
		[]any{classDenied, from}, &out.Cached, &out.Denied)
	if err != nil {
		return out, err
	}
	out.ModelDays, err = projections.QueryAll(ctx, r.tables, scanModelDay, `SELECT day, provider, model, sum(class = ''), sum(class <> ''), sum(input), sum(output),
		sum(cost), sum(priced = 0), cast(avg(latency) AS INTEGER) FROM calls
		WHERE at >= ? AND provider <> 'cache' AND class NOT IN (?, ?) GROUP BY day, provider, model ORDER BY day, provider, model`, from, classDenied, classBackoff)
	for _, d := range out.ModelDays {
		out.Answered += d.Answered
		out.Failed += d.Failed
		out.Cost += d.Cost
		out.Unpriced += d.Unpriced
	}
	return out, err
}

func scanModelDay(rows *sql.Rows) (d ModelDay, err error) {
	err = rows.Scan(&d.Day, &d.Provider, &d.Model, &d.Answered, &d.Failed, &d.Input, &d.Output, &d.Cost, &d.Unpriced, &d.LatencyMs)
	return d, err
}
