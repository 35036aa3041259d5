package hardware

import (
	"errors"
	"fmt"
	"strings"

	"cortex/events"
)

// clue is one sign of a virtual machine or a container.
type clue struct {
	kind        string // "" when it says that there is one, but not which
	description string // for people: what says so
	strong      bool   // names the product for certain
}

// hypervisors are the signatures that processors report of their hypervisors.
var hypervisors = map[string]string{
	"KVMKVMKVM": "kvm", "Linux KVM Hv": "kvm", "TCGTCGTCGTCG": "qemu", "VMwareVMware": "vmware", "Microsoft Hv": "hyperv",
	"XenVMMXenVMM": "xen", "bhyve bhyve ": "bhyve", "VBoxVBoxVBox": "virtualbox", " lrpepyh  vr": "parallels",
	"ACRNACRNACRN": "acrn", "QNXQVMBSQG": "qnx",
}

// dmiPrefixes name virtual machines by how a word of the firmware starts.
var dmiPrefixes = []struct{ word, kind string }{
	{"VMware", "vmware"},
	{"innotek GmbH", "virtualbox"},
	{"VirtualBox", "virtualbox"},
	{"Xen", "xen"},
	{"HVM domU", "xen"},
	{"Parallels", "parallels"},
	{"BHYVE", "bhyve"},
	{"Apple Virtualization", "apple"},
	{"KVM", "kvm"},
	{"QEMU", "kvm"},
	{"OpenStack", "kvm"},
	{"Google Compute Engine", "kvm"},
	{"RHEV", "kvm"},
	{"oVirt", "kvm"},
	{"Firecracker", "kvm"},
	{"Virtual Machine", "hyperv"},
}

// virtualization tells whether this is a virtual machine, which, and by what signs.
// Whether it is a container is another question.
func (r *factBuilder) virtualization(cpu cpuInfo, signature func() string, devices []device) {
	var clues []clue
	if signature != nil {
		if s := signature(); s != "" {
			clues = append(clues, clue{hypervisors[s], "the processor's hypervisor signature is " + strings.TrimSpace(sanitize(s)), true})
		}
	}
	for _, name := range []string{"product_name", "sys_vendor", "board_vendor", "bios_vendor"} {
		v := r.value("dmi." + name).String()
		for _, w := range dmiPrefixes {
			if strings.HasPrefix(v, w.word) {
				clues = append(clues, clue{w.kind, "/sys/class/dmi/id/" + name + " is " + v, true})
				break
			}
		}
	}
	clues = append(clues, r.kernelClues(cpu)...)
	for _, d := range devices {
		if d.vendor == vendorVirtio && d.bus == "pci" {
			clues = append(clues, clue{"kvm", "there are virtio devices", false})
			break
		}
	}
	clues = r.dropXenDom0Clues(clues)
	r.guestChannels()
	r.addVMKind(cpu, clues)
}

// guestChannels are the ports by which a host talks to programs in its guests.
func (r *factBuilder) guestChannels() {
	const dir = "sys/class/virtio-ports"
	var names []string
	for _, port := range r.list(dir) {
		if s, err := r.text(dir + "/" + port + "/name"); err == nil && s != "" {
			names = append(names, s)
		}
	}
	if names != nil {
		r.addCertain("vm.channels", events.ListValue(names), "/"+dir)
	}
}

// kernelClues are those that the kernel gives.
func (r *factBuilder) kernelClues(cpu cpuInfo) []clue {
	var clues []clue
	if cpu.has("hypervisor") {
		clues = append(clues, clue{"", "the processor has the flag hypervisor", true})
	}
	if cpu.first["vendor_id"] == "User Mode Linux" {
		clues = append(clues, clue{"uml", "/proc/cpuinfo names User Mode Linux", true})
	}
	if s, err := r.text("sys/hypervisor/type"); err == nil && s != "" {
		clues = append(clues, clue{s, "/sys/hypervisor/type is " + s, true})
	}
	if s, err := r.text("proc/device-tree/hypervisor/compatible"); err == nil && s != "" {
		kind, _, _ := strings.Cut(strings.TrimPrefix(s, "linux,"), ",")
		clues = append(clues, clue{kind, "the device tree's hypervisor is " + s, true})
	}
	if s, err := r.text("sys/devices/system/clocksource/clocksource0/available_clocksource"); err == nil {
		for _, c := range []struct{ word, kind string }{{"kvm-clock", "kvm"}, {"hyperv_clocksource_tsc_page", "hyperv"}, {"xen", "xen"}} {
			if strings.Contains(" "+s+" ", " "+c.word+" ") {
				clues = append(clues, clue{c.kind, "the kernel offers the clock " + c.word, true})
			}
		}
	}
	if s, err := r.read("proc/sysinfo"); err == nil { // s390x
		if v := parseFields(s, ":")["VM00 Control Program"]; v != "" {
			kind := "zvm"
			if strings.HasPrefix(v, "KVM") {
				kind = "kvm"
			}
			clues = append(clues, clue{kind, "/proc/sysinfo names " + sanitize(v), true})
		}
	}
	return clues
}

// dropXenDom0Clues takes away the signs of Xen on the machine that rules the others.
func (r *factBuilder) dropXenDom0Clues(clues []clue) []clue {
	if s, err := r.text("proc/xen/capabilities"); err != nil || !strings.Contains(s, "control_d") {
		return clues
	}
	var out []clue
	for _, c := range clues {
		if c.kind != "xen" && c.kind != "" {
			out = append(out, c)
		}
	}
	return out
}

func (r *factBuilder) addVMKind(cpu cpuInfo, clues []clue) {
	const source = "signs in vm.evidence"
	told := []string{}
	kind, how := "", events.ConfidenceGuess
	for _, c := range clues {
		told = append(told, c.description)
		switch {
		case kind == "" && c.kind != "":
			kind = c.kind
			if c.strong {
				how = events.ConfidenceCertain
			}
		case c.kind == "kvm" && c.strong && kind == "hyperv":
			kind = "kvm" // it can show itself as the other
		}
	}
	r.addDerived("vm.evidence", events.ListValue(told), "see each")
	if len(cpu.first) == 0 && len(clues) == 0 {
		r.addUnknown("vm.kind", cpuInfoPath, errors.New("it cannot be read"))
		r.addUnknown("vm.is", cpuInfoPath, errors.New("it cannot be read"))
		return
	}
	is := events.HardwareFact{Key: "vm.is", Value: events.BoolValue(len(clues) > 0), Source: source, Confidence: events.ConfidenceDerived}
	switch x86 := cpu.arch == "x86_64" || cpu.arch == "i686"; {
	case kind != "":
		r.add(events.HardwareFact{Key: "vm.kind", Value: events.TextValue(kind), Source: source, Confidence: how})
	case len(clues) > 0:
		r.addUnknown("vm.kind", source, errors.New("there is a hypervisor, but nothing names it"))
	case x86:
		r.addDerived("vm.kind", events.TextValue("none"), "the processor lacks the flag hypervisor")
	default:
		is.Confidence = events.ConfidenceGuess
		r.add(events.HardwareFact{Key: "vm.kind", Value: events.TextValue("none"), Source: "no sign of one", Confidence: events.ConfidenceGuess})
	}
	r.add(is)
}

// The kernel gives its first namespaces fixed numbers (include/linux/proc_ns.h).
const firstPIDNamespace = "pid:[4026531836]"

// container tells whether this runs in a container. What decides is whether the
// process is in the kernel's first PID namespace; files that containers leave, such
// as /.dockerenv, say only which one, because images carry them elsewhere.
func (r *factBuilder) container() {
	const source = "/proc/self/ns/pid"
	marks := r.containerClues()
	told := []string{}
	kind := ""
	for _, m := range marks {
		told = append(told, m.description)
		if kind == "" {
			kind = m.kind
		}
	}
	ns, err := r.link("proc/self/ns/pid")
	put := func(kind string, how events.Confidence, why string) {
		told = append([]string{why}, told...)
		r.add(events.HardwareFact{Key: "container.kind", Value: events.TextValue(kind), Source: source, Confidence: how})
		r.addDerived("container.is", events.BoolValue(kind != "none"), source)
	}
	switch {
	case r.isWSL():
		put("wsl", events.ConfidenceCertain, "/proc/version names Microsoft")
	case err == nil && ns == firstPIDNamespace:
		why := ns + " is the kernel's first PID namespace"
		if len(marks) > 0 {
			why += ", so that the other signs are leftovers"
		}
		put("none", events.ConfidenceCertain, why)
	case err == nil && kind != "":
		put(kind, events.ConfidenceCertain, sanitize(ns)+" is not the kernel's first PID namespace")
	case err == nil:
		put("namespace", events.ConfidenceDerived, sanitize(ns)+" is not the kernel's first PID namespace, and nothing names a container")
	case kind != "":
		put(kind, events.ConfidenceGuess, fmt.Sprintf("the PID namespace cannot be told (%s)", errorText(err)))
	default:
		r.addUnknown("container.kind", source, err)
		r.addUnknown("container.is", source, err)
	}
	r.addDerived("container.evidence", events.ListValue(told), "see each")
}

func (r *factBuilder) isWSL() bool {
	s, err := r.text("proc/version")
	return err == nil && strings.Contains(strings.ToLower(s), "microsoft")
}

// containerClues are the signs that name a kind of container.
func (r *factBuilder) containerClues() []clue {
	var marks []clue
	if s, err := r.text("run/systemd/container"); err == nil && s != "" {
		marks = append(marks, clue{kind: s, description: "/run/systemd/container is " + s})
	}
	if r.exists("run/.containerenv") {
		marks = append(marks, clue{kind: "podman", description: "there is a /run/.containerenv"})
	}
	if r.exists("var/run/secrets/kubernetes.io") {
		marks = append(marks, clue{kind: "kubernetes", description: "there is a /var/run/secrets/kubernetes.io"})
	}
	if text, err := r.read("proc/self/cgroup"); err == nil {
		for _, w := range []struct{ word, kind string }{{"kubepods", "kubernetes"}, {"docker", "docker"}, {"libpod", "podman"}, {"/lxc", "lxc"}} {
			if strings.Contains(text, w.word) {
				marks = append(marks, clue{kind: w.kind, description: "/proc/self/cgroup has " + w.word})
			}
		}
	}
	if r.exists(".dockerenv") {
		marks = append(marks, clue{kind: "docker", description: "there is a /.dockerenv"})
	}
	return marks
}
