// Package hardware finds out what the machine is: processor, memory, graphics and
// accelerators, disks, network, firmware, virtualization, limits, kernel and
// distribution; and which packages suit it.
//
// It promises:
//
//   - Every fact has a value, a source and a confidence, or says why there is no
//     value. What could not be read is never a zero.
//   - It reads files below one root and asks through the functions of [Config].
//     It starts no process, uses no network, writes nothing, and needs no root;
//     what only root may read is then an error of that fact.
//   - No serial numbers, hardware addresses or kernel command lines: facts are kept
//     for ever, and hold no secrets.
//   - The same machine gives the same stable facts, from any number of goroutines
//     at once. Volatile facts (free memory, free disk) are read anew every time.
package hardware
