package hardware

import (
	"errors"
	"io"
	"strings"

	"cortex/events"
)

// system adds the facts of the kernel and the distribution.
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

// bracketedWord returns the word in brackets, as in "none [integrity] confidentiality". A text
// without brackets is returned unchanged.
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
			r.addUnknown(f.key, source, errors.New("the file has no field "+f.field))
		default:
			r.addCertain(f.key, events.TextValue(v), source)
		}
	}
	if s, err := r.text("etc/debian_version"); err == nil {
		r.addCertain("os.point_release", events.TextValue(s), "/etc/debian_version")
	}
	r.architectures(cpu)
}

// debianArchs maps the kernel's architecture names to those of dpkg.
var debianArchs = map[string]string{
	"x86_64": "amd64", "aarch64": "arm64", "i686": "i386", "s390x": "s390x", "riscv64": "riscv64", "ppc64le": "ppc64el",
	"armv7l": "armhf", "armv6l": "armel",
}

// architectures reads dpkg's list of architectures, whose first entry is the native one.
// Without the list dpkg has no foreign architectures.
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
		r.addDerived("os.arch", events.TextValue(a), "architecture of /usr/bin/dpkg")
	} else if a := debianArchs[cpu.arch]; a != "" {
		r.add(events.HardwareFact{Key: "os.arch", Value: events.TextValue(a), Source: "the kernel's architecture", Confidence: events.ConfidenceGuess})
	} else {
		r.addUnknown("os.arch", source, err)
	}
}

// elfMachines maps the machine number of an ELF header to the architecture names of dpkg.
var elfMachines = map[byte]string{3: "i386", 21: "ppc64el", 22: "s390x", 40: "armhf", 62: "amd64", 183: "arm64", 243: "riscv64"}

// dpkgArchitecture returns the architecture that dpkg itself is built for, or "". The
// machine number has two bytes at offset 18; all numbers in the table fit into one, so
// their sum is the number in either byte order.
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
