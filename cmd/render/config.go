package render

import (
	"fmt"
	"io"
	"strconv"
)

// Config is every setting, for people and as JSON.
type Config struct {
	Version  int       `json:"version"`
	Files    []string  `json:"files"` // those that are read, the one that wins last
	Settings []Setting `json:"settings"`
}

// Setting is one of them.
type Setting struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	Number bool   `json:"-"`
	About  string `json:"about"`
	Env    string `json:"env"` // the variable that would set it
	Origin string `json:"origin"`
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
}

// Write prints the settings as TOML, with where each comes from as a comment.
func (c Config) Write(w io.Writer, origin bool) {
	var rows [][]string
	for _, s := range c.Settings {
		value := s.Value
		if !s.Number {
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
