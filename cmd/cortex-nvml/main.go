// Cortex-nvml queries NVIDIA's management library and prints a report of its devices as
// JSON. It is a separate program for two reasons: cortex is a static executable, which
// cannot load libraries; and a crash of the driver's library must not end the daemon.
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

// run queries the library at the path in args, or the one that the dynamic linker finds.
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
