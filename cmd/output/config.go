package output

import (
	"fmt"
	"io"
	"strconv"

	"cortex/cmd/app"
	"cortex/events"
)

// ConfigListing prints the settings as TOML; with origin also what sets each value, as a comment.
func ConfigListing(w io.Writer, list app.ConfigListing, origin bool) {
	var rows [][]string
	for _, s := range list.Settings {
		value := s.Value
		if !s.IsNumber {
			value = strconv.Quote(value)
		}
		row := []string{fmt.Sprintf("%s = %s", s.Key, value)}
		if origin {
			row = append(row, "# "+s.Origin)
		}
		rows = append(rows, row)
	}
	table(w, "", rows)
}

// ConfigProblems prints what a check of the settings found.
func ConfigProblems(w io.Writer, problems []events.Failure) {
	if len(problems) == 0 {
		fmt.Fprintln(w, "the settings have no errors")
	}
	for _, p := range problems {
		fmt.Fprintf(w, "%s: %s\n", p.Subject, p.Message)
		if p.Hint != "" {
			fmt.Fprintf(w, "    %s\n", p.Hint)
		}
	}
}
