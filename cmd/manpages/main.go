// Command manpages writes the manual pages of cortex into a directory. It is a separate
// program because the formatting library would delay every start of cortex by half a
// millisecond.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra/doc"

	"cortex/cmd/cli"
)

func main() {
	if err := write(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "manpages:", err)
		os.Exit(1)
	}
}

func write(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("usage: manpages DIR")
	}
	if err := os.MkdirAll(args[0], 0o755); err != nil {
		return err
	}
	root := cli.Root()
	root.DisableAutoGenTag = true
	return doc.GenManTree(root, &doc.GenManHeader{Title: "CORTEX", Section: "8", Source: "cortex", Manual: "Cortex"}, args[0])
}
