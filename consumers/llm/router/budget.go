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

// Price is what a million tokens cost, in micro-USD.
type Price struct{ Input, Output int64 }

// Cost is what tokens cost, in micro-USD, rounded up.
func (p Price) Cost(input, output int) int64 {
	const million = 1_000_000
	return (p.Input*int64(input) + p.Output*int64(output) + million - 1) / million
}

// ParsePrice reads "3/15": dollars per million tokens that are asked and answered.
func ParsePrice(s string) (*Price, error) {
	in, out, ok := strings.Cut(s, "/")
	input, err1 := ParseUSD(in)
	output, err2 := ParseUSD(out)
	if !ok || err1 != nil || err2 != nil {
		return nil, fmt.Errorf("%q is not a price such as 3/15, dollars per million tokens asked and answered", s)
	}
	return &Price{input, output}, nil
}

// ParseUSD reads an amount of dollars, exactly, as micro-USD.
func ParseUSD(s string) (int64, error) {
	whole, part, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(s), "$"), ".")
	bad := fmt.Errorf("%q is not an amount of dollars with at most six places", s)
	if len(part) > 6 || len(whole) > 9 || whole == "" {
		return 0, bad
	}
	n, err := strconv.ParseUint(whole+part+strings.Repeat("0", 6-len(part)), 10, 62)
	if err != nil {
		return 0, bad
	}
	return int64(n), nil
}

// EnvName is a provider's name in the name of a variable.
func EnvName(provider string) string {
	return strings.ToUpper(strings.ReplaceAll(provider, "-", "_"))
}

// Budget is what may be spent in a day and in a month, by UTC, in micro-USD. It is
// safe for concurrent use.
type Budget struct {
	dayLimit, monthLimit int64 // 0 is no limit
	now                  func() time.Time

	mu             sync.Mutex
	today          time.Time
	spentToday     int64
	spentThisMonth int64
	reserved       int64
}

// NewBudget returns a budget of which nothing is spent; [Budget.AddSpent] tells what
// was.
func NewBudget(day, month int64, now func() time.Time) *Budget {
	return &Budget{dayLimit: day, monthLimit: month, now: now, today: now().UTC().Truncate(24 * time.Hour)}
}

// HasLimit reports whether there is any limit.
func (b *Budget) HasLimit() bool { return b.dayLimit > 0 || b.monthLimit > 0 }

// AddSpent adds what was spent at a time.
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

// BudgetExceeded tells which budget a call does not fit into.
type BudgetExceeded struct {
	Period                string // day or month
	Limit, Spent, MaxCost int64  // micro-USD
}

func (e *BudgetExceeded) Error() string {
	return fmt.Sprintf("the budget of the %s is %s; %s are spent or promised, and this may cost %s", e.Period, FormatUSD(e.Limit), FormatUSD(e.Spent), FormatUSD(e.MaxCost))
}

func FormatUSD(n int64) string { return fmt.Sprintf("$%d.%06d", n/1_000_000, n%1_000_000) }

// Reserve promises most; settle says what it was.
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

// AsBudgetExceeded gives the budget that an error is about.
func AsBudgetExceeded(err error) (*BudgetExceeded, bool) {
	var e *BudgetExceeded
	return e, errors.As(err, &e)
}
