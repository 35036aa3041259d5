package hardware_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"cortex/events"
)

var writeTable = flag.Bool("write-table", false, "write the table of facts into docs/hardware.md")

// table has the facts that all tests of this package read, by generalized key, with their
// generalized sources and their confidence.
var table = struct {
	sync.Mutex
	rows map[string]*row
}{rows: map[string]*row{}}

type row struct{ sources, confidence map[string]bool }

// placeholders replace the parts of keys and sources that differ between machines.
var placeholders = []struct {
	pattern *regexp.Regexp
	word    string
}{
	{regexp.MustCompile(`[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-9a-f]`), "ADDRESS"},
	{regexp.MustCompile(`^disk\.[^.]+\.`), "disk.NAME."},
	{regexp.MustCompile(`^/sys/block/[^*/]+(/|$)`), "/sys/block/NAME$1"},
	{regexp.MustCompile(`^net\.[^.]+\.`), "net.NAME."},
	{regexp.MustCompile(`^/sys/class/(net|power_supply|accel|tpm)/[^/]+`), "/sys/class/$1/NAME"},
	{regexp.MustCompile(`^fs\..*\.`), "fs.PLACE."},
	{regexp.MustCompile(`^(npu|battery)\.[^.]+\.`), "$1.NAME."},
	{regexp.MustCompile(`^usb\.[0-9.-]+\.`), "usb.PORT."},
	{regexp.MustCompile(`^/sys/bus/usb/devices/[0-9.-]+`), "/sys/bus/usb/devices/PORT"},
	{regexp.MustCompile(`^(numa\.|/sys/devices/system/node/)node[0-9]+`), "${1}nodeN"},
	{regexp.MustCompile(`^cpu\.cache\.l[0-9][di]?`), "cpu.cache.LEVEL"},
	{regexp.MustCompile(`^pressure\.(cpu|io|memory)\.(some|full)`), "pressure.WHAT.KIND"},
	{regexp.MustCompile(`^/proc/pressure/[a-z]+`), "/proc/pressure/WHAT"},
	{regexp.MustCompile(`^/sys/class/kfd/kfd/topology/nodes/[0-9]+`), "/sys/class/kfd/kfd/topology/nodes/N"},
	{regexp.MustCompile(`^/usr/src/linux-headers-.*|^/lib/modules/[^/]+`), "/lib/modules/RELEASE"},
}

// generalize replaces the parts of a key or source that differ between machines.
func generalize(s string) string {
	for _, f := range placeholders {
		s = f.pattern.ReplaceAllString(s, f.word)
	}
	return s
}

// noteFacts adds facts to the table.
func noteFacts(facts []events.HardwareFact) {
	table.Lock()
	defer table.Unlock()
	for _, f := range facts {
		k := generalize(f.Key)
		if table.rows[k] == nil {
			table.rows[k] = &row{map[string]bool{}, map[string]bool{}}
		}
		if f.Known() {
			table.rows[k].sources[generalize(f.Source)] = true
			table.rows[k].confidence[string(f.Confidence)] = true
		}
	}
}

const (
	tableFile  = "../../docs/hardware.md"
	tableBegin = "<!-- The tests of producers/hardware write and check this table. -->\n"
	tableEnd   = "<!-- End of the table. -->\n"
)

// text returns the table in Markdown.
func text() string {
	var b strings.Builder
	b.WriteString(tableBegin + "\n| fact | from | confidence |\n|---|---|---|\n")
	list := func(m map[string]bool) string { return strings.Join(slices.Sorted(maps.Keys(m)), ", ") }
	for _, k := range slices.Sorted(maps.Keys(table.rows)) {
		r := table.rows[k]
		if len(r.sources) > 0 {
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", k, strings.ReplaceAll(list(r.sources), "*", `\*`), list(r.confidence))
		}
	}
	return b.String() + "\n" + tableEnd
}

// withTable checks the table in docs/hardware.md after all tests have run.
type withTable struct{ m *testing.M }

// Run implements goleak's TestingM.
func (w withTable) Run() int {
	code := w.m.Run()
	if code != 0 || testing.Short() || flag.Lookup("test.run").Value.String() != "" || flag.Lookup("test.fuzz").Value.String() != "" {
		return code
	}
	data, err := os.ReadFile(tableFile)
	before, rest, ok := strings.Cut(string(data), tableBegin)
	_, after, ok2 := strings.Cut(rest, tableEnd)
	if err != nil || !ok || !ok2 {
		fmt.Println("FAIL: docs/hardware.md: no table of facts:", err)
		return 1
	}
	if now := before + text() + after; now != string(data) {
		if *writeTable {
			if err := os.WriteFile(tableFile, []byte(now), 0o644); err != nil {
				fmt.Println("FAIL:", err)
				return 1
			}
			return 0
		}
		fmt.Println("FAIL: the table in docs/hardware.md differs from the facts of the tests; to update it: go test ./producers/hardware -write-table")
		return 1
	}
	return 0
}

// TestFactsThatNoSnapshotHas reads facts that the snapshots of real machines lack.
func TestFactsThatNoSnapshotHas(t *testing.T) {
	const gpu = "sys/bus/pci/devices/0000:c3:00.0/"
	expect(t, collect(t, files(map[string]string{
		gpu + "modalias": "pci:v00001002d00001586sv00001022sd00001586bc03sc80i00\n", gpu + "driver@": "../../../../bus/pci/drivers/amdgpu",
		"sys/module/amdgpu/version":              "6.8.5\n",
		"sys/class/dmi/id/bios_vendor":           "LENOVO\n",
		"sys/class/dmi/id/bios_version":          "N3MET18W\n",
		"sys/class/dmi/id/bios_date":             "01/02/2026\n",
		"sys/class/dmi/id/board_vendor":          "LENOVO\n",
		"sys/class/dmi/id/board_name":            "21AK\n",
		"sys/class/dmi/id/product_version":       "ThinkPad P14s\n",
		"sys/class/power_supply/BAT0/type":       "Battery\n",
		"sys/class/power_supply/BAT0/technology": "Li-poly\n",
		"sys/kernel/security/lsm":                "lockdown,capability,landlock\n",
		"proc/sys/crypto/fips_enabled":           "1\n",
		"proc/sys/user/max_user_namespaces":      "0\n",
		"proc/sys/kernel/arch":                   "x86_64\n",
		"proc/cpuinfo":                           "processor : 0\nflags : lm\ncpu cores : 4\n",
		"proc/pressure/cpu":                      "some avg10=1.50 avg60=0.00 avg300=0.00 total=1\nfull avg10=0.25 avg60=0.00 avg300=0.00 total=0\n",
		"etc/os-release":                         "ID=debian\nVERSION_CODENAME=bookworm\n",
		"sys/class/net/eth0/speed":               "2500\n",
		"sys/class/net/eth0/device/uevent":       "",
		"sys/class/virtio-ports/vport1p1/name":   "org.qemu.guest_agent.0\n",
		"sys/block/nvme0n1/device/model":         "Samsung SSD 990\n",
		"sys/block/nvme0n1/size":                 "2048\n",
		"sys/block/dm-0/dm/uuid":                 "LVM-abcdef\n",
		"sys/block/dm-0/dm/name":                 "vg-root\n",
		"sys/block/dm-0/size":                    "1024\n",
	})), map[string]string{
		"gpu.0000:c3:00.0.driver_version": "6.8.5", "dmi.bios_vendor": "LENOVO", "dmi.bios_version": "N3MET18W", "dmi.bios_date": "01/02/2026",
		"dmi.board_vendor": "LENOVO", "dmi.board_name": "21AK", "dmi.product_version": "ThinkPad P14s", "battery.BAT0.technology": "Li-poly",
		"kernel.lsm": "lockdown capability landlock", "kernel.fips": "true", "kernel.user_namespaces_max": "0", "cpu.arch": "x86_64", "cpu.cores": "4",
		"pressure.cpu.some_avg10_pct": "1.50", "pressure.cpu.full_avg10_pct": "0.25", "os.codename": "bookworm", "net.eth0.speed_mbps": "2500",
		"vm.channels": "org.qemu.guest_agent.0", "disk.nvme0n1.model": "Samsung SSD 990", "disk.dm-0.kind": "lvm", "disk.dm-0.name": "vg-root", "disk.dm-0.size_b": "524288",
	})
}
