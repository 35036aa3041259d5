package output

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"cortex/cmd/api"
	"cortex/cmd/app"
	"cortex/cmd/units"
	"cortex/events"
	"cortex/projections/usage"
)

// Providers prints model providers, and why one is not used.
func Providers(w io.Writer, list []app.ProviderInfo) {
	rows := [][]string{{"PROVIDER", "MODEL", "ADDRESS", "KEY", "PRICE", "STATE"}}
	for _, p := range list {
		price := "not set"
		if p.Price != "" {
			price = "$" + p.Price
		}
		state := p.Why
		if p.Used {
			state = "used"
		}
		rows = append(rows, []string{p.Name, p.Model, p.URL, p.Key, price, state})
	}
	table(w, "", rows)
}

// modeText describes a mode.
func modeText(m events.LLMMode) string {
	switch m {
	case events.ModeFull:
		return "an AI model"
	case events.ModeCached:
		return "cached answers and the package lists"
	case events.ModeOffline:
		return "the package lists, no model"
	case events.ModeNames:
		return "package names only, because there are no package lists"
	}
	return string(m)
}

// ProvidersHealth prints the state of the providers, and how words are resolved.
func ProvidersHealth(w io.Writer, m api.ModelProvidersStatus) {
	fmt.Fprintf(w, "requests in words are resolved with: %s (%s)\n", modeText(m.Mode), m.Mode)
	if m.Problem != "" {
		fmt.Fprintf(w, "invalid configuration: %s\n", m.Problem)
	}
	found := map[string]string{}
	for _, p := range m.Probes {
		found[p.Name] = "answers"
		if p.Error != "" {
			found[p.Name] = p.Error
		}
	}
	var rows [][]string
	for _, h := range m.Providers {
		state := h.State
		if !h.RetryAt.IsZero() {
			state += " until " + h.RetryAt.Local().Format("15:04:05")
		}
		rows = append(rows, []string{h.Name, h.Model, state, found[h.Name]})
	}
	table(w, "", rows)
}

// ProviderTests prints the results of test questions.
func ProviderTests(w io.Writer, list []app.ProviderTest) {
	for _, t := range list {
		if t.Error != nil {
			fmt.Fprintf(w, "%s: %s\n", t.Provider, t.Error.Message)
			continue
		}
		fmt.Fprintf(w, "%s: %s answered in %d ms, %s\n", t.Provider, t.Model, t.LatencyMs, MicroUSD(t.Cost))
	}
}

// Usage prints questions, answers and costs by day.
func Usage(w io.Writer, r usage.Report) {
	rows := [][]string{{"DAY", "PROVIDER", "MODEL", "ANSWERED", "FAILED", "TOKENS IN", "OUT", "COST", "MEAN"}}
	for _, l := range r.ModelDays {
		cost := MicroUSD(l.Cost)
		if l.Unpriced > 0 {
			cost += fmt.Sprintf(" + %d unpriced", l.Unpriced)
		}
		rows = append(rows, []string{
			l.Day, l.Provider, l.Model, strconv.Itoa(l.Answered), strconv.Itoa(l.Failed), strconv.FormatInt(l.Input, 10), strconv.FormatInt(l.Output, 10),
			cost, units.Duration(time.Duration(l.LatencyMs) * time.Millisecond),
		})
	}
	if len(r.ModelDays) > 0 {
		table(w, "", rows)
	}
	fmt.Fprintf(w, "%s for %s, %s from the cache, %d failed, %d denied by the budget\n", MicroUSD(r.Cost), units.Count(r.Answered, "answer"), units.Count(r.Cached, "answer"), r.Failed, r.Denied)
}
