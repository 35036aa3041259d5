// Package hardware collects facts about the machine: processor, memory, graphics and
// accelerators, disks, network, firmware, virtualization, limits, kernel and
// distribution. It also recommends packages for this hardware.
//
// It promises:
//
//   - Every fact has a value, a source and a confidence. A fact without a value has the
//     reason instead; a failed read is never reported as zero.
//   - It reads files below one root and calls the functions of [Config]. It starts no
//     process, uses no network, writes nothing, and does not need root. Where only root
//     may read a file, the fact has that error.
//   - Facts hold no secrets, because the log stores them permanently: no serial numbers,
//     no hardware addresses, no kernel command line.
//   - The same machine has the same stable facts, from any number of goroutines at once.
//     Volatile facts, such as free memory, are read again every time.
package hardware
