package hardware_test

import (
	"encoding/json"
	"os"
	"testing"
	"unicode"

	"cortex/events"
	"cortex/producers/hardware"
)

// untrusted lists files whose content devices, users or container managers can influence. The
// fuzzer replaces one of them.
var untrusted = []string{
	"proc/cpuinfo", "proc/meminfo", "proc/self/cgroup", "proc/self/mountinfo", "etc/os-release", "var/lib/dpkg/arch",
	"sys/devices/system/cpu/online", "sys/devices/system/cpu/cpu0/cache/index0/size", "sys/devices/system/cpu/cpu0/cache/index0/shared_cpu_list",
	"sys/bus/pci/devices/0000:01:00.0/modalias", "sys/bus/pci/devices/0000:01:00.0/resource", "sys/bus/pci/devices/0000:01:00.0/mem_info_vram_total",
	"usr/share/misc/pci.ids", "proc/driver/nvidia/version", "sys/class/kfd/kfd/topology/nodes/1/properties", "proc/pressure/memory",
	"sys/bus/usb/devices/1-1/product", "sys/class/dmi/id/product_name", "sys/class/power_supply/BAT0/capacity", "proc/sysinfo",
	"sys/block/sda/size", "sys/fs/cgroup/cpu.max", "sys/fs/cgroup/memory.max", "sys/kernel/security/lockdown", "sys/devices/system/memory/block_size_bytes",
}

// FuzzCollect replaces one file of a valid machine with any text.
func FuzzCollect(f *testing.F) {
	valid := map[string]string{
		"proc/cpuinfo": vmCPU, "proc/meminfo": "MemTotal: 1 kB\n", "proc/self/cgroup": "0::/\n",
		"proc/self/mountinfo":           "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
		"sys/devices/system/cpu/online": "0-1\n", "sys/devices/system/cpu/cpu0/cache/index0/level": "1\n",
		"sys/devices/system/cpu/cpu0/cache/index0/size": "32K\n",
		"sys/bus/pci/devices/0000:01:00.0/modalias":     "pci:v00001002d00001586sv00001022sd00001586bc03sc80i00\n",
		"sys/bus/usb/devices/1-1/idVendor":              "0001\n", "sys/bus/usb/devices/1-1/idProduct": "0002\n", "sys/bus/usb/devices/1-1/bDeviceClass": "00\n",
		"sys/class/power_supply/BAT0/type": "Battery\n",
	}
	for i, name := range untrusted {
		f.Add(uint8(i), valid[name])
		f.Add(uint8(i), "max 100000\n0-8191,1\n-1\x00\x1b[2J")
	}
	f.Fuzz(func(t *testing.T, which uint8, text string) {
		root := files(valid)
		name := untrusted[int(which)%len(untrusted)]
		root[name] = files(map[string]string{"x": text})["x"]
		r := collect(t, root)
		for _, f := range r.Facts {
			if !json.Valid([]byte(f.Value)) && f.Known() {
				t.Errorf("%s: %q is not JSON", f.Key, f.Value)
			}
			for _, s := range []string{f.Key, f.Value.String(), f.Source, f.Error} {
				for _, c := range s {
					if unicode.IsControl(c) {
						t.Errorf("%s: %q has a control character", f.Key, s)
					}
				}
			}
			if n, ok := f.Value.Int(); ok && n < 0 {
				t.Errorf("%s is %d", f.Key, n)
			}
		}
		snapshot := r.Snapshot(events.HardwareSnapshotAtStart)
		data, err := json.Marshal(snapshot)
		if err != nil {
			t.Fatal(err)
		}
		var back events.HardwareSnapshot
		if err := json.Unmarshal(data, &back); err != nil {
			t.Fatal(err)
		}
		if again, err := json.Marshal(back); err != nil || string(again) != string(data) {
			t.Errorf("the snapshot changed in a round trip: %v", err)
		}
	})
}

func FuzzParseNVIDIAReport(f *testing.F) {
	f.Add([]byte(`{"driver":"550","devices":[{"pci":"0000:01:00.0","total_b":5}]}`))
	f.Add([]byte(`{"devices":[{"pci":"../../x"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := hardware.ParseNVIDIAReport(data)
		if err != nil && (r.Driver != "" || r.Devices != nil) {
			t.Error("an invalid report is returned")
		}
		for _, d := range r.Devices {
			if len(d.PCI) < 12 {
				t.Errorf("%q was accepted as a PCI address", d.PCI)
			}
		}
	})
}

func TestParseNVIDIAReportRefusesInvalidReports(t *testing.T) {
	for _, text := range []string{"", "[]", "{", `{"devices":[{"pci":""}]}`, `{"devices":[{"pci":"0000:01:00.g"}]}`, `{"devices":[{"pci":"0000:01:00.0","total_b":-1}]}`} {
		if _, err := hardware.ParseNVIDIAReport([]byte(text)); err == nil {
			t.Errorf("%s was accepted", text)
		}
	}
	if _, err := hardware.ParseNVIDIAReport(make([]byte, 2<<20)); err == nil {
		t.Error("two megabytes were accepted")
	}
}

func TestLinkLoopIsAnError(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(dir+"/proc", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("cpuinfo", dir+"/proc/cpuinfo"); err != nil {
		t.Fatal(err)
	}
	expect(t, collect(t, os.DirFS(dir)), map[string]string{"cpu.model": "? the kernel reports neither a name nor a known part number", "cpu.flags": "? too many levels of symbolic links"})
}
