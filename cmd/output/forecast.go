package output

import (
	"fmt"
	"time"

	"cortex/events"
)

// Forecast is what is known of a transaction that begins to run.
type Forecast struct {
	Started       time.Time     `json:"started"`
	Expected      time.Duration `json:"-"`                   // as others of its kind and size did here; 0 unknown
	ExpectedMs    int64         `json:"expected_ms"`         // the same
	DownloadBytes int64         `json:"download_b,omitzero"` // bytes to fetch
}

// minForecast is the shortest span that is worth a forecast.
const minForecast = 2 * time.Second

// remaining says how much longer it may take, and nothing once it took longer.
func (o Forecast) remaining(p events.Progress) string {
	left := o.Expected - p.Time.Sub(o.Started)
	if o.Started.IsZero() || o.Expected < minForecast || left < time.Second || p.Stage == events.StageWaiting {
		return ""
	}
	return fmt.Sprintf(", about %s left", Duration(left.Round(time.Second)))
}

// downloaded says how much is fetched.
func (o Forecast) downloaded(p events.Progress) string {
	if p.Stage != events.StageDownload || o.DownloadBytes <= 0 || p.Percent < 0 {
		return ""
	}
	return fmt.Sprintf(" (%s of %s)", Bytes(int64(p.Percent/100*float64(o.DownloadBytes))), Bytes(o.DownloadBytes))
}
