package app

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"cortex/events"
)

// ParseTime reads a time as a person types it, in local time: a date, a date and time, RFC
// 3339, today, yesterday, or an age (90s, 15m, 2h, 7d, 4w). The empty text is the zero time.
func ParseTime(s string) (time.Time, error) { return parseTimeAt(s, time.Now()) }

func parseTimeAt(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	switch s {
	case "today":
		return time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, now.Location()), nil
	case "yesterday":
		return time.Date(now.Year(), now.Month(), now.Day()-1, 0, 0, 0, 0, now.Location()), nil
	}
	for _, layout := range []string{"2006-01-02", "2006-01-02 15:04", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02T15:04:05"} {
		if t, err := time.ParseInLocation(layout, s, now.Location()); err == nil {
			return t, nil
		}
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	if d, err := parseSpan(s); err == nil {
		return now.Add(-d), nil
	}
	return time.Time{}, &events.Error{Op: "app.ParseTime", Kind: events.ErrUsage, Subject: fmt.Sprintf("%q", s), Err: errors.New("not a time"), Hint: "examples: 2026-11-23, '2026-11-23 12:00', 2h, 7d"}
}

func parseSpan(s string) (time.Duration, error) {
	for suffix, unit := range map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour} {
		if n, ok := strings.CutSuffix(s, suffix); ok {
			days, err := strconv.ParseUint(n, 10, 16)
			return time.Duration(days) * unit, err
		}
	}
	d, err := time.ParseDuration(s)
	if err == nil && d < 0 {
		err = errors.New("negative")
	}
	return d, err
}
