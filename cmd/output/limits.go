package output

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"cortex/consumers/machine/limits"
	"cortex/events"
	model "cortex/projections/limits"
)

// LimitsView is the answer of 'cortex limits list'.
type LimitsView struct {
	Version  int             `json:"version"`
	Presets  []limits.Preset `json:"presets"`
	Profiles []model.Profile `json:"profiles"`
	Groups   []LimitGroup    `json:"groups"`
}

// LimitGroup is a recorded group with its state on this machine.
type LimitGroup struct {
	model.LimitedGroup
	State string             `json:"state"` // running, empty, gone, ended, unknown
	Usage *events.LimitUsage `json:"usage,omitempty"`
}

// Limits writes profiles and groups.
func Limits(w io.Writer, v LimitsView, loc *time.Location) {
	rows := [][]string{{"PROFILE", "MEMORY", "PROCESSORS", "PROCESSES", "IO", "GPUS", "WHAT"}}
	set := map[string]bool{}
	for _, p := range v.Profiles {
		set[p.Name] = true
		rows = append(rows, append(limitRow(p.LimitProfile), "set "+formatTime(p.At, loc)))
	}
	for _, p := range v.Presets {
		if !set[p.Name] {
			rows = append(rows, append(limitRow(p.LimitProfile), p.Description))
		}
	}
	table(w, "", rows)
	if len(v.Groups) == 0 {
		return
	}
	fmt.Fprintln(w)
	rows = [][]string{{"GROUP", "PROFILE", "WHAT", "BY", "STATE", "SINCE"}}
	for _, g := range v.Groups {
		rows = append(rows, []string{g.Unit, g.Profile, oneLine(g.Target), g.Backend, g.State, formatTime(g.At, loc)})
	}
	table(w, "", rows)
}

func formatTime(t time.Time, loc *time.Location) string {
	return t.In(loc).Format("2006-01-02 15:04:05")
}

func limitRow(p events.LimitProfile) []string {
	or := func(ok bool, s string) string {
		if !ok {
			return "-"
		}
		return s
	}
	processors := or(p.CPUMillis > 0, strconv.FormatFloat(float64(p.CPUMillis)/1000, 'f', -1, 64))
	if p.CPUs != "" {
		processors += " of " + string(p.CPUs)
	}
	return []string{
		p.Name, or(p.MemoryBytes > 0, Bytes(p.MemoryBytes)), processors, or(p.Pids > 0, strconv.FormatInt(p.Pids, 10)),
		or(p.IOWeight > 0, strconv.FormatInt(p.IOWeight, 10)), or(p.GPUs != "", string(p.GPUs)),
	}
}

// LimitProfile writes a profile and its effects with a back end.
func LimitProfile(w io.Writer, p events.LimitProfile, backend string, list []events.LimitEffect) {
	fmt.Fprintf(w, "%s, by %s\n\n", p.Name, backend)
	limitEffects(w, list)
}

func limitEffects(w io.Writer, list []events.LimitEffect) {
	rows := [][]string{{"LIMIT", "VALUE", "", "BY", "BECAUSE"}}
	for _, e := range list {
		how, by, value := "advice", e.By, e.Value
		if e.Enforced {
			how = "enforced"
		}
		if by == "" {
			by = "-"
		}
		if n, err := strconv.ParseInt(value, 10, 64); err == nil && (e.Resource == "memory" || e.Resource == "gpu-memory") {
			value = Bytes(n)
		}
		rows = append(rows, []string{e.Resource, value, how, by, oneLine(e.Reason)})
	}
	table(w, "", rows)
}

// LimitGroupDetail writes a group with its effects and its usage.
func LimitGroupDetail(w io.Writer, g LimitGroup, loc *time.Location) {
	rows := [][]string{
		{"group", g.Unit},
		{"profile", g.Profile},
		{"what", g.How + " " + oneLine(g.Target)},
		{"by", g.Backend},
		{"since", formatTime(g.At, loc)},
		{"state", g.State},
	}
	u := g.Usage
	if g.Reverted != nil {
		u = &g.Reverted.Usage
		rows = append(rows, []string{"until", formatTime(g.Ended, loc) + ", " + g.Reverted.Reason})
		if g.Reverted.Reason == "ended" {
			rows = append(rows, []string{"exit code", strconv.Itoa(g.Reverted.Exit)})
		}
	}
	if u != nil {
		rows = append(rows,
			[]string{"memory", orUnknown(u.MemoryBytes, Bytes) + ", at most " + orUnknown(u.MemoryPeakBytes, Bytes)},
			[]string{"killed for memory", orUnknown(u.OOMKills, formatNumber)}, []string{"held back", orUnknown(u.ThrottledUs, formatMicros)},
			[]string{"processes", orUnknown(u.Pids, formatNumber) + ", refused " + orUnknown(u.ForksRefused, formatNumber)})
	}
	table(w, "", rows)
	fmt.Fprintln(w)
	limitEffects(w, g.Effects)
}

func orUnknown(n int64, text func(int64) string) string {
	if n < 0 {
		return "unknown"
	}
	return text(n)
}

func formatNumber(n int64) string { return strconv.FormatInt(n, 10) }

func formatMicros(n int64) string { return Duration(time.Duration(n) * time.Microsecond) }

// LimitUsages writes the usage of groups. before is the usage of the previous sample, which
// was taken the time every ago.
func LimitUsages(w io.Writer, groups []LimitGroup, before map[string]events.LimitUsage, every time.Duration) {
	rows := [][]string{{"GROUP", "MEMORY", "OF", "PEAK", "KILLED", "PROCESSOR", "HELD BACK", "PROCESSES", "REFUSED"}}
	for _, g := range groups {
		u, share := *g.Usage, "-"
		if b, ok := before[g.Unit]; ok && b.CPUUs >= 0 && u.CPUUs >= b.CPUUs {
			share = fmt.Sprintf("%d%%", int64(100*time.Duration(u.CPUUs-b.CPUUs)*time.Microsecond/every))
		}
		of := "-"
		if g.Limits.MemoryBytes > 0 {
			of = Bytes(g.Limits.MemoryBytes)
		}
		rows = append(rows, []string{
			g.Unit, orUnknown(u.MemoryBytes, Bytes), of, orUnknown(u.MemoryPeakBytes, Bytes), orUnknown(u.OOMKills, formatNumber), share,
			orUnknown(u.ThrottledUs, formatMicros), orUnknown(u.Pids, formatNumber), orUnknown(u.ForksRefused, formatNumber),
		})
	}
	if len(groups) == 0 {
		fmt.Fprintln(w, "Nothing runs under limits")
		return
	}
	table(w, "", rows)
}
