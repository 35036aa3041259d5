package slotcache

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"cortex/events"
)

// ParseSize parses a size: 2G and 2GiB are 2·2³⁰ bytes, 2GB is 2·10⁹ bytes, and 500 is 500
// bytes. The error is ErrUsage.
func ParseSize(text string) (int64, error) {
	number := strings.TrimRight(text, "kKMGTiB")
	unit := text[len(number):]
	factor := map[string]float64{
		"": 1, "B": 1, "K": 1 << 10, "k": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40,
		"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
	}[unit]
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || factor == 0 || !(n > 0) || n*factor >= math.MaxInt64 || n*factor < 1 {
		return 0, &events.Error{
			Op: "slotcache.ParseSize", Kind: events.ErrUsage, Subject: fmt.Sprintf("%q", text), Err: errors.New("invalid size"),
			Hint: "use a size such as 500M, 2G (2 GiB) or 2GB (2,000,000,000 bytes)",
		}
	}
	return int64(n * factor), nil
}
