package output

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"cortex/events"
	"cortex/producers/hardware"
	model "cortex/projections/hardware"
)

// HardwareFacts lists facts with their source, and why for those without a value.
func HardwareFacts(w io.Writer, facts []events.HardwareFact) {
	var rows [][]string
	for _, f := range facts {
		rows = append(rows, []string{f.Key, shorten(hardwareValue(f), 60), string(f.Confidence), f.Source})
	}
	table(w, "", rows)
}

func hardwareValue(f events.HardwareFact) string {
	switch {
	case !f.Known():
		return "? " + f.Error
	case f.Value.String() == "":
		return "none"
	}
	return f.Value.String()
}

// factSheet picks facts for the summary.
type factSheet struct{ facts []events.HardwareFact }

func (s factSheet) lookup(key string) (string, bool) {
	f, ok := events.FindHardwareFact(s.facts, key)
	return f.Value.String(), ok && f.Known()
}

func (s factSheet) text(key string) string {
	if v, ok := s.lookup(key); ok {
		return v
	}
	return "unknown"
}

// count is "2 cores", "cores unknown".
func (s factSheet) count(key, what string) string {
	v, ok := s.lookup(key)
	n, err := strconv.Atoi(v)
	if !ok || err != nil {
		return what + "s unknown"
	}
	return Count(n, what)
}

func (s factSheet) size(key string) string {
	f, _ := events.FindHardwareFact(s.facts, key)
	if n, ok := f.Value.Int(); ok {
		return Bytes(n)
	}
	return "unknown"
}

// keyMiddles gives what stands between head and tail in the keys there are.
func (s factSheet) keyMiddles(head, tail string) []string {
	var out []string
	for _, f := range s.facts {
		rest, ok := strings.CutPrefix(f.Key, head)
		middle, ok2 := strings.CutSuffix(rest, tail)
		if ok && ok2 {
			out = append(out, middle)
		}
	}
	return out
}

// Hardware is the summary of one reading. What is not known says so.
func Hardware(w io.Writer, facts []events.HardwareFact) {
	s := factSheet{facts}
	var rows [][]string
	add := func(name string, parts ...string) {
		rows = append(rows, []string{name, strings.Join(parts, ", ")})
	}
	cpu := []string{s.text("cpu.model"), s.count("cpu.sockets", "socket"), s.count("cpu.cores", "core"), s.count("cpu.threads", "thread")}
	if v, ok := s.lookup("cpu.x86_64_level"); ok {
		cpu = append(cpu, "x86-64-v"+v)
	}
	if v, ok := s.lookup("cpu.offline"); ok {
		cpu = append(cpu, v+" offline")
	}
	add("processor", cpu...)
	add("memory", s.size("memory.total_b"), s.size("memory.available_b")+" available", s.size("memory.swap_total_b")+" swap")
	s.graphics(add)
	s.storage(add)
	for _, n := range s.keyMiddles("net.", ".kind") {
		add("network", n, s.text("net."+n+".kind"), "driver "+s.text("net."+n+".driver"))
	}
	if v, ok := s.lookup("dmi.sys_vendor"); ok {
		add("machine", v, s.text("dmi.product_name"), s.text("dmi.chassis"))
	}
	add("firmware", s.text("firmware.kind"), "Secure Boot "+onOff(s.text("firmware.secure_boot")), "TPM "+onOff(s.text("tpm.present")))
	add("virtual machine", s.text("vm.kind"))
	add("container", s.text("container.kind"))
	add("usable here", s.count("usable.threads", "thread"), s.size("usable.memory_b")+" of memory")
	add("system", s.text("os.name"), s.text("os.arch"), "kernel "+s.text("kernel.release"))
	table(w, "", rows)
}

func onOff(v string) string {
	switch v {
	case "true":
		return "yes"
	case "false":
		return "no"
	}
	return v
}

func (s factSheet) graphics(add func(string, ...string)) {
	for _, kind := range []string{"gpu", "accelerator"} {
		name := map[string]string{"gpu": "graphics"}[kind]
		if name == "" {
			name = kind
		}
		found := s.keyMiddles(kind+".", ".id")
		for _, addr := range found {
			key := kind + "." + addr + "."
			what, ok := s.lookup(key + "name")
			if !ok {
				what = strings.TrimPrefix(s.text(key+"vendor")+" ", "unknown ") + s.text(key+"id")
			}
			parts := []string{what, "driver " + s.text(key+"driver")}
			if f, ok := events.FindHardwareFact(s.facts, key+"vram_total_b"); ok {
				if n, known := f.Value.Int(); known {
					parts = append(parts, Bytes(n))
				} else {
					parts = append(parts, "memory unknown: "+f.Error)
				}
			}
			add(name, parts...)
		}
		if _, known := s.lookup(kind + ".count"); len(found) == 0 && kind == "gpu" {
			add(name, map[bool]string{true: "none", false: "unknown"}[known])
		}
	}
	for _, n := range s.keyMiddles("npu.", ".id") {
		add("neural unit", s.text("npu."+n+".id"), "driver "+s.text("npu."+n+".driver"))
	}
}

func (s factSheet) storage(add func(string, ...string)) {
	for _, d := range s.keyMiddles("disk.", ".size_b") {
		key := "disk." + d + "."
		parts := []string{d, s.size(key + "size_b"), s.text(key + "kind")}
		if v, ok := s.lookup(key + "model"); ok {
			parts = append(parts, v)
		}
		add("disk", parts...)
	}
	for _, p := range s.keyMiddles("fs.", ".type") {
		key := "fs." + p + "."
		add("file system", p, s.text(key+"type"), s.size(key+"free_b")+" free of "+s.size(key+"size_b"))
	}
}

// HardwareHistory lists snapshots.
func HardwareHistory(w io.Writer, list []model.SnapshotSummary, zone *time.Location) {
	if len(list) == 0 {
		fmt.Fprintln(w, "No hardware snapshots")
		return
	}
	rows := [][]string{{"POSITION", "WHEN", "WHY", "FACTS", "CHANGED"}}
	for _, s := range list {
		rows = append(rows, []string{
			strconv.FormatUint(uint64(s.Position), 10), s.At.In(zone).Format(secondLayout), string(s.Reason), strconv.Itoa(s.Facts), strconv.Itoa(s.Changed),
		})
	}
	table(w, "", rows)
}

// HardwareDiff lists what differs.
func HardwareDiff(w io.Writer, changes []events.HardwareChange) {
	if len(changes) == 0 {
		fmt.Fprintln(w, "No stable fact differs")
		return
	}
	side := func(v events.HardwareValue) string {
		if v == "" {
			return "-"
		}
		return shorten(v.String(), 60)
	}
	var rows [][]string
	for _, c := range changes {
		rows = append(rows, []string{c.Key, side(c.Before), "→", side(c.After)})
	}
	table(w, "", rows)
}

// RecommendationView is a recommendation with what apt knows of the package.
type RecommendationView struct {
	hardware.Recommendation
	Installed bool   `json:"installed"`
	Offered   string `json:"offered"` // yes, no, unknown
}

// StateText is a word or two for people.
func (a RecommendationView) StateText() string {
	switch {
	case a.Installed:
		return "installed"
	case a.Offered == "yes":
		return "not installed"
	case a.Offered == "no" && a.Component != "":
		return "not offered: needs component " + a.Component
	case a.Offered == "no":
		return "not offered by the sources"
	}
	return "not installed; not known whether offered"
}

// Recommendations lists packages, each with reason and evidence.
func Recommendations(w io.Writer, list []RecommendationView, withheld string) {
	switch {
	case withheld != "":
		fmt.Fprintln(w, "Nothing is recommended: "+withheld)
		return
	case len(list) == 0:
		fmt.Fprintln(w, "Nothing is recommended for this hardware")
		return
	}
	for _, r := range list {
		fmt.Fprintf(w, "%s (%s)\n  %s", r.Package, r.StateText(), r.Reason)
		if r.Confidence == events.ConfidenceGuess {
			fmt.Fprint(w, " (a guess)")
		}
		fmt.Fprintln(w)
		for _, e := range r.Evidence {
			fmt.Fprintln(w, "  because "+e)
		}
		if r.Source != hardware.BuiltInRules {
			fmt.Fprintln(w, "  says "+r.Source)
		}
		if r.Note != "" {
			fmt.Fprintln(w, "  note: "+r.Note)
		}
	}
}
