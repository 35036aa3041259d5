package hardware_test

import (
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cortex/events"
	"cortex/producers/hardware"
)

// machines are the machines of the snapshots, with facts that each must have.
var machines = map[string]struct {
	file string
	want map[string]string
}{
	"a laptop with an Alder Lake processor": {"linux-amd64-415ee03b8c4d1c4f07ae2e9d8b3d3d6d", map[string]string{
		"cpu.model": "12th Gen Intel(R) Core(TM) i7-1270P", "cpu.sockets": "1", "cpu.cores": "12", "cpu.threads": "16",
		"cpu.x86_64_level": "3", "cpu.cache.l3_b": "18874368", "cpu.cache.l2_instances": "6", "numa.nodes": "1",
		"memory.total_b": "33323692032", "memory.zram_b": "8589934592", "memory.swap_total_b": "8589930496",
		"gpu.count": "1", "gpu.0000:00:02.0.driver": "i915", "gpu.0000:00:02.0.vendor": "Intel", "gpu.0000:00:02.0.shares_memory": "true",
		"disk.nvme0n1.kind": "ssd", "disk.nvme0n1.transport": "nvme", "disk.nvme0n1.size_b": "1024209543168", "disk.count": "1",
		"vm.is": "false", "vm.kind": "none", "pci.0000:00:14.3.driver": "iwlwifi",
	}},
	"a Ryzen with a Radeon": {"linux-amd64-61797caf7c0b6bca1725ad7975ed4773", map[string]string{
		"cpu.model": "AMD Ryzen 5 1600 Six-Core Processor", "cpu.sockets": "1", "cpu.cores": "6", "cpu.threads": "12",
		"cpu.x86_64_level": "3", "cpu.cache.l3_instances": "2", "memory.physical_b": "34359738368",
		"gpu.count": "1", "gpu.0000:0a:00.0.vendor": "AMD", "gpu.0000:0a:00.0.id": "1002:6758",
		"gpu.0000:0a:00.0.vram_total_b": "? only the driver amdgpu reports it",
		"disk.sda.kind":                 "ssd", "disk.sdb.kind": "hdd", "disk.sdb.size_b": "1000204886016", "disk.sdb.transport": "ata",
		"vm.kind": "none",
	}},
	"a server with two Xeons": {"linux-amd64-8581cf3a529e5d8b97ea876eade2f60d", map[string]string{
		"cpu.model": "Intel(R) Xeon(R) CPU L5640 @ 2.27GHz", "cpu.sockets": "2", "cpu.cores": "12", "cpu.threads": "24",
		"cpu.x86_64_level": "2", "numa.nodes": "2", "numa.node0.distances": "10 20", "numa.node1.cpus": "1,3,5,7,9,11,13,15,17,19,21,23",
		"cpu.cache.l3_instances": "2", "cpu.cache.l3_b": "25165824", "gpu.0000:07:03.0.vendor": "Matrox",
		"disk.sr0.kind": "optical", "vm.is": "false",
	}},
	"a server with a P100, passed through": {"linux-amd64-accel-nvidia", map[string]string{
		"cpu.model": "Intel(R) Xeon(R) CPU E5-2695 v4 @ 2.10GHz", "cpu.threads": "8", "gpu.count": "2",
		"gpu.0000:06:00.0.id": "10de:15f8", "gpu.0000:06:00.0.driver": "nvidia", "gpu.0000:06:00.0.architecture": "Pascal",
		"gpu.0000:06:00.0.compute": "6.0", "gpu.0000:06:00.0.vram_total_b": "? the library was not queried",
		"gpu.0000:04:00.0.vendor": "virtio", "disk.sda.kind": "virtual", "vm.is": "true", "vm.kind": "kvm",
	}},
	"a machine with a processing accelerator": {"linux-amd64-accel", map[string]string{
		"accelerator.count": "1", "accelerator.0000:00:04.0.id": "1b36:0005", "accelerator.0000:00:04.0.driver": "fake_pci_driver",
		"cpu.x86_64_level": "4", "disk.vda.kind": "virtual", "vm.is": "true",
	}},
	"a machine with processors offline": {"linux-amd64-offlineCPUs", map[string]string{
		"cpu.threads": "2", "cpu.online": "0-1", "cpu.offline": "2-3", "cpu.threads_offline": "2", "cpu.sockets": "2", "vm.is": "true",
		"vm.kind":   "? a hypervisor is present, but its kind is unknown",
		"gpu.count": "? the kernel lists no PCI bus", "disk.count": "? no such directory",
	}},
	"an arm64 server": {"linux-arm64-c288e0776090cd558ef793b2a4e61939", map[string]string{
		"cpu.model": "ARM Neoverse-N1", "cpu.vendor": "ARM", "cpu.arch": "aarch64", "cpu.cores": "1", "cpu.x86_64_level": "-",
		"cpu.cache.l2_b": "1048576", "memory.physical_b": "2147483648", "disk.nvme0n1.size_b": "8589934592", "gpu.count": "0",
	}},
	"an s390x mainframe": {"linux-s390x-snapshot", map[string]string{
		"cpu.model": "IBM machine 3931", "cpu.vendor": "IBM/S390", "cpu.arch": "s390x", "cpu.threads": "8", "cpu.cores": "4",
		"disk.count": "16", "disk.sda.transport": "fc", "memory.total_b": "115540185088",
	}},
}

func TestFactsOfRealMachines(t *testing.T) {
	for name, m := range machines {
		t.Run(name, func(t *testing.T) { expect(t, collect(t, snapshot(t, m.file)), m.want) })
	}
}

func TestMissingFilesAreNeverZero(t *testing.T) {
	r := collect(t, files(nil))
	if len(r.Facts) < 30 {
		t.Errorf("only %d facts for a machine without files", len(r.Facts))
	}
	for _, f := range r.Facts {
		if n, isNumber := f.Value.Int(); isNumber {
			t.Errorf("%s is %d without a file", f.Key, n)
		}
		if !f.Known() && (f.Error == "" || f.Confidence != events.ConfidenceUnknown) {
			t.Errorf("%s has no value and no reason", f.Key)
		}
	}
}

func TestConcurrentReadingsHaveTheSameStableFacts(t *testing.T) {
	for name, c := range map[string]*hardware.Collector{
		"of this machine": hardware.New(hardware.LocalConfig("/", nil)),
		"of a snapshot":   hardware.New(hardware.Config{FS: snapshot(t, machines["a server with two Xeons"].file), Now: hardware.LocalConfig("/", nil).Now}),
	} {
		t.Run(name, func(t *testing.T) {
			readings := make([]hardware.Reading, 20)
			var wg sync.WaitGroup
			for i := range readings {
				wg.Go(func() {
					var err error
					if readings[i], err = c.Collect(t.Context()); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			for i, r := range readings[1:] {
				if diff := cmp.Diff(stable(readings[0]), stable(r)); diff != "" || r.Devices != readings[0].Devices {
					t.Errorf("reading %d differs from the first:\n%s", i+1, diff)
				}
				if events.StableHash(r.Facts) != events.StableHash(readings[0].Facts) {
					t.Errorf("reading %d has another hash", i+1)
				}
			}
		})
	}
}

func stable(r hardware.Reading) []events.HardwareFact {
	return slices.DeleteFunc(slices.Clone(r.Facts), func(f events.HardwareFact) bool { return f.Volatile })
}
