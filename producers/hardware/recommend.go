package hardware

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"cortex/events"
)

// Recommendation is a package that fits the hardware of the machine.
type Recommendation struct {
	Package    events.PackageName `json:"package"`
	Reason     string             `json:"reason"`
	Evidence   []string           `json:"evidence"` // the facts and patterns behind it
	Confidence events.Confidence  `json:"confidence"`
	Source     string             `json:"source"`              // [BuiltInRules], or the path of a catalogue
	Component  string             `json:"component,omitempty"` // of Debian's archive, "" for main
	Note       string             `json:"note,omitempty"`
}

// BuiltInRules is the source of recommendations that come from the rules of this package.
const BuiltInRules = "rules of cortex"

// Recommend returns packages for the hardware, from the rules of this package and from the
// catalogues on the machine. The result is sorted by package and depends only on the
// arguments. In a container it recommends nothing, because drivers belong on the host; the
// second result is then the reason.
func Recommend(facts []events.HardwareFact, aliases []Modalias, c ModaliasCatalog) ([]Recommendation, string) {
	m := newFactSet(facts)
	if m.is("container.is") {
		return nil, "this is a container (" + m.text("container.kind") + "): drivers and firmware are installed on its host"
	}
	a := &recommender{byPackage: map[events.PackageName]*Recommendation{}, facts: m}
	a.firmware()
	a.microcode()
	a.nvidia()
	a.guestAgents()
	a.laptop()
	a.builtInParts()
	a.fromCatalog(aliases, c)
	out := make([]Recommendation, 0, len(a.byPackage))
	for _, r := range a.byPackage {
		out = append(out, *r)
	}
	slices.SortFunc(out, func(x, y Recommendation) int { return cmp.Compare(x.Package, y.Package) })
	return out, ""
}

// factSet looks facts up by key.
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
func (m factSet) is(key string) bool     { return m.byKey[key].Value.IsTrue() }

// isNot reports that the fact is known to be false. An unknown fact is not false.
func (m factSet) isNot(key string) bool { return m.byKey[key].Value == events.BoolValue(false) }

func (m factSet) number(key string) int64 {
	n, _ := m.byKey[key].Value.Int()
	return n
}

// eachKnown calls f for the known facts whose key is prefix, middle, suffix, in order.
func (m factSet) eachKnown(prefix, suffix string, f func(middle, value string)) {
	for _, fact := range m.facts {
		rest, ok := strings.CutPrefix(fact.Key, prefix)
		middle, ok2 := strings.CutSuffix(rest, suffix)
		if ok && ok2 && fact.Known() {
			f(middle, fact.Value.String())
		}
	}
}

// evidence formats the known facts as KEY=VALUE.
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

// recommender collects recommendations, one for each package.
type recommender struct {
	facts     factSet
	byPackage map[events.PackageName]*Recommendation
}

// add adds a recommendation. A second one for the same package adds only its evidence.
func (a *recommender) add(r Recommendation) {
	if r.Source == "" {
		r.Source = BuiltInRules
	}
	if r.Confidence == "" {
		r.Confidence = events.ConfidenceDerived
	}
	old := a.byPackage[r.Package]
	if old == nil {
		a.byPackage[r.Package] = &r
		return
	}
	for _, e := range r.Evidence {
		if !slices.Contains(old.Evidence, e) {
			old.Evidence = append(old.Evidence, e)
		}
	}
}

func (a *recommender) ubuntu() bool { return a.facts.text("os.id") == "ubuntu" }

// beforeDebian13 reports whether this is a Debian release before 13. Debian 13 split some
// firmware packages.
func (a *recommender) beforeDebian13() bool {
	return slices.Contains([]string{"bookworm", "bullseye", "buster"}, a.facts.text("os.codename"))
}

// firmwareComponent returns the archive component with firmware. Debian 12 introduced
// non-free-firmware. The result is "" on Ubuntu.
func (a *recommender) firmwareComponent() string {
	switch {
	case a.ubuntu():
		return ""
	case slices.Contains([]string{"bullseye", "buster"}, a.facts.text("os.codename")):
		return "non-free"
	}
	return "non-free-firmware"
}

// firmwareBlob is firmware that a driver loads.
type firmwareBlob struct {
	drivers         []string // names; a final * matches any rest
	wirelessVendors []string // PCI vendors whose wireless devices need it even without a driver
	name            string
	nameUntil12     string // its package up to Debian 12, if it differs
	free            bool   // its package is in main
	describe        string
}

var firmwareBlobs = []firmwareBlob{
	{drivers: []string{"iwlwifi"}, wirelessVendors: []string{"8086"}, name: "firmware-iwlwifi", describe: "Intel wireless"},
	{drivers: []string{"amdgpu", "radeon"}, name: "firmware-amd-graphics", describe: "AMD graphics"},
	{drivers: []string{"i915", "xe"}, name: "firmware-intel-graphics", nameUntil12: "firmware-misc-nonfree", describe: "Intel graphics"},
	{drivers: []string{"nouveau"}, name: "firmware-nvidia-graphics", nameUntil12: "firmware-misc-nonfree", describe: "NVIDIA graphics with the driver nouveau"},
	{drivers: []string{"r8169", "rtw88_*", "rtw89_*", "rtl8*", "r8152"}, wirelessVendors: []string{"10ec"}, name: "firmware-realtek", describe: "Realtek network"},
	{drivers: []string{"ath10k_*", "ath11k_*", "ath12k_*", "ath6kl*", "wcn36xx"}, wirelessVendors: []string{"168c", "17cb"}, name: "firmware-atheros", describe: "Atheros wireless"},
	{drivers: []string{"ath9k_htc"}, name: "firmware-ath9k-htc", free: true, describe: "Atheros wireless on USB"},
	{drivers: []string{"brcmfmac", "brcmsmac"}, wirelessVendors: []string{"14e4"}, name: "firmware-brcm80211", describe: "Broadcom wireless"},
	{drivers: []string{"mt76*", "mt7601u", "mt7921*", "mt7925*", "mt7615*", "mt7915*"}, wirelessVendors: []string{"14c3"}, name: "firmware-mediatek", nameUntil12: "firmware-misc-nonfree", describe: "MediaTek wireless"},
	{drivers: []string{"bnx2"}, name: "firmware-bnx2", describe: "Broadcom NetXtreme II network"},
	{drivers: []string{"bnx2x"}, name: "firmware-bnx2x", describe: "Broadcom NetXtreme II 10Gb network"},
	{drivers: []string{"qla2xxx", "qed", "qede", "qla4xxx"}, name: "firmware-qlogic", describe: "QLogic network and storage"},
	{drivers: []string{"netxen_nic"}, name: "firmware-netxen", describe: "QLogic network"},
	{drivers: []string{"myri10ge"}, name: "firmware-myricom", describe: "Myricom network"},
	{drivers: []string{"sof-audio-pci-*", "snd_sof_*"}, name: "firmware-sof-signed", describe: "sound devices that use Sound Open Firmware"},
	{drivers: []string{"ipw2100", "ipw2200"}, name: "firmware-ipw2x00", describe: "old Intel wireless"},
	{drivers: []string{"libertas*", "mwifiex*"}, name: "firmware-libertas", describe: "Marvell wireless"},
}

func (b firmwareBlob) matchesDriver(driver string) bool {
	return slices.ContainsFunc(b.drivers, func(d string) bool {
		start, wild := strings.CutSuffix(d, "*")
		return d == driver || wild && strings.HasPrefix(driver, start)
	})
}

// firmware recommends firmware for drivers that load it, and for wireless devices without a
// driver.
func (a *recommender) firmware() {
	for _, bus := range []string{"pci.", "usb."} {
		a.facts.eachKnown(bus, ".driver", func(addr, driver string) {
			for _, b := range firmwareBlobs {
				if b.matchesDriver(driver) {
					a.addFirmware(b, a.facts.evidence(bus+addr+".driver", bus+addr+".id"))
				}
			}
			maker, _, _ := strings.Cut(a.facts.text(bus+addr+".id"), ":")
			if driver == "btusb" {
				a.bluetooth(bus+addr, maker)
			}
		})
	}
	a.facts.eachKnown("pci.", ".class", func(addr, class string) {
		if !strings.HasPrefix(class, "0280") || a.facts.text("pci."+addr+".driver") != "" {
			return
		}
		maker, _, _ := strings.Cut(a.facts.text("pci."+addr+".id"), ":")
		for _, b := range firmwareBlobs {
			if slices.Contains(b.wirelessVendors, maker) {
				a.addFirmware(b, a.facts.evidence("pci."+addr+".class", "pci."+addr+".id"))
			}
		}
	})
}

func (a *recommender) addFirmware(b firmwareBlob, evidence []string) {
	r := Recommendation{Package: events.PackageName(b.name), Reason: "firmware for " + b.describe, Evidence: evidence, Component: a.firmwareComponent()}
	switch {
	case a.ubuntu():
		r.Package = "linux-firmware"
	case b.nameUntil12 != "" && a.beforeDebian13():
		r.Package = events.PackageName(b.nameUntil12)
	}
	if b.free {
		r.Component = ""
	}
	a.add(r)
}

func (a *recommender) bluetooth(key, maker string) {
	evidence := a.facts.evidence(key+".driver", key+".id")
	a.add(Recommendation{Package: "bluez", Reason: "provides the Bluetooth service", Evidence: evidence})
	for _, b := range firmwareBlobs {
		if name := map[string]string{"8087": "firmware-iwlwifi", "0bda": "firmware-realtek", "0cf3": "firmware-atheros", "13d3": "firmware-atheros"}[maker]; name == b.name {
			b.describe = "Bluetooth"
			a.addFirmware(b, evidence)
		}
	}
}

// microcode recommends microcode updates, except in virtual machines, where the host loads
// them.
func (a *recommender) microcode() {
	if !a.facts.isNot("vm.is") {
		return
	}
	name := map[string]events.PackageName{"GenuineIntel": "intel-microcode", "AuthenticAMD": "amd64-microcode"}[a.facts.text("cpu.vendor")]
	if name == "" {
		return
	}
	a.add(Recommendation{
		Package: name, Reason: "fixes processor errors with microcode that is loaded at boot",
		Evidence: a.facts.evidence("cpu.vendor", "cpu.microcode", "vm.is"), Component: a.firmwareComponent(),
	})
}

// nvidia recommends NVIDIA's driver for cards that do not use it.
func (a *recommender) nvidia() {
	a.facts.eachKnown("gpu.", ".vendor", func(addr, vendor string) {
		key := "gpu." + addr + "."
		if vendor != "NVIDIA" || a.facts.text(key+"driver") == "nvidia" {
			return
		}
		evidence := a.facts.evidence(key+"id", key+"architecture", key+"driver")
		r := Recommendation{Package: "nvidia-driver", Reason: "NVIDIA's driver for this graphics card", Evidence: evidence, Component: "non-free"}
		switch arch := a.facts.text(key + "architecture"); {
		case a.ubuntu():
			r = Recommendation{Package: "ubuntu-drivers-common", Reason: "selects and installs NVIDIA's driver for this graphics card", Evidence: evidence}
		case arch == "Kepler":
			r.Package, r.Note = "nvidia-tesla-470-driver", "newer driver branches do not support Kepler"
		case arch == "":
			r.Confidence, r.Note = events.ConfidenceGuess, "the generation of this card is unknown; run nvidia-detect to find the driver branch it needs"
		case arch == "Blackwell" && a.beforeDebian13():
			r.Confidence, r.Note = events.ConfidenceGuess, "the driver in this Debian release is older than the card; a newer one may be in backports"
		}
		a.add(r)
		a.kernelModules(evidence)
	})
}

// kernelModules recommends what a driver needs that is built on the machine.
func (a *recommender) kernelModules(evidence []string) {
	if a.facts.isNot("kernel.headers") && !a.ubuntu() {
		if arch := a.facts.text("os.arch"); arch == "amd64" || arch == "arm64" {
			a.add(Recommendation{
				Package: events.PackageName("linux-headers-" + arch), Reason: "needed to build the driver's kernel module",
				Evidence: append(slices.Clone(evidence), a.facts.evidence("kernel.headers", "kernel.release")...),
			})
		}
	}
	if a.facts.is("firmware.secure_boot") {
		a.add(Recommendation{
			Package: "mokutil", Reason: "enrolls the signing key; with Secure Boot the kernel loads a locally built module only then",
			Evidence: append(slices.Clone(evidence), a.facts.evidence("firmware.secure_boot")...),
		})
	}
}

// guestAgents recommends agents that the host of a virtual machine can use.
func (a *recommender) guestAgents() {
	for _, c := range a.facts.byKey["vm.channels"].Value.List() {
		switch c {
		case "org.qemu.guest_agent.0":
			a.add(Recommendation{Package: "qemu-guest-agent", Reason: "the host provides a channel for the QEMU guest agent", Evidence: []string{"vm.channels has " + c}})
		case "com.redhat.spice.0":
			a.add(Recommendation{Package: "spice-vdagent", Reason: "the host provides a channel for the SPICE agent (clipboard, display size)", Evidence: []string{"vm.channels has " + c}})
		}
	}
	switch a.facts.text("vm.kind") {
	case "vmware":
		a.add(Recommendation{Package: "open-vm-tools", Reason: "lets VMware synchronise the clock, shut down the guest and read its address", Evidence: a.facts.evidence("vm.kind")})
	case "hyperv":
		name := events.PackageName("hyperv-daemons")
		if a.ubuntu() {
			name = "linux-cloud-tools-virtual"
		}
		a.add(Recommendation{Package: name, Reason: "lets Hyper-V exchange data with the guest", Evidence: a.facts.evidence("vm.kind")})
	}
}

// laptop recommends power management for machines with a battery.
func (a *recommender) laptop() {
	if a.facts.number("power.batteries") == 0 || a.facts.is("vm.is") {
		return
	}
	evidence := a.facts.evidence("power.batteries", "dmi.chassis")
	a.add(Recommendation{Package: "tlp", Reason: "saves power when running on battery", Evidence: evidence, Note: "do not run it together with power-profiles-daemon"})
	if a.facts.text("cpu.vendor") == "GenuineIntel" {
		a.add(Recommendation{Package: "thermald", Reason: "prevents overheating on Intel laptops", Evidence: append(slices.Clone(evidence), a.facts.evidence("cpu.vendor")...)})
	}
}

// builtInParts recommends tools for disks, network, TPM, firmware and NUMA.
func (a *recommender) builtInParts() {
	physical := a.facts.isNot("vm.is")
	a.facts.eachKnown("disk.", ".transport", func(name, transport string) {
		kind := a.facts.text("disk." + name + ".kind")
		if !physical || kind != "ssd" && kind != "hdd" || transport == "fc" || a.facts.is("disk."+name+".removable") {
			return // a storage network monitors its own disks
		}
		evidence := a.facts.evidence("disk."+name+".transport", "disk."+name+".kind")
		if transport == "nvme" {
			a.add(Recommendation{Package: "nvme-cli", Reason: "shows wear and errors of NVMe disks", Evidence: evidence})
		}
		a.add(Recommendation{Package: "smartmontools", Reason: "monitors disks and warns before they fail", Evidence: evidence})
	})
	a.facts.eachKnown("net.", ".kind", func(name, kind string) {
		if kind == "wifi" {
			a.add(Recommendation{Package: "wpasupplicant", Reason: "connects to wireless networks", Evidence: a.facts.evidence("net."+name+".kind", "net."+name+".driver")})
		}
	})
	if a.facts.number("tpm.version") == 2 {
		a.add(Recommendation{Package: "tpm2-tools", Reason: "uses the TPM, for example to unlock disks", Evidence: a.facts.evidence("tpm.version")})
	}
	if physical && a.facts.text("firmware.kind") == "efi" {
		a.add(Recommendation{Package: "fwupd", Reason: "updates the firmware of the machine and its devices", Evidence: a.facts.evidence("firmware.kind", "dmi.sys_vendor")})
	}
	if a.facts.number("numa.nodes") > 1 {
		a.add(Recommendation{Package: "numactl", Reason: "binds programs to the NUMA node of their memory", Evidence: a.facts.evidence("numa.nodes")})
	}
}

// fromCatalog recommends the packages whose patterns match a device.
func (a *recommender) fromCatalog(aliases []Modalias, c ModaliasCatalog) {
	x := newAliasIndex(aliases)
	for _, s := range c.Patterns {
		for _, alias := range x.match(s.Pattern) {
			confidence := events.ConfidenceDerived
			if isBroadPattern(s.Pattern) {
				confidence = events.ConfidenceGuess
			}
			a.add(Recommendation{
				Package: s.Package, Reason: "supports this hardware according to its catalogue entry", Confidence: confidence, Source: s.Source,
				Evidence: []string{fmt.Sprintf("%s matches %s (%s)", s.Pattern, shorten(alias.Alias), alias.Path)},
			})
		}
	}
}
