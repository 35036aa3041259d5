// Cortex-nvml asks NVIDIA's management library about its devices and prints what
// it tells as JSON. It is a program of its own for two reasons: cortex stays one
// static file, which cannot load libraries; and what the driver's library does
// wrong ends this process and not the daemon.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"cortex/producers/hardware/nvml"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "cortex-nvml: "+err.Error())
		os.Exit(1)
	}
}

// run asks the library that the dynamic linker finds, or the one at a path.
func run(args []string) error {
	path := nvml.Library
	if len(args) > 0 {
		path = args[0]
	}
	report, err := nvml.Query(path)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(report)
}
