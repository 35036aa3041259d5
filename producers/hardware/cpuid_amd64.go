package hardware

import (
	"encoding/binary"
	"strings"
)

// cpuid executes the instruction CPUID.
func cpuid(leaf, sub uint32) (eax, ebx, ecx, edx uint32)

// hypervisor returns the signature in leaf 0x40000000. The leaf is defined when bit 31 of ECX
// of leaf 1 is set; otherwise the result is "".
func hypervisor() string {
	if _, _, ecx, _ := cpuid(1, 0); ecx>>31 == 0 {
		return ""
	}
	_, ebx, ecx, edx := cpuid(0x40000000, 0)
	var b []byte
	for _, r := range []uint32{ebx, ecx, edx} {
		b = binary.LittleEndian.AppendUint32(b, r)
	}
	return strings.TrimRight(string(b), "\x00")
}
