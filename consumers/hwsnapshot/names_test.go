package hwsnapshot_test

import (
	"testing"

	"cortex/consumers/hwsnapshot"
	"cortex/events"
)

func TestHardwarePackagesAreKnownByName(t *testing.T) {
	for _, name := range []events.PackageName{
		"firmware-iwlwifi", "linux-firmware", "linux-image-amd64", "nvidia-driver", "libnvidia-encode1", "libcuda1", "rocm-smi",
		"broadcom-sta-common", "xserver-xorg-video-intel", "qemu-guest-agent", "open-vm-tools", "hyperv-daemons", "bumblebee",
		"intel-microcode", "amd64-microcode", "zfs-dkms", "broadcom-sta-dkms",
	} {
		if !hwsnapshot.DependsOnHardware(name) {
			t.Errorf("%s does not count as a hardware package", name)
		}
	}
	for _, name := range []events.PackageName{"cowsay", "dkms", "linux-headers-amd64", "microcode.ctl", "libdkms-perl", "my-nvidia-driver"} {
		if hwsnapshot.DependsOnHardware(name) {
			t.Errorf("%s counts as a hardware package", name)
		}
	}
}
