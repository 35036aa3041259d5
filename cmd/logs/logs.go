// Package logs writes and reads the daemon's log: one JSON object a line, in the format of
// log/slog.
//
// It promises: it redacts values that look like secrets in messages and attributes (see
// [events.Redact]); [Open] rotates a file of [MaxBytes] and keeps one older file; reading
// skips no line: a line that is not a JSON record, such as a line of a stack trace, becomes
// an entry of level error.
//
// The history of packages is in the event log, not in this log.
package logs

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"iter"
	"log/slog"
	"os"
	"strings"
	"time"

	"cortex/events"
)

// MaxBytes is the size at which [Open] rotates a file.
const MaxBytes = 4 << 20

// maxLine bounds a line; a longer line is truncated.
const maxLine = 64 << 10

// maxText bounds a message or an attribute of an entry.
const maxText = 4 << 10

// NewHandler returns a handler that writes redacted records as JSON. For an [events.Error]
// it adds the failed operation as "op", and the kind of the error.
func NewHandler(w io.Writer) slog.Handler {
	return slog.NewJSONHandler(w, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		switch v := a.Value.Any().(type) {
		case error:
			return errorAttr(a.Key, v)
		case string:
			a.Value = slog.StringValue(events.Redact(v))
		}
		return a
	}})
}

func errorAttr(key string, err error) slog.Attr {
	text := slog.String(key, events.Redact(err.Error()))
	var e *events.Error
	if !errors.As(err, &e) {
		return text
	}
	return slog.Group("", text, slog.String("op", e.Op), slog.String("kind", string(e.Kind)))
}

// Open opens a file for appending. It first renames a full file to PATH.1.
func Open(path string) (*os.File, error) {
	if info, err := os.Stat(path); err == nil && info.Size() >= MaxBytes {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, err
		}
	}
	return os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
}

// Entry is one record of the log.
type Entry struct {
	Time    time.Time      `json:"time,omitzero"` // zero if the line has no time
	Level   slog.Level     `json:"level"`
	Message string         `json:"message"`
	Op      string         `json:"op,omitempty"` // failed operation
	Attrs   map[string]any `json:"attrs,omitempty"`
}

// Filter selects records. The zero value selects all of level info and above.
type Filter struct {
	Since    time.Time
	MinLevel slog.Level // the zero value is info
	OpPrefix string     // prefix of the operation, such as "natslog" or "apt.Run"
}

func (f Filter) match(e Entry) bool {
	return e.Level >= f.MinLevel && strings.HasPrefix(e.Op, f.OpPrefix) && (f.Since.IsZero() || !e.Time.Before(f.Since))
}

// ReadFiles reads the rotated file and then the file at path, the oldest record first. It
// skips a missing file.
func ReadFiles(path string, f Filter) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for _, name := range []string{path + ".1", path} {
			r, err := os.Open(name)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				yield(Entry{}, err)
				return
			}
			for e, err := range Read(r, f) {
				if !yield(e, err) {
					r.Close()
					return
				}
			}
			r.Close()
		}
	}
}

// Read reads records. A line without a time gets the time of the record before it.
func Read(r io.Reader, f Filter) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		lines := bufio.NewReaderSize(r, maxLine)
		var last time.Time
		for {
			line, long, err := lines.ReadLine()
			if long {
				line = bytes.Clone(line)
			}
			for long && err == nil { // drop the end of a long line
				_, long, err = lines.ReadLine()
			}
			if err != nil {
				if !errors.Is(err, io.EOF) {
					yield(Entry{}, err)
				}
				return
			}
			if len(strings.TrimSpace(string(line))) == 0 {
				continue
			}
			e := parseLine(line)
			if e.Time.IsZero() {
				e.Time = last
			}
			last = e.Time
			if f.match(e) && !yield(e, nil) {
				return
			}
		}
	}
}

func parseLine(line []byte) Entry {
	var e Entry
	attrs := map[string]any{}
	if json.Unmarshal(line, &attrs) != nil || attrs["msg"] == nil || attrs["level"] == nil {
		return Entry{Level: slog.LevelError, Message: events.SanitizeLine(events.Redact(string(line)), maxText)}
	}
	take := func(key string) string {
		s, _ := attrs[key].(string)
		delete(attrs, key)
		return events.SanitizeLine(events.Redact(s), maxText)
	}
	e.Message, e.Op = take("msg"), take("op")
	if e.Level.UnmarshalText([]byte(take("level"))) != nil {
		e.Level = slog.LevelError
	}
	e.Time, _ = time.Parse(time.RFC3339Nano, take("time"))
	for k, v := range attrs {
		if s, ok := v.(string); ok {
			attrs[k] = events.SanitizeLine(events.Redact(s), maxText)
		}
	}
	if len(attrs) > 0 {
		e.Attrs = attrs
	}
	return e
}

// FailureGroup counts the warnings and errors with the same message and operation.
type FailureGroup struct {
	Message string    `json:"message"`
	Op      string    `json:"op,omitempty"`
	Times   int       `json:"times"`
	First   time.Time `json:"first,omitzero"`
	Last    time.Time `json:"last,omitzero"`
	Example string    `json:"example,omitempty"` // text of the newest error
}

// Summarise groups warnings and errors by message and operation, the newest last.
func Summarise(entries []Entry) []FailureGroup {
	var out []FailureGroup
	at := map[[2]string]int{}
	for _, e := range entries {
		if e.Level < slog.LevelWarn {
			continue
		}
		key := [2]string{e.Message, e.Op}
		i, ok := at[key]
		if ok { // move the group to the end
			g := out[i]
			out = append(append(out[:i:i], out[i+1:]...), g)
			for k, n := range at {
				if n > i {
					at[k] = n - 1
				}
			}
		} else {
			out = append(out, FailureGroup{Message: e.Message, Op: e.Op, First: e.Time})
		}
		at[key] = len(out) - 1
		g := &out[len(out)-1]
		g.Times++
		g.Last = e.Time
		if s, ok := e.Attrs["error"].(string); ok {
			g.Example = s
		}
	}
	return out
}
