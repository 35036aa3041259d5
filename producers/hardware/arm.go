package hardware

// armVendors maps "CPU implementer" in /proc/cpuinfo to a vendor. Arm kernels report numbers
// instead of names.
var armVendors = map[string]string{
	"0x41": "ARM", "0x42": "Broadcom", "0x43": "Cavium", "0x46": "Fujitsu", "0x48": "HiSilicon", "0x4e": "NVIDIA",
	"0x50": "APM", "0x51": "Qualcomm", "0x53": "Samsung", "0x56": "Marvell", "0x61": "Apple", "0x6d": "Microsoft",
	"0x70": "Phytium", "0xc0": "Ampere",
}

// armParts maps "CPU implementer" and "CPU part" to a model.
var armParts = map[string]map[string]string{
	"0x41": {
		"0xd03": "Cortex-A53", "0xd04": "Cortex-A35", "0xd05": "Cortex-A55", "0xd07": "Cortex-A57", "0xd08": "Cortex-A72",
		"0xd09": "Cortex-A73", "0xd0a": "Cortex-A75", "0xd0b": "Cortex-A76", "0xd0c": "Neoverse-N1", "0xd0d": "Cortex-A77",
		"0xd40": "Neoverse-V1", "0xd41": "Cortex-A78", "0xd44": "Cortex-X1", "0xd46": "Cortex-A510", "0xd47": "Cortex-A710",
		"0xd48": "Cortex-X2", "0xd49": "Neoverse-N2", "0xd4a": "Neoverse-E1", "0xd4d": "Cortex-A715", "0xd4e": "Cortex-X3",
		"0xd4f": "Neoverse-V2", "0xc07": "Cortex-A7", "0xc08": "Cortex-A8", "0xc09": "Cortex-A9", "0xc0f": "Cortex-A15",
	},
	"0x43": {"0x0a1": "ThunderX", "0x0af": "ThunderX2"},
	"0x46": {"0x001": "A64FX"},
	"0x48": {"0xd01": "Kunpeng-920"},
	"0x4e": {"0x003": "Denver 2", "0x004": "Carmel"},
	"0x61": {"0x022": "M1 Icestorm", "0x023": "M1 Firestorm", "0x032": "M2 Blizzard", "0x033": "M2 Avalanche"},
	"0xc0": {"0xac3": "Ampere-1", "0xac4": "Ampere-1a"},
}

func armVendor(implementer string) string { return armVendors[implementer] }

// armModel returns the vendor and model of a part, or "" when it is not in the table.
func armModel(implementer, part string) string {
	if name := armParts[implementer][part]; name != "" {
		return armVendors[implementer] + " " + name
	}
	return ""
}
