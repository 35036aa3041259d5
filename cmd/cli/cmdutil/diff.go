package cmdutil

import (
	"fmt"
	"io"
	"strings"

	"github.com/rogpeppe/go-internal/diff"

	"cortex/events"
)

// PrintDiffs prints the contents of changed files line by line, as far as the user may read
// them.
func (c *Context) PrintDiffs(w io.Writer, changes []events.FileChange) {
	contents, err := c.FileContents(changes)
	if err != nil {
		c.Infof("note: only root can see contents")
		return
	}
	for _, f := range contents {
		for line := range strings.Lines(string(diff.Diff(f.Path, []byte(f.Before), f.Path, []byte(f.After)))) {
			if !strings.HasPrefix(line, "diff ") {
				fmt.Fprint(w, "    "+line)
			}
		}
	}
}
