package hardware

import (
	"errors"
	"io"
	"strings"

	"cortex/events"
)

// system tells about kernel and distribution.
func (r *factBuilder) system(cpu cpuInfo) {
	release, err := r.text("proc/sys/kernel/osrelease")
	if err == nil {
		r.addCertain("kernel.release", events.TextValue(release), "/proc/sys/kernel/osrelease")
		headers := "lib/modules/" + release + "/build"
		r.addDerived("kernel.headers", events.BoolValue(r.exists(headers)), "/"+headers)
	} else {
		r.addUnknown("kernel.release", "/proc/sys/kernel/osrelease", err)
	}
	if s, err := r.text("sys/kernel/security/lsm"); err == nil {
		r.addCertain("kernel.lsm", events.ListValue(strings.Split(s, ",")), "/sys/kernel/security/lsm")
	}
	if s, err := r.text("sys/kernel/security/lockdown"); err == nil {
		r.addCertain("kernel.lockdown", events.TextValue(bracketedWord(s)), "/sys/kernel/security/lockdown")
	}
	if n, err := r.number("proc/sys/crypto/fips_enabled"); err == nil {
		r.addCertain("kernel.fips", events.BoolValue(n == 1), "/proc/sys/crypto/fips_enabled")
	}
	if n, err := r.number("proc/sys/user/max_user_namespaces"); err == nil {
		r.addCertain("kernel.user_namespaces_max", events.NumberValue(n), "/proc/sys/user/max_user_namespaces")
	}
	r.distribution(cpu)
}

// bracketedWord is the word in brackets of "none [integrity] confidentiality".
func bracketedWord(s string) string {
	_, rest, ok := strings.Cut(s, "[")
	word, _, closed := strings.Cut(rest, "]")
	if !ok || !closed {
		return s
	}
	return word
}

// parseOSRelease parses os-release(5): shell assignments with or without quotes.
func parseOSRelease(text string) map[string]string {
	out := map[string]string{}
	for k, v := range parseFields(text, "=") {
		if strings.HasPrefix(k, "#") {
			continue
		}
		if len(v) >= 2 && (v[0] == '"' || v[0] == '\'') && v[len(v)-1] == v[0] {
			v = v[1 : len(v)-1]
		}
		out[k] = strings.NewReplacer(`\"`, `"`, `\$`, `$`, `\\`, `\`, "\\`", "`").Replace(v)
	}
	return out
}

func (r *factBuilder) distribution(cpu cpuInfo) {
	source := "/etc/os-release"
	text, err := r.read("etc/os-release")
	if err != nil {
		source = "/usr/lib/os-release"
		text, err = r.read("usr/lib/os-release")
	}
	o := parseOSRelease(text)
	for _, f := range []struct{ key, field string }{{"os.id", "ID"}, {"os.version", "VERSION_ID"}, {"os.codename", "VERSION_CODENAME"}, {"os.name", "PRETTY_NAME"}} {
		switch v := sanitize(o[f.field]); {
		case err != nil:
			r.addUnknown(f.key, source, err)
		case v == "":
			r.addUnknown(f.key, source, errors.New("it has no "+f.field))
		default:
			r.addCertain(f.key, events.TextValue(v), source)
		}
	}
	if s, err := r.text("etc/debian_version"); err == nil {
		r.addCertain("os.point_release", events.TextValue(s), "/etc/debian_version")
	}
	r.architectures(cpu)
}

// debianArchs are dpkg's words for the kernel's.
var debianArchs = map[string]string{
	"x86_64": "amd64", "aarch64": "arm64", "i686": "i386", "s390x": "s390x", "riscv64": "riscv64", "ppc64le": "ppc64el",
	"armv7l": "armhf", "armv6l": "armel",
}

// architectures reads dpkg's own list: the native one first; without a list there
// is no foreign one.
func (r *factBuilder) architectures(cpu cpuInfo) {
	const source = "/var/lib/dpkg/arch"
	text, err := r.read("var/lib/dpkg/arch")
	native, archs := "", strings.Fields(sanitize(strings.ReplaceAll(text, "\n", " ")))
	switch {
	case err == nil && len(archs) > 0:
		native = archs[0]
		r.addCertain("os.arch", events.TextValue(native), source)
		r.addCertain("os.foreign_archs", events.ListValue(archs[1:]), source)
	case err != nil && !isNotExist(err):
		r.addUnknown("os.foreign_archs", source, err)
	case r.exists("var/lib/dpkg"):
		r.addCertain("os.foreign_archs", events.ListValue(nil), source)
	}
	if native != "" {
		return
	}
	if a := r.dpkgArchitecture(); a != "" {
		r.addDerived("os.arch", events.TextValue(a), "/usr/bin/dpkg is a program for it")
	} else if a := debianArchs[cpu.arch]; a != "" {
		r.add(events.HardwareFact{Key: "os.arch", Value: events.TextValue(a), Source: "the kernel's architecture", Confidence: events.ConfidenceGuess})
	} else {
		r.addUnknown("os.arch", source, err)
	}
}

// elfMachines are dpkg's words for the numbers in the headers of programs.
var elfMachines = map[byte]string{3: "i386", 21: "ppc64el", 22: "s390x", 40: "armhf", 62: "amd64", 183: "arm64", 243: "riscv64"}

// dpkgArchitecture tells for which architecture dpkg itself is built; "" when it cannot
// be told. The number is two bytes at 18; those that are known need one.
func (r *factBuilder) dpkgArchitecture() string {
	f, err := r.fs.Open("usr/bin/dpkg")
	if err != nil {
		return ""
	}
	defer f.Close()
	head := make([]byte, 20)
	if _, err := io.ReadFull(f, head); err != nil || string(head[:4]) != "\x7fELF" {
		return ""
	}
	return elfMachines[head[18]+head[19]]
}
