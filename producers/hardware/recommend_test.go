package hardware_test

import (
	"bytes"
	"compress/gzip"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"cortex/events"
	"cortex/producers/hardware"
)

// recommend returns the recommendations for a machine and the reason for having none.
func recommend(t testing.TB, root fs.FS) ([]hardware.Recommendation, string) {
	t.Helper()
	c := hardware.New(hardware.Config{FS: root, Now: func() time.Time { return time.Unix(0, 0) }})
	r, err := c.Collect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	list, reason := hardware.Recommend(r.Facts, c.Modaliases(), c.ModaliasCatalog())
	again, _ := hardware.Recommend(r.Facts, c.Modaliases(), c.ModaliasCatalog())
	if diff := cmp.Diff(list, again); diff != "" {
		t.Errorf("the same facts have another result:\n%s", diff)
	}
	for _, r := range list {
		if r.Reason == "" || len(r.Evidence) == 0 || r.Source == "" || r.Confidence == "" {
			t.Errorf("%s lacks its reason, evidence, source or confidence: %+v", r.Package, r)
		}
	}
	return list, reason
}

func names(list []hardware.Recommendation) string {
	var out []string
	for _, r := range list {
		out = append(out, string(r.Package))
	}
	return strings.Join(out, " ")
}

func release(id, codename string) fstest.MapFS {
	return files(map[string]string{"etc/os-release": "ID=" + id + "\nVERSION_CODENAME=" + codename + "\n", "usr/bin/dpkg": "\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 11) + "\x3e\x00"})
}

func TestRecommendationsForRealMachines(t *testing.T) {
	for name, c := range map[string]struct{ file, id, codename, want string }{
		"the laptop on Debian 12":   {"linux-amd64-415ee03b8c4d1c4f07ae2e9d8b3d3d6d", "debian", "bookworm", "firmware-iwlwifi firmware-misc-nonfree firmware-sof-signed intel-microcode nvme-cli smartmontools"},
		"the laptop on Debian 13":   {"linux-amd64-415ee03b8c4d1c4f07ae2e9d8b3d3d6d", "debian", "trixie", "firmware-intel-graphics firmware-iwlwifi firmware-sof-signed intel-microcode nvme-cli smartmontools"},
		"the laptop on Ubuntu":      {"linux-amd64-415ee03b8c4d1c4f07ae2e9d8b3d3d6d", "ubuntu", "noble", "intel-microcode linux-firmware nvme-cli smartmontools"},
		"the server with two Xeons": {"linux-amd64-8581cf3a529e5d8b97ea876eade2f60d", "debian", "bookworm", "firmware-bnx2 intel-microcode numactl smartmontools"},
		"the mainframe":             {"linux-s390x-snapshot", "debian", "bookworm", ""},
	} {
		t.Run(name, func(t *testing.T) {
			list, reason := recommend(t, union(snapshot(t, c.file), release(c.id, c.codename)))
			if got := names(list); got != c.want || reason != "" {
				t.Errorf("got %q %s, want %q", got, reason, c.want)
			}
		})
	}
}

func TestRulesDependOnFacts(t *testing.T) {
	nvidia := func(product, more string) map[string]string {
		return map[string]string{"sys/bus/pci/devices/0000:01:00.0/modalias": "pci:v000010DEd0000" + product + "sv000010DEsd00001839bc03sc00i00\n", more: "x"}
	}
	for name, c := range map[string]struct {
		id    string
		files map[string]string
		want  string
	}{
		"an Intel processor":              {"debian", map[string]string{"proc/cpuinfo": ownCPU}, "intel-microcode"},
		"the same in a virtual machine":   {"debian", map[string]string{"proc/cpuinfo": vmCPU}, ""},
		"unknown whether virtual":         {"debian", map[string]string{"sys/class/dmi/id/sys_vendor": "Dell"}, ""},
		"a guest with an agent's channel": {"debian", map[string]string{"proc/cpuinfo": vmCPU, "sys/class/virtio-ports/vport1p1/name": "org.qemu.guest_agent.0\n"}, "qemu-guest-agent"},
		"a guest of VMware":               {"debian", map[string]string{"proc/cpuinfo": vmCPU, "sys/class/dmi/id/sys_vendor": "VMware, Inc."}, "open-vm-tools"},
		"a guest of Hyper-V on Debian":    {"debian", map[string]string{"proc/cpuinfo": vmCPU, "sys/class/dmi/id/product_name": "Virtual Machine"}, "hyperv-daemons"},
		"a guest of Hyper-V on Ubuntu":    {"ubuntu", map[string]string{"proc/cpuinfo": vmCPU, "sys/class/dmi/id/product_name": "Virtual Machine"}, "linux-cloud-tools-virtual"},
		"a card without NVIDIA's driver":  {"debian", nvidia("2684", "proc/sys/kernel/osrelease"), "linux-headers-amd64 nvidia-driver"},
		"an old card":                     {"debian", nvidia("1004", "x"), "nvidia-tesla-470-driver"},
		"the same on Ubuntu":              {"ubuntu", nvidia("2684", "x"), "ubuntu-drivers-common"},
		"a card, Secure Boot is unknown":  {"debian", nvidia("2684", "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"), "nvidia-driver"},
		"wireless without a driver":       {"debian", map[string]string{"sys/bus/pci/devices/0000:02:00.0/modalias": "pci:v000014C3d00000616sv00001043sd00001043bc02sc80i00"}, "firmware-misc-nonfree"},
		"a laptop":                        {"debian", map[string]string{"proc/cpuinfo": ownCPU, "sys/class/power_supply/BAT0/type": "Battery"}, "intel-microcode thermald tlp"},
		"a TPM and EFI":                   {"debian", map[string]string{"proc/cpuinfo": ownCPU, "sys/class/tpm/tpm0/tpm_version_major": "2", "sys/firmware/efi/x": ""}, "fwupd intel-microcode tpm2-tools"},
		"Bluetooth of Realtek":            {"debian", map[string]string{"sys/bus/usb/devices/1-1/idVendor": "0bda", "sys/bus/usb/devices/1-1/idProduct": "1", "sys/bus/usb/devices/1-1/bDeviceClass": "e0", "sys/bus/usb/devices/1-1:1.0/driver@": "x/btusb"}, "bluez firmware-realtek"},
		"a container":                     {"debian", map[string]string{"proc/cpuinfo": ownCPU, "proc/self/ns/pid@": inside}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			list, reason := recommend(t, union(release(c.id, "bookworm"), files(c.files)))
			if got := names(list); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if _, contained := c.files["proc/self/ns/pid@"]; contained != (reason != "") {
				t.Errorf("reason: %q", reason)
			}
		})
	}
	secure := nvidia("2684", "x")
	secure["sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"] = "\x06\x00\x00\x00\x01"
	if list, _ := recommend(t, union(release("debian", "trixie"), files(secure))); names(list) != "mokutil nvidia-driver" {
		t.Errorf("with Secure Boot: %s", names(list))
	}
}

const dep11 = `---
File: DEP-11
Version: '0.16'
---
Type: generic
ID: org.fprint.fprintd
Package: libfprint-2-2
Name:
  C: 'Package: no'
Provides:
  modaliases:
  - usb:v27C6p5110*
  - 'usb:v27C6p5117*'
  binaries:
  - usb:v*
---
Type: generic
Package: other
Provides:
  binaries:
  - usb:v27C6*
`

func TestCataloguesOfTheMachineAreRead(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write([]byte(dep11)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	list, _ := recommend(t, files(map[string]string{
		"sys/bus/usb/devices/1-3/modalias":          "usb:v27C6p5117d0100dcEFdsc00dp00icFFisc00ip00in00\n",
		"sys/bus/pci/devices/0000:01:00.0/modalias": "pci:v000010DEd00002684sv00001043sd000088F7bc03sc00i00\n",
		"proc/modules": "cciss 12 0 - Live 0x0\n",
		"var/lib/swcatalog/yaml/debian_dep11.yml.gz": packed.String(),
		"var/lib/apt/lists/archive_Packages":         "Package: nvidia-driver-550\nModaliases: nvidia_550(pci:v000010DEd00002684sv*sd*bc03sc0*i00*, pci:v000010DEd00002685*)\n\nPackage: x\nModaliases: y(pci:v00001002*)\n",
		"var/lib/apt/lists/archive_Packages.lz4":     "packed",
		"usr/share/isenkram/modaliases":              "Package: array-info\nModaliases: unused(lkmodule:cciss)\n\nPackage: cheese\nModaliases: unused(usb:v*p*d*dcEF*)\n\nPackage: case\nModaliases: unused(pci:v000010ded0000268[0-9a-f]*)\n\nPackage: ../evil\nModaliases: unused(pci:*)\n",
		"usr/share/isenkram/modaliases.d/more":       "Package: none\nModaliases: unused(usb:v1234*, , broken(\n",
		"var/lib/swcatalog/yaml/torn.yml.gz":         "not packed",
		"var/lib/apt/lists/partial/lock":             "",
	}))
	got := map[string]string{}
	for _, r := range list {
		if r.Source != "rules of cortex" {
			got[string(r.Package)] = string(r.Confidence) + " " + r.Source + ": " + strings.Join(r.Evidence, "; ")
		}
	}
	gpu, finger := "pci:v000010DEd00002684sv00001043sd000088F7bc03sc00i00 (/sys/bus/pci/devices/0000:01:00.0/modalias)", "usb:v27C6p5117d0100dcEFdsc00dp00icFFisc00ip00in00 (/sys/bus/usb/devices/1-3/modalias)"
	want := map[string]string{
		"libfprint-2-2":     "derived /var/lib/swcatalog/yaml/debian_dep11.yml.gz: usb:v27C6p5117* matches " + finger,
		"nvidia-driver-550": "derived /var/lib/apt/lists/archive_Packages: pci:v000010DEd00002684sv*sd*bc03sc0*i00* matches " + gpu,
		"array-info":        "derived /usr/share/isenkram/modaliases: lkmodule:cciss matches lkmodule:cciss (/proc/modules)",
		"cheese":            "guess /usr/share/isenkram/modaliases: usb:v*p*d*dcEF* matches " + finger,
		"case":              "derived /usr/share/isenkram/modaliases: pci:v000010ded0000268[0-9a-f]* matches " + gpu,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestUnreadableCataloguesAreListed(t *testing.T) {
	c := hardware.New(hardware.Config{FS: files(map[string]string{
		"var/lib/apt/lists/a_Packages.lz4": "x", "var/lib/swcatalog/yaml/torn.yml.gz": "not packed", "usr/share/isenkram/modaliases": "",
	}), Now: time.Now}).ModaliasCatalog()
	if len(c.FilesUnread) != 2 || !strings.Contains(strings.Join(c.FilesUnread, " "), "torn.yml.gz: gzip: invalid header") || !slices.Equal(c.FilesRead, []string{"/usr/share/isenkram/modaliases"}) {
		t.Errorf("read %q, unread %q", c.FilesRead, c.FilesUnread)
	}
}

func FuzzCatalog(f *testing.F) {
	f.Add("Package: a\nModaliases: m(pci:v1*, usb:[)\n", dep11, "usb:v27C6p5110d")
	f.Fuzz(func(t *testing.T, stanzas, yaml, alias string) {
		c := hardware.New(hardware.Config{FS: files(map[string]string{
			"usr/share/isenkram/modaliases": stanzas, "var/lib/swcatalog/yaml/x.yml": yaml, "sys/bus/usb/devices/1-3/modalias": alias,
		}), Now: time.Now})
		catalog := c.ModaliasCatalog()
		for _, s := range catalog.Patterns {
			if err := s.Package.Validate(); err != nil {
				t.Error(err)
			}
		}
		list, _ := hardware.Recommend(nil, c.Modaliases(), catalog)
		for _, r := range list {
			if r.Confidence == events.ConfidenceCertain {
				t.Error("a recommendation from a catalogue is certain")
			}
		}
	})
}
