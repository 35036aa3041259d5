// Package hwsummary sums the facts of one hardware reading up in a few lines for people.
//
// It promises a line for each processor, memory, graphics device, disk, network interface
// and file system, in a fixed order, and the word "unknown" for a value that the machine
// does not report.
package hwsummary

import (
	"strconv"
	"strings"

	"cortex/cmd/units"
	"cortex/events"
)

// Line is one line of the summary.
type Line struct {
	Label, Text string
}

// factSheet looks facts up for the summary.
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

// count returns "2 cores" or "cores unknown".
func (s factSheet) count(key, what string) string {
	v, ok := s.lookup(key)
	n, err := strconv.Atoi(v)
	if !ok || err != nil {
		return what + "s unknown"
	}
	return units.Count(n, what)
}

func (s factSheet) size(key string) string {
	f, _ := events.FindHardwareFact(s.facts, key)
	if n, ok := f.Value.Int(); ok {
		return units.Bytes(n)
	}
	return "unknown"
}

// keyMiddles returns the part between head and tail of every key that has both.
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

// Lines returns the summary of one reading.
func Lines(facts []events.HardwareFact) []Line {
	s := factSheet{facts}
	var lines []Line
	add := func(label string, parts ...string) {
		lines = append(lines, Line{label, strings.Join(parts, ", ")})
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
	return lines
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
					parts = append(parts, units.Bytes(n))
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
