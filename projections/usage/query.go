package usage

import (
	"context"
	"database/sql"
	"time"

	"cortex/projections"
)

// ModelDay is what one model was asked on one day.
type ModelDay struct {
	Day       string `json:"day"`
	Provider  string `json:"provider"`
	Model     string `json:"model"`
	Answered  int    `json:"answered"`
	Failed    int    `json:"failed"`
	Input     int64  `json:"input_tokens"`
	Output    int64  `json:"output_tokens"`
	Cost      int64  `json:"cost_uusd"`
	Unpriced  int    `json:"unpriced"` // calls whose cost is not known
	LatencyMs int64  `json:"mean_latency_ms"`
}

// Report is all of a time.
type Report struct {
	Version   int        `json:"version"`
	ModelDays []ModelDay `json:"lines"`
	// Totals of the lines.
	Answered int   `json:"answered"`
	Failed   int   `json:"failed"`
	Cached   int   `json:"cached"`
	Denied   int   `json:"denied"`
	Cost     int64 `json:"cost_uusd"`
	Unpriced int   `json:"unpriced"`
}

// FormatVersion is the version of the JSON form.
const FormatVersion = 1

// Reader answers questions. A database that is missing, damaged or of another
// version gives errors for which [projections.Unreadable] is true.
type Reader struct{ db *sql.DB }

// NewReader returns a reader of an open database.
func NewReader(db *sql.DB) *Reader { return &Reader{db} }

// Report sums up the calls since a time.
func (r *Reader) Report(ctx context.Context, since time.Time) (Report, error) {
	out := Report{Version: FormatVersion, ModelDays: []ModelDay{}}
	if err := projections.CheckVersion(ctx, r.db, Name, Version); err != nil {
		return out, err
	}
	from := int64(0)
	if !since.IsZero() {
		from = since.UnixNano()
	}
	err := r.db.QueryRowContext(ctx, `SELECT coalesce(sum(provider = 'cache'), 0), coalesce(sum(class = ?), 0) FROM calls WHERE at >= ?`, classDenied, from).Scan(&out.Cached, &out.Denied)
	if err != nil {
		return out, projections.WrapError(Name, err)
	}
	rows, err := r.db.QueryContext(ctx, `SELECT day, provider, model, sum(class = ''), sum(class <> ''), sum(input), sum(output), sum(cost), sum(priced = 0), cast(avg(latency) AS INTEGER)
		FROM calls WHERE at >= ? AND provider <> 'cache' AND class NOT IN (?, ?) GROUP BY day, provider, model ORDER BY day, provider, model`, from, classDenied, classBackoff)
	if err != nil {
		return out, projections.WrapError(Name, err)
	}
	defer func() { _ = rows.Close() }() // its error is rows.Err
	for rows.Next() {
		var l ModelDay
		if err := rows.Scan(&l.Day, &l.Provider, &l.Model, &l.Answered, &l.Failed, &l.Input, &l.Output, &l.Cost, &l.Unpriced, &l.LatencyMs); err != nil {
			return out, projections.WrapError(Name, err)
		}
		out.ModelDays = append(out.ModelDays, l)
		out.Answered += l.Answered
		out.Failed += l.Failed
		out.Cost += l.Cost
		out.Unpriced += l.Unpriced
	}
	return out, projections.WrapError(Name, rows.Err())
}
