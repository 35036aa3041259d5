package hardware_test

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"cortex/events"
	"cortex/producers/hardware"
)

// union merges the files of machines; the last one counts.
func union(parts ...fstest.MapFS) fstest.MapFS {
	out := fstest.MapFS{}
	for _, p := range parts {
		for name, f := range p {
			out[name] = f
		}
	}
	return out
}

const vmCPU = "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: A  Processor\nflags\t\t: lm hypervisor cx16\n"

const ownCPU = "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: A  Processor\nflags\t\t: lm cx16\n"

func TestAMDGraphicsReportTheirMemory(t *testing.T) {
	const dir = "sys/bus/pci/devices/0000:c3:00.0/"
	r := collect(t, files(map[string]string{
		dir + "modalias":            "pci:v00001002d00001586sv00001022sd00001586bc03sc80i00\n",
		dir + "driver@":             "../../../../bus/pci/drivers/amdgpu",
		dir + "mem_info_vram_total": "536870912\n", dir + "mem_info_vram_used": "1048576\n",
		dir + "mem_info_gtt_total": "66000000000\n", dir + "mem_info_gtt_used": "0\n",
		"sys/class/kfd/kfd/topology/nodes/0/properties": "simd_count 0\nlocation_id 0\ngfx_target_version 0\n",
		"sys/class/kfd/kfd/topology/nodes/1/properties": "simd_count 80\ngfx_target_version 110501\nlocation_id 49920\ndomain 0\n",
		"usr/share/misc/pci.ids":                        "# list\n1001  Other\n\t1586  wrong\n1002  Advanced Micro Devices, Inc. [AMD/ATI]\n\t1585  no\n\t1586  Strix Halo\n\t\t1022 1586  sub\n1003  x\n",
	}))
	expect(t, r, map[string]string{
		"gpu.0000:c3:00.0.vram_total_b": "536870912", "gpu.0000:c3:00.0.gtt_total_b": "66000000000", "gpu.0000:c3:00.0.gtt_used_b": "0",
		"gpu.0000:c3:00.0.gfx": "gfx1151", "gpu.0000:c3:00.0.simds": "80", "gpu.0000:c3:00.0.name": "Advanced Micro Devices, Inc. [AMD/ATI] Strix Halo",
		"gpu.count": "1", "pci.0000:c3:00.0.class": "038000",
	})
}

func TestIntelCardMemoryIsAtLeastTheLargestWindow(t *testing.T) {
	const dir = "sys/bus/pci/devices/0000:03:00.0/"
	r := collect(t, files(map[string]string{
		dir + "vendor": "0x8086\n", dir + "device": "0x56a0\n", dir + "class": "0x030000\n",
		dir + "resource": "0x0000000083000000 0x0000000083ffffff 0x0000000000140204\n0x0000004000000000 0x00000043ffffffff 0x000000000014220c\n0x0 0x0 0x0\n",
	}))
	expect(t, r, map[string]string{"gpu.0000:03:00.0.vram_min_b": "17179869184", "gpu.0000:03:00.0.shares_memory": "-", "gpu.0000:03:00.0.driver": "? no driver is bound"})
	if f, _ := events.FindHardwareFact(r.Facts, "gpu.0000:03:00.0.vram_min_b"); f.Confidence != events.ConfidenceGuess {
		t.Errorf("a lower bound is %s", f.Confidence)
	}
}

func TestNeuralProcessingUnitsAreFound(t *testing.T) {
	r := collect(t, files(map[string]string{
		"sys/class/accel/accel0/device/vendor": "0x8086\n", "sys/class/accel/accel0/device/device": "0x7d1d\n",
		"sys/class/accel/accel0/device/driver@": "../x/intel_vpu",
	}))
	expect(t, r, map[string]string{"npu.accel0.id": "8086:7d1d", "npu.accel0.driver": "intel_vpu"})
}

func nvidiaCard(driver string) fstest.MapFS {
	m := map[string]string{"sys/bus/pci/devices/0000:01:00.0/modalias": "pci:v000010DEd00002330sv000010DEsd00001839bc03sc02i00\n"}
	if driver != "" {
		m["sys/bus/pci/devices/0000:01:00.0/driver@"] = "../drivers/" + driver
	}
	return files(m)
}

func TestNVIDIALibraryIsQueriedIfTheDriverIsLoaded(t *testing.T) {
	report := hardware.NVIDIAReport{Driver: "550.54.15", CUDA: "12.4", Devices: []hardware.NVIDIADevice{{
		PCI: "0000:01:00.0", Name: "NVIDIA H100 80GB HBM3", TotalB: 85520809984, UsedB: 0, Compute: "9.0", MIG: "disabled",
	}}}
	queries := 0
	query := func(c *hardware.Config) {
		c.NVIDIA = func(context.Context) (hardware.NVIDIAReport, error) { queries++; return report, nil }
	}
	expect(t, collect(t, nvidiaCard("nvidia"), query), map[string]string{
		"gpu.0000:01:00.0.name": "NVIDIA H100 80GB HBM3", "gpu.0000:01:00.0.vram_total_b": "85520809984", "gpu.0000:01:00.0.vram_used_b": "0",
		"gpu.0000:01:00.0.compute": "9.0", "gpu.0000:01:00.0.mig": "disabled", "gpu.0000:01:00.0.architecture": "Hopper",
		"nvidia.cuda_version": "12.4", "nvidia.driver_version": "550.54.15",
	})
	if queries != 1 {
		t.Errorf("got %d queries, want 1", queries)
	}
	expect(t, collect(t, nvidiaCard("nouveau"), query), map[string]string{
		"gpu.0000:01:00.0.vram_total_b": "? the driver nvidia is not loaded", "gpu.0000:01:00.0.driver": "nouveau", "gpu.0000:01:00.0.compute": "9.0",
	})
	if queries != 1 {
		t.Error("the library was queried without its driver")
	}
	report.Devices[0].TotalB, report.Devices[0].Errors = 0, map[string]string{"total_b": "nvmlDeviceGetMemoryInfo returned 3", "used_b": "nvmlDeviceGetMemoryInfo returned 3"}
	expect(t, collect(t, nvidiaCard("nvidia"), query), map[string]string{
		"gpu.0000:01:00.0.vram_total_b": "? nvmlDeviceGetMemoryInfo returned 3", "gpu.0000:01:00.0.vram_used_b": "-",
	})
	report.Devices = nil
	expect(t, collect(t, nvidiaCard("nvidia"), query), map[string]string{"gpu.0000:01:00.0.vram_total_b": "? the library does not list this device"})
	broken := func(c *hardware.Config) {
		c.NVIDIA = func(context.Context) (hardware.NVIDIAReport, error) {
			return hardware.NVIDIAReport{}, errors.New("no cortex-nvml")
		}
	}
	files := union(nvidiaCard("nvidia"), files(map[string]string{
		"proc/driver/nvidia/version":                       "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024\nGCC version:\n",
		"proc/driver/nvidia/gpus/0000:01:00.0/information": "Model: \t\t NVIDIA H100\nIRQ:   \t\t 16\n",
	}))
	expect(t, collect(t, files, broken), map[string]string{
		"gpu.0000:01:00.0.vram_total_b": "? no cortex-nvml", "gpu.0000:01:00.0.name": "NVIDIA H100", "nvidia.driver_version": "535.183.01",
	})
}

func TestFirmwareAndSecureBoot(t *testing.T) {
	const variable = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
	for name, c := range map[string]struct {
		files map[string]string
		want  map[string]string
	}{
		"EFI with Secure Boot": {map[string]string{variable: "\x06\x00\x00\x00\x01"}, map[string]string{"firmware.kind": "efi", "firmware.secure_boot": "true", "firmware.setup_mode": "false"}},
		"EFI without it":       {map[string]string{variable: "\x06\x00\x00\x00\x00"}, map[string]string{"firmware.secure_boot": "false"}},
		"EFI, unreadable":      {map[string]string{"sys/firmware/efi/runtime": "1"}, map[string]string{"firmware.kind": "efi", "firmware.secure_boot": "? no such file"}},
		"EFI, damaged":         {map[string]string{variable: "\x06"}, map[string]string{"firmware.secure_boot": "? the variable has 1 bytes instead of 5"}},
		"BIOS":                 {map[string]string{"sys/firmware/dmi/tables/DMI": ""}, map[string]string{"firmware.kind": "bios", "firmware.secure_boot": "false"}},
		"neither":              {map[string]string{"sys/firmware/acpi/x": ""}, map[string]string{"firmware.kind": "none"}},
		"a device tree":        {map[string]string{"sys/firmware/devicetree/base/model": "Pi"}, map[string]string{"firmware.kind": "devicetree"}},
		"a TPM":                {map[string]string{"sys/class/tpm/tpm0/tpm_version_major": "2\n"}, map[string]string{"tpm.present": "true", "tpm.version": "2"}},
		"no TPM":               {map[string]string{"sys/class/net/lo/x": ""}, map[string]string{"tpm.present": "false"}},
	} {
		t.Run(name, func(t *testing.T) { expect(t, collect(t, files(c.files)), c.want) })
	}
}

func TestBatteriesOfPeripheralsDoNotCount(t *testing.T) {
	const bat, mouse = "sys/class/power_supply/BAT0/", "sys/class/power_supply/hidpp_0/"
	r := collect(t, files(map[string]string{
		bat + "type": "Battery\n", bat + "capacity": "81\n", bat + "status": "Discharging\n", bat + "energy_full": "40000\n", bat + "energy_full_design": "50000\n",
		mouse + "type": "Battery\n", mouse + "scope": "Device\n", "sys/class/power_supply/AC/type": "Mains\n", "sys/class/power_supply/AC/online": "0\n",
		"sys/class/dmi/id/chassis_type": "10\n", "sys/class/dmi/id/sys_vendor": "LENOVO\n", "sys/class/dmi/id/product_name": "Default string\n",
	}))
	expect(t, r, map[string]string{
		"power.batteries": "1", "battery.BAT0.charge_pct": "81", "battery.BAT0.health_pct": "80", "power.mains": "false",
		"dmi.chassis": "laptop", "dmi.sys_vendor": "LENOVO", "dmi.product_name": "? the vendor did not set it",
	})
}

func TestVirtualNetworkInterfacesAreLeftOut(t *testing.T) {
	r := collect(t, files(map[string]string{
		"sys/class/net/lo/operstate": "unknown\n", "sys/class/net/docker0/operstate": "up\n",
		"sys/class/net/wlan0/device/x": "", "sys/class/net/wlan0/phy80211/x": "", "sys/class/net/wlan0/device/driver@": "../d/iwlwifi",
		"sys/class/net/eth0/device/x": "", "sys/class/net/eth0/speed": "-1\n", "sys/class/net/eth0/operstate": "down\n",
	}))
	expect(t, r, map[string]string{"net.count": "2", "net.wlan0.kind": "wifi", "net.eth0.kind": "ethernet", "net.eth0.speed_mbps": "-", "net.eth0.driver": "? no driver is bound", "net.lo.kind": "-"})
}

func TestUSBDevicesWithoutHubsAndControlCharacters(t *testing.T) {
	r := collect(t, files(map[string]string{
		"sys/bus/usb/devices/usb1/idVendor": "1d6b", "sys/bus/usb/devices/usb1/idProduct": "0002", "sys/bus/usb/devices/usb1/bDeviceClass": "09",
		"sys/bus/usb/devices/1-4/idVendor": "8087\n", "sys/bus/usb/devices/1-4/idProduct": "0026\n", "sys/bus/usb/devices/1-4/bDeviceClass": "e0\n",
		"sys/bus/usb/devices/1-4/product": "Blue\x1b[31mtooth\n", "sys/bus/usb/devices/1-4:1.0/driver@": "../d/btusb",
		"sys/bus/usb/devices/1-4:1.0/bInterfaceClass": "e0\n",
	}))
	expect(t, r, map[string]string{"usb.1-4.id": "8087:0026", "usb.1-4.driver": "btusb", "usb.1-4.name": "Blue?[31mtooth", "usb.usb1.id": "-"})
}

func TestLimitsOfParentGroupsApply(t *testing.T) {
	base := map[string]string{
		"proc/cpuinfo": ownCPU, "sys/devices/system/cpu/online": "0-7\n",
		"proc/meminfo": "MemTotal: 16000000 kB\nMemAvailable:   8000000 kB\n",
	}
	v2 := map[string]string{
		"proc/self/cgroup": "0::/a.slice/b.service\n", "proc/self/mountinfo": "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
		"sys/fs/cgroup/a.slice/memory.max": "1073741824\n", "sys/fs/cgroup/a.slice/b.service/memory.max": "max\n", "sys/fs/cgroup/a.slice/b.service/memory.high": "4294967296\n",
		"sys/fs/cgroup/a.slice/cpu.max": "max 100000\n", "sys/fs/cgroup/a.slice/b.service/cpu.max": "250000 100000\n",
		"sys/fs/cgroup/a.slice/pids.max": "100\n", "sys/fs/cgroup/a.slice/b.service/cpuset.cpus.effective": "0-3\n",
	}
	v1 := map[string]string{
		"proc/self/cgroup": "4:memory:/docker/x\n1:cpu,cpuacct:/docker/x\n9:name=systemd:/\n",
		"proc/self/mountinfo": "35 31 0:32 /docker/x /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n" +
			"32 31 0:29 /docker/x /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n",
		"sys/fs/cgroup/memory/memory.limit_in_bytes": "2147483648\n",
		"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "50000\n", "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
	}
	free := map[string]string{
		"proc/self/cgroup": "4:memory:/\n", "proc/self/mountinfo": "35 31 0:32 / /cg/memory rw - cgroup cgroup rw,memory\n",
		"cg/memory/memory.limit_in_bytes": "9223372036854771712\n",
	}
	for name, c := range map[string]struct{ files, want map[string]string }{
		"version 2": {v2, map[string]string{
			"cgroup.version": "v2", "cgroup.memory_max_b": "1073741824", "cgroup.cpu_millis": "2500", "cgroup.pids_max": "100", "cgroup.cpus": "0-3",
			"usable.threads": "3", "usable.memory_b": "1073741824",
		}},
		"version 1, seen from a container": {v1, map[string]string{
			"cgroup.version": "v1", "cgroup.memory_max_b": "2147483648", "cgroup.cpu_millis": "500", "cgroup.pids_max": "max", "usable.threads": "1", "usable.memory_b": "2147483648",
		}},
		"none": {free, map[string]string{"cgroup.memory_max_b": "max", "cgroup.cpu_millis": "max", "usable.threads": "8", "usable.memory_b": "8192000000"}},
	} {
		t.Run(name, func(t *testing.T) { expect(t, collect(t, union(files(base), files(c.files))), c.want) })
	}
}

func TestNetworkFileSystemsAreNotQueried(t *testing.T) {
	root := files(map[string]string{"proc/self/mountinfo": `1 0 8:1 / / rw - ext4 /dev/sda1 rw
2 1 8:1 / /again rw - ext4 /dev/sda1 rw
3 1 0:40 / /far rw - nfs4 server:/x rw
4 1 0:41 / /tmp rw - tmpfs tmpfs rw
5 1 8:2 / /with\040blank ro,nosuid - vfat /dev/sda2 rw
`})
	queried := []string{}
	r := collect(t, root, func(c *hardware.Config) {
		c.Space = func(p string) (hardware.Space, error) {
			queried = append(queried, p)
			if p != "/" {
				return hardware.Space{}, fs.ErrPermission
			}
			return hardware.Space{Total: 100, Free: 0, InodesFree: 7}, nil
		}
	})
	expect(t, r, map[string]string{
		"fs./.size_b": "100", "fs./.free_b": "0", "fs./.type": "ext4", "fs./again.type": "-", "fs./tmp.type": "-", "fs./with blank.type": "vfat",
		"fs./with blank.writable": "false", "fs./with blank.size_b": "? permission denied",
		"fs./far.type": "nfs4", "fs./far.free_b": "? network file systems are not queried, because they may not answer",
	})
	if strings.Join(queried, " ") != "/ /with blank" {
		t.Errorf("queried %q", queried)
	}
}

func TestDistributionAndArchitectures(t *testing.T) {
	r := collect(t, files(map[string]string{
		"etc/os-release":     "# x\nID=ubuntu\nVERSION_ID=\"24.04\"\nPRETTY_NAME='Ubuntu 24.04 LTS'\n",
		"var/lib/dpkg/arch":  "amd64\ni386\narm64\n",
		"etc/debian_version": "trixie/sid\n", "proc/sys/kernel/osrelease": "6.8.0-31-generic\n", "lib/modules/6.8.0-31-generic/build/Makefile": "",
		"sys/kernel/security/lockdown": "none [integrity] confidentiality\n",
	}))
	expect(t, r, map[string]string{
		"os.id": "ubuntu", "os.version": "24.04", "os.name": "Ubuntu 24.04 LTS", "os.codename": "? the file has no field VERSION_CODENAME", "os.arch": "amd64",
		"os.foreign_archs": "i386 arm64", "kernel.headers": "true", "kernel.lockdown": "integrity",
	})
	program := "\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 11) + "\xb7\x00"
	expect(t, collect(t, files(map[string]string{"usr/bin/dpkg": program, "var/lib/dpkg/status": ""})), map[string]string{"os.arch": "arm64", "os.foreign_archs": ""})
}

func TestCollectStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := hardware.New(hardware.Config{FS: files(nil), Now: time.Now}).Collect(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
