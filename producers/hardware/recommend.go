package hardware

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"cortex/events"
)

// Recommendation is a package that suits the machine.
type Recommendation struct {
	Package    events.PackageName `json:"package"`
	Reason     string             `json:"reason"`
	Evidence   []string           `json:"evidence"` // facts and patterns that led to it
	Confidence events.Confidence  `json:"confidence"`
	Source     string             `json:"source"`              // "rules of cortex", or the file that says so
	Component  string             `json:"component,omitempty"` // of Debian's archive, when it is not main
	Note       string             `json:"note,omitempty"`
}

// OwnRules is the source of what no file of the machine says.
const OwnRules = "rules of cortex"

// Recommend says which packages suit the hardware: by the rules of this package and
// by the machine's own catalogues. The same facts give the same answer, sorted by
// package. In a container nothing is recommended, since its host has the hardware;
// why is then the second result.
func Recommend(facts []events.HardwareFact, aliases []Modalias, c Catalog) ([]Recommendation, string) {
	m := newFactSet(facts)
	if m.is("container.is") {
		return nil, "this is a container (" + m.text("container.kind") + "): drivers and firmware are its host's business"
	}
	a := &advice{found: map[events.PackageName]*Recommendation{}, m: m}
	a.firmware()
	a.microcode()
	a.nvidia()
	a.guest()
	a.portable()
	a.parts()
	a.catalogued(aliases, c)
	out := make([]Recommendation, 0, len(a.found))
	for _, r := range a.found {
		out = append(out, *r)
	}
	slices.SortFunc(out, func(x, y Recommendation) int { return cmp.Compare(x.Package, y.Package) })
	return out, ""
}

// factSet answers questions about facts.
type factSet struct {
	facts []events.HardwareFact
	byKey map[string]events.HardwareFact
}

func newFactSet(facts []events.HardwareFact) factSet {
	m := factSet{facts, map[string]events.HardwareFact{}}
	for _, f := range facts {
		m.byKey[f.Key] = f
	}
	return m
}

func (m factSet) text(key string) string { return m.byKey[key].Value.String() }
func (m factSet) is(key string) bool     { return m.byKey[key].Value.True() }

// isNot reports that the fact is there and false, which is more than not known.
func (m factSet) isNot(key string) bool { return m.byKey[key].Value == events.BoolValue(false) }

func (m factSet) number(key string) int64 {
	n, _ := m.byKey[key].Value.Int()
	return n
}

// each visits the known facts whose keys have that head and tail, in order.
func (m factSet) each(head, tail string, f func(middle, value string)) {
	for _, fact := range m.facts {
		rest, ok := strings.CutPrefix(fact.Key, head)
		middle, ok2 := strings.CutSuffix(rest, tail)
		if ok && ok2 && fact.Known() {
			f(middle, fact.Value.String())
		}
	}
}

// evidence writes facts as KEY=VALUE.
func (m factSet) evidence(keys ...string) []string {
	var out []string
	for _, k := range keys {
		if f, ok := m.byKey[k]; ok && f.Known() {
			out = append(out, k+"="+shorten(f.Value.String()))
		}
	}
	return out
}

func shorten(s string) string {
	if len(s) > 80 {
		return strings.ToValidUTF8(s[:80], "") + "…"
	}
	return s
}

// advice gathers recommendations, one for each package.
type advice struct {
	m     factSet
	found map[events.PackageName]*Recommendation
}

// add records one; a second reason for the same package adds its evidence.
func (a *advice) add(r Recommendation) {
	if r.Source == "" {
		r.Source = OwnRules
	}
	if r.Confidence == "" {
		r.Confidence = events.Derived
	}
	old := a.found[r.Package]
	if old == nil {
		a.found[r.Package] = &r
		return
	}
	for _, e := range r.Evidence {
		if !slices.Contains(old.Evidence, e) {
			old.Evidence = append(old.Evidence, e)
		}
	}
}

func (a *advice) ubuntu() bool { return a.m.text("os.id") == "ubuntu" }

// before13 reports whether Debian is older than release 13, which split some
// packages of firmware.
func (a *advice) before13() bool {
	return slices.Contains([]string{"bookworm", "bullseye", "buster"}, a.m.text("os.codename"))
}

// nonFree is where Debian keeps firmware: since release 12 in a component of its own.
func (a *advice) nonFree() string {
	switch {
	case a.ubuntu():
		return ""
	case slices.Contains([]string{"bullseye", "buster"}, a.m.text("os.codename")):
		return "non-free"
	}
	return "non-free-firmware"
}

// blob is firmware that a driver loads.
type blob struct {
	drivers  []string // names, or starts of names when they end in *
	makers   []string // of wireless devices that have no driver yet, by PCI vendor
	name     string
	in12     string // its name up to release 12, when that was another
	free     bool   // in main
	describe string
}

var blobs = []blob{
	{drivers: []string{"iwlwifi"}, makers: []string{"8086"}, name: "firmware-iwlwifi", describe: "Intel wireless"},
	{drivers: []string{"amdgpu", "radeon"}, name: "firmware-amd-graphics", describe: "AMD graphics"},
	{drivers: []string{"i915", "xe"}, name: "firmware-intel-graphics", in12: "firmware-misc-nonfree", describe: "Intel graphics"},
	{drivers: []string{"nouveau"}, name: "firmware-nvidia-graphics", in12: "firmware-misc-nonfree", describe: "NVIDIA graphics with the free driver"},
	{drivers: []string{"r8169", "rtw88_*", "rtw89_*", "rtl8*", "r8152"}, makers: []string{"10ec"}, name: "firmware-realtek", describe: "Realtek network"},
	{drivers: []string{"ath10k_*", "ath11k_*", "ath12k_*", "ath6kl*", "wcn36xx"}, makers: []string{"168c", "17cb"}, name: "firmware-atheros", describe: "Atheros wireless"},
	{drivers: []string{"ath9k_htc"}, name: "firmware-ath9k-htc", free: true, describe: "Atheros wireless on USB"},
	{drivers: []string{"brcmfmac", "brcmsmac"}, makers: []string{"14e4"}, name: "firmware-brcm80211", describe: "Broadcom wireless"},
	{drivers: []string{"mt76*", "mt7601u", "mt7921*", "mt7925*", "mt7615*", "mt7915*"}, makers: []string{"14c3"}, name: "firmware-mediatek", in12: "firmware-misc-nonfree", describe: "MediaTek wireless"},
	{drivers: []string{"bnx2"}, name: "firmware-bnx2", describe: "Broadcom NetXtreme II network"},
	{drivers: []string{"bnx2x"}, name: "firmware-bnx2x", describe: "Broadcom NetXtreme II 10Gb network"},
	{drivers: []string{"qla2xxx", "qed", "qede", "qla4xxx"}, name: "firmware-qlogic", describe: "QLogic network and storage"},
	{drivers: []string{"netxen_nic"}, name: "firmware-netxen", describe: "QLogic network"},
	{drivers: []string{"myri10ge"}, name: "firmware-myricom", describe: "Myricom network"},
	{drivers: []string{"sof-audio-pci-*", "snd_sof_*"}, name: "firmware-sof-signed", describe: "sound through Sound Open Firmware"},
	{drivers: []string{"ipw2100", "ipw2200"}, name: "firmware-ipw2x00", describe: "old Intel wireless"},
	{drivers: []string{"libertas*", "mwifiex*"}, name: "firmware-libertas", describe: "Marvell wireless"},
}

func (b blob) drives(driver string) bool {
	return slices.ContainsFunc(b.drivers, func(d string) bool {
		start, wild := strings.CutSuffix(d, "*")
		return d == driver || wild && strings.HasPrefix(driver, start)
	})
}

// firmware is for drivers that load it, and for wireless devices without a driver.
func (a *advice) firmware() {
	for _, bus := range []string{"pci.", "usb."} {
		a.m.each(bus, ".driver", func(addr, driver string) {
			for _, b := range blobs {
				if b.drives(driver) {
					a.blob(b, a.m.evidence(bus+addr+".driver", bus+addr+".id"))
				}
			}
			maker, _, _ := strings.Cut(a.m.text(bus+addr+".id"), ":")
			if driver == "btusb" {
				a.bluetooth(bus+addr, maker)
			}
		})
	}
	a.m.each("pci.", ".class", func(addr, class string) {
		if !strings.HasPrefix(class, "0280") || a.m.text("pci."+addr+".driver") != "" {
			return
		}
		maker, _, _ := strings.Cut(a.m.text("pci."+addr+".id"), ":")
		for _, b := range blobs {
			if slices.Contains(b.makers, maker) {
				a.blob(b, a.m.evidence("pci."+addr+".class", "pci."+addr+".id"))
			}
		}
	})
}

func (a *advice) blob(b blob, evidence []string) {
	r := Recommendation{Package: events.PackageName(b.name), Reason: "firmware for " + b.describe, Evidence: evidence, Component: a.nonFree()}
	switch {
	case a.ubuntu():
		r.Package = "linux-firmware"
	case b.in12 != "" && a.before13():
		r.Package = events.PackageName(b.in12)
	}
	if b.free {
		r.Component = ""
	}
	a.add(r)
}

func (a *advice) bluetooth(key, maker string) {
	evidence := a.m.evidence(key+".driver", key+".id")
	a.add(Recommendation{Package: "bluez", Reason: "Bluetooth needs its service", Evidence: evidence})
	for _, b := range blobs {
		if name := map[string]string{"8087": "firmware-iwlwifi", "0bda": "firmware-realtek", "0cf3": "firmware-atheros", "13d3": "firmware-atheros"}[maker]; name == b.name {
			b.describe = "Bluetooth"
			a.blob(b, evidence)
		}
	}
}

// microcode is for processors of one's own: in a virtual machine the host's counts.
func (a *advice) microcode() {
	if !a.m.isNot("vm.is") {
		return
	}
	name := map[string]events.PackageName{"GenuineIntel": "intel-microcode", "AuthenticAMD": "amd64-microcode"}[a.m.text("cpu.vendor")]
	if name == "" {
		return
	}
	a.add(Recommendation{
		Package: name, Reason: "corrections for the processor, loaded when the machine starts",
		Evidence: a.m.evidence("cpu.vendor", "cpu.microcode", "vm.is"), Component: a.nonFree(),
	})
}

// nvidia is for cards whose driver is not NVIDIA's.
func (a *advice) nvidia() {
	a.m.each("gpu.", ".vendor", func(addr, vendor string) {
		key := "gpu." + addr + "."
		if vendor != "NVIDIA" || a.m.text(key+"driver") == "nvidia" {
			return
		}
		evidence := a.m.evidence(key+"id", key+"architecture", key+"driver")
		r := Recommendation{Package: "nvidia-driver", Reason: "NVIDIA's driver for the graphics card", Evidence: evidence, Component: "non-free"}
		switch arch := a.m.text(key + "architecture"); {
		case a.ubuntu():
			r = Recommendation{Package: "ubuntu-drivers-common", Reason: "chooses and installs NVIDIA's driver for the graphics card", Evidence: evidence}
		case arch == "Kepler":
			r.Package, r.Note = "nvidia-tesla-470-driver", "newer branches of the driver leave Kepler out"
		case arch == "":
			r.Confidence, r.Note = events.Guess, "the card's number is not in the table; the package nvidia-detect tells which branch it needs"
		case arch == "Blackwell" && a.before13():
			r.Confidence, r.Note = events.Guess, "the driver of this release is older than the card; backports may have a newer one"
		}
		a.add(r)
		a.modules(evidence)
	})
}

// modules is for drivers that are built on the machine.
func (a *advice) modules(evidence []string) {
	if a.m.isNot("kernel.headers") && !a.ubuntu() {
		if arch := a.m.text("os.arch"); arch == "amd64" || arch == "arm64" {
			a.add(Recommendation{
				Package: events.PackageName("linux-headers-" + arch), Reason: "the driver's module is built against the kernel's headers",
				Evidence: append(slices.Clone(evidence), a.m.evidence("kernel.headers", "kernel.release")...),
			})
		}
	}
	if a.m.is("firmware.secure_boot") {
		a.add(Recommendation{
			Package: "mokutil", Reason: "Secure Boot is on: a module that is built here loads only once its key is enrolled",
			Evidence: append(slices.Clone(evidence), a.m.evidence("firmware.secure_boot")...),
		})
	}
}

// guest is for virtual machines whose host asks for an agent.
func (a *advice) guest() {
	for _, c := range a.m.byKey["vm.channels"].Value.List() {
		switch c {
		case "org.qemu.guest_agent.0":
			a.add(Recommendation{Package: "qemu-guest-agent", Reason: "the host offers the agent's channel", Evidence: []string{"vm.channels has " + c}})
		case "com.redhat.spice.0":
			a.add(Recommendation{Package: "spice-vdagent", Reason: "the host offers the display's channel", Evidence: []string{"vm.channels has " + c}})
		}
	}
	switch a.m.text("vm.kind") {
	case "vmware":
		a.add(Recommendation{Package: "open-vm-tools", Reason: "VMware asks its guests for time, shutdown and address through it", Evidence: a.m.evidence("vm.kind")})
	case "hyperv":
		name := events.PackageName("hyperv-daemons")
		if a.ubuntu() {
			name = "linux-cloud-tools-virtual"
		}
		a.add(Recommendation{Package: name, Reason: "Hyper-V asks its guests through it", Evidence: a.m.evidence("vm.kind")})
	}
}

// portable is for laptops.
func (a *advice) portable() {
	if a.m.number("power.batteries") == 0 || a.m.is("vm.is") {
		return
	}
	evidence := a.m.evidence("power.batteries", "dmi.chassis")
	a.add(Recommendation{Package: "tlp", Reason: "saves power on battery", Evidence: evidence, Note: "do not use it together with power-profiles-daemon"})
	if a.m.text("cpu.vendor") == "GenuineIntel" {
		a.add(Recommendation{Package: "thermald", Reason: "keeps an Intel laptop cool before it has to throttle", Evidence: append(slices.Clone(evidence), a.m.evidence("cpu.vendor")...)})
	}
}

// parts is for what is built in.
func (a *advice) parts() {
	own := a.m.isNot("vm.is")
	a.m.each("disk.", ".transport", func(name, transport string) {
		kind := a.m.text("disk." + name + ".kind")
		if !own || kind != "ssd" && kind != "hdd" || transport == "fc" || a.m.is("disk."+name+".removable") {
			return // the disks of a storage network are looked after there
		}
		evidence := a.m.evidence("disk."+name+".transport", "disk."+name+".kind")
		if transport == "nvme" {
			a.add(Recommendation{Package: "nvme-cli", Reason: "tells wear and errors of NVMe disks", Evidence: evidence})
		}
		a.add(Recommendation{Package: "smartmontools", Reason: "warns before a disk fails", Evidence: evidence})
	})
	a.m.each("net.", ".kind", func(name, kind string) {
		if kind == "wifi" {
			a.add(Recommendation{Package: "wpasupplicant", Reason: "joins wireless networks", Evidence: a.m.evidence("net."+name+".kind", "net."+name+".driver")})
		}
	})
	if a.m.number("tpm.version") == 2 {
		a.add(Recommendation{Package: "tpm2-tools", Reason: "uses the TPM, for example to unlock disks", Evidence: a.m.evidence("tpm.version")})
	}
	if own && a.m.text("firmware.kind") == "efi" {
		a.add(Recommendation{Package: "fwupd", Reason: "updates the firmware of the machine and its devices", Evidence: a.m.evidence("firmware.kind", "dmi.sys_vendor")})
	}
	if a.m.number("numa.nodes") > 1 {
		a.add(Recommendation{Package: "numactl", Reason: "keeps programs near their memory", Evidence: a.m.evidence("numa.nodes")})
	}
}

// catalogued is what the machine's own files say, for every device.
func (a *advice) catalogued(aliases []Modalias, c Catalog) {
	x := newIndex(aliases)
	for _, s := range c.Served {
		for _, alias := range x.match(s.Pattern) {
			how := events.Derived
			if broad(s.Pattern) {
				how = events.Guess
			}
			a.add(Recommendation{
				Package: s.Package, Reason: "it says that it serves this hardware", Confidence: how, Source: s.Source,
				Evidence: []string{fmt.Sprintf("%s matches %s (%s)", s.Pattern, shorten(alias.Alias), alias.Path)},
			})
		}
	}
}
