package output

import (
	"fmt"
	"io"
	"strconv"
)

// ConfigView is every setting, for people and as JSON.
type ConfigView struct {
	Version  int           `json:"version"`
	Files    []string      `json:"files"` // those that are read, the one that wins last
	Settings []SettingView `json:"settings"`
}

// SettingView is one of them.
type SettingView struct {
	Key         string `json:"key"`
	Value       string `json:"value"`
	Number      bool   `json:"-"`
	Description string `json:"about"`
	Env         string `json:"env"` // the variable that would set it
	Origin      string `json:"origin"`
	File        string `json:"file,omitempty"`
	Line        int    `json:"line,omitempty"`
	Column      int    `json:"column,omitempty"`
}

// WriteTOML prints the settings as TOML, with where each comes from as a comment.
func (c ConfigView) WriteTOML(w io.Writer, origin bool) {
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
