package output

import (
	"fmt"
	"time"

	"cortex/cmd/units"
	"cortex/events"
)

// Forecast is how long a started transaction may take.
type Forecast struct {
	Started       time.Time     `json:"started"`
	Expected      time.Duration `json:"-"`                   // from earlier transactions of this kind and size; 0: unknown
	ExpectedMs    int64         `json:"expected_ms"`         // Expected in milliseconds
	DownloadBytes int64         `json:"download_b,omitzero"` // bytes to fetch
}

// minForecast is the shortest duration that is forecast.
const minForecast = 2 * time.Second

// remaining returns the remaining time, or "" if it is unknown or the
// transaction has taken longer than forecast.
func (o Forecast) remaining(p events.Progress) string {
	left := o.Expected - p.Time.Sub(o.Started)
	if o.Started.IsZero() || o.Expected < minForecast || left < time.Second || p.Stage == events.StageWaiting {
		return ""
	}
	return fmt.Sprintf(", about %s left", units.Duration(left.Round(time.Second)))
}

// downloaded returns how much is downloaded.
func (o Forecast) downloaded(p events.Progress) string {
	if p.Stage != events.StageDownload || o.DownloadBytes <= 0 || p.Percent < 0 {
		return ""
	}
	return fmt.Sprintf(" (%s of %s)", units.Bytes(int64(p.Percent/100*float64(o.DownloadBytes))), units.Bytes(o.DownloadBytes))
}
