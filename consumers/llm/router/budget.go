package router

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"cortex/events"
)

// Price is the price of a million tokens, in micro-USD.
type Price struct{ Input, Output int64 }

// Cost returns the price of some tokens, in micro-USD, rounded up.
func (p Price) Cost(input, output int) int64 {
	const million = 1_000_000
	return (p.Input*int64(input) + p.Output*int64(output) + million - 1) / million
}

// ParsePrice parses "3/15": dollars per million input and output tokens.
func ParsePrice(s string) (*Price, error) {
	in, out, ok := strings.Cut(s, "/")
	input, err1 := ParseUSD(in)
	output, err2 := ParseUSD(out)
	if !ok || err1 != nil || err2 != nil {
		return nil, fmt.Errorf("invalid price %q: use a form such as 3/15, dollars per million input and output tokens", s)
	}
	return &Price{input, output}, nil
}

// ParseUSD parses an amount of dollars, exactly, as micro-USD.
func ParseUSD(s string) (int64, error) {
	whole, part, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(s), "$"), ".")
	bad := fmt.Errorf("invalid amount %q: use dollars with at most six decimal places", s)
	if len(part) > 6 || len(whole) > 9 || whole == "" {
		return 0, bad
	}
	n, err := strconv.ParseUint(whole+part+strings.Repeat("0", 6-len(part)), 10, 62)
	if err != nil {
		return 0, bad
	}
	return int64(n), nil
}

// EnvName returns a provider's name as part of the name of an environment variable.
func EnvName(provider string) string {
	return strings.ToUpper(strings.ReplaceAll(provider, "-", "_"))
}

// Budget limits the spending of a day and of a month (UTC), in micro-USD. It is safe
// for concurrent use.
type Budget struct {
	dayLimit, monthLimit int64 // 0 is no limit
	now                  func() time.Time

	mu             sync.Mutex
	today          time.Time
	spentToday     int64
	spentThisMonth int64
	reserved       int64
}

// NewBudget returns a budget of which nothing is spent. [Budget.AddSpent] adds earlier
// spending.
func NewBudget(day, month int64, now func() time.Time) *Budget {
	return &Budget{dayLimit: day, monthLimit: month, now: now, today: now().UTC().Truncate(24 * time.Hour)}
}

// HasLimit reports whether there is any limit.
func (b *Budget) HasLimit() bool { return b.dayLimit > 0 || b.monthLimit > 0 }

// AddSpent adds spending at a time.
func (b *Budget) AddSpent(at time.Time, cost int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rollOver()
	at = at.UTC()
	if at.Year() == b.today.Year() && at.Month() == b.today.Month() {
		b.spentThisMonth += cost
		if at.YearDay() == b.today.YearDay() {
			b.spentToday += cost
		}
	}
}

// rollOver begins a new day, or month.
func (b *Budget) rollOver() {
	today := b.now().UTC().Truncate(24 * time.Hour)
	if today.Equal(b.today) {
		return
	}
	if today.Month() != b.today.Month() || today.Year() != b.today.Year() {
		b.spentThisMonth = 0
	}
	b.today, b.spentToday = today, 0
}

// BudgetExceeded is the error of a call that exceeds a budget.
type BudgetExceeded struct {
	Period                string // day or month
	Limit, Spent, MaxCost int64  // micro-USD
}

func (e *BudgetExceeded) Error() string {
	return fmt.Sprintf("the budget of the %s is %s; %s are spent or reserved, and this may cost %s", e.Period, FormatUSD(e.Limit), FormatUSD(e.Spent), FormatUSD(e.MaxCost))
}

// FormatUSD formats an amount of micro-USD as dollars.
func FormatUSD(n int64) string { return fmt.Sprintf("$%d.%06d", n/1_000_000, n%1_000_000) }

// Reserve reserves the most that a call may cost. settle, which must be called,
// replaces it by the cost.
func (b *Budget) Reserve(most int64) (settle func(int64), err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rollOver()
	for _, p := range []struct {
		name         string
		limit, spent int64
	}{{"day", b.dayLimit, b.spentToday}, {"month", b.monthLimit, b.spentThisMonth}} {
		if p.limit > 0 && p.spent+b.reserved+most > p.limit {
			return nil, &events.Error{Op: "router.Reserve", Kind: events.ErrDenied, Subject: "budget", Err: &BudgetExceeded{p.name, p.limit, p.spent + b.reserved, most}, Hint: "raise CORTEX_LLM_BUDGET_" + strings.ToUpper(p.name) + ", or use --offline"}
		}
	}
	b.reserved += most
	var once sync.Once
	return func(cost int64) {
		once.Do(func() {
			b.mu.Lock()
			b.reserved -= most
			b.mu.Unlock()
			b.AddSpent(b.now(), cost)
		})
	}, nil
}

// AsBudgetExceeded returns the [BudgetExceeded] in an error.
func AsBudgetExceeded(err error) (*BudgetExceeded, bool) {
	var e *BudgetExceeded
	return e, errors.As(err, &e)
}
