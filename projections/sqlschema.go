package projections

import (
	"context"
	"database/sql"
	"slices"
	"strings"
)

// hasSchema reports whether the tables and indexes of a database are those that the
// definition creates. Comments and white space do not matter, so rewording a comment in
// schema.sql does not rebuild the files.
func hasSchema(ctx context.Context, db *sql.DB, d Definition) (bool, error) {
	rows, err := db.QueryContext(ctx, `SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\_%' ESCAPE '\'`)
	var have []string
	err = eachRow(rows, err, func(rows *sql.Rows) error {
		var statement string
		err := rows.Scan(&statement)
		have = append(have, splitStatements(statement)...)
		return err
	})
	want := d.statements()
	slices.Sort(have) // a VACUUM changes the order
	slices.Sort(want)
	return slices.Equal(have, want), err
}

// statements returns the statements that create the tables and indexes of a file.
func (d Definition) statements() []string { return splitStatements(checkpointSchema + ";" + d.Schema) }

// splitStatements splits an SQL script into its statements. It removes comments and reduces
// white space to single spaces.
func splitStatements(script string) []string {
	var out []string
	var current strings.Builder
	flush := func() {
		if s := strings.Join(strings.Fields(current.String()), " "); s != "" {
			out = append(out, s)
		}
		current.Reset()
	}
	for script != "" {
		length := 1
		switch {
		case script[0] == ';':
			flush()
		case strings.HasPrefix(script, "--"):
			length = lengthThrough(script, "\n")
			current.WriteByte(' ')
		case script[0] == '\'':
			length = 1 + lengthThrough(script[1:], "'")
			current.WriteString(script[:length])
		default:
			current.WriteByte(script[0])
		}
		script = script[length:]
	}
	flush()
	return out
}

// lengthThrough returns the length of s through the first end, or of all of s.
func lengthThrough(s, end string) int {
	if i := strings.Index(s, end); i >= 0 {
		return i + len(end)
	}
	return len(s)
}
