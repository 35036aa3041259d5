package units_test

import (
	"testing"
	"time"

	"cortex/cmd/units"
)

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 999: "999 B", 1000: "1.0 kB", 20_700: "20.7 kB", 999_949: "999.9 kB", 999_951: "1.0 MB",
		2_000_000_000: "2.0 GB", 5e15: "5000.0 TB", -1500: "-1.5 kB",
	} {
		if got := units.Bytes(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 ms", 999 * time.Millisecond: "999 ms", 3200 * time.Millisecond: "3.2 s", 125 * time.Second: "2 min 5 s",
	} {
		if got := units.Duration(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

func TestCount(t *testing.T) {
	for n, want := range map[int]string{0: "0 packages", 1: "1 package", 2: "2 packages"} {
		if got := units.Count(n, "package"); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}
