// Package logs writes and reads the daemon's own records: one JSON object in a
// line, as log/slog makes them.
//
// It promises: nothing that looks like a secret is written, whatever a message or
// an attribute holds (see [events.Redact]); a file never grows beyond [MaxBytes],
// and one older file is kept; reading skips nothing – a line that is no record, such
// as a crash's stack, is one of level error.
//
// What happened to packages is in the events, not here.
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

// MaxBytes is the size at which a file is put aside.
const MaxBytes = 4 << 20

// maxLine bounds one line; what is longer is cut.
const maxLine = 64 << 10

// maxText bounds a message or an attribute that is shown.
const maxText = 4 << 10

// NewHandler writes records as JSON, without secrets. An [events.Error] adds the
// operation that failed, as "op", and the error's kind.
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

// Open opens a file to append to, and puts a full one aside as PATH.1.
func Open(path string) (*os.File, error) {
	if info, err := os.Stat(path); err == nil && info.Size() >= MaxBytes {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, err
		}
	}
	return os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
}

// Entry is one record.
type Entry struct {
	Time    time.Time      `json:"time,omitzero"` // zero: the line does not say
	Level   slog.Level     `json:"level"`
	Message string         `json:"message"`
	Op      string         `json:"op,omitempty"` // the operation that failed
	Attrs   map[string]any `json:"attrs,omitempty"`
}

// Filter says which records to read; the zero value means all.
type Filter struct {
	Since    time.Time
	MinLevel slog.Level // at least; the zero value is info
	OpPrefix string     // that begin with this operation, such as "broker" or "apt.Run"
}

func (f Filter) match(e Entry) bool {
	return e.Level >= f.MinLevel && strings.HasPrefix(e.Op, f.OpPrefix) && (f.Since.IsZero() || !e.Time.Before(f.Since))
}

// ReadFiles reads the file at path and the one put aside before it, the oldest record
// first. Files that are not there have no records.
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

// Read reads records. A line that is none has the time of the record before it.
func Read(r io.Reader, f Filter) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		lines := bufio.NewReaderSize(r, maxLine)
		var last time.Time
		for {
			line, long, err := lines.ReadLine()
			if long {
				line = bytes.Clone(line)
			}
			for long && err == nil { // the rest of it is dropped
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

// FailureGroup is how often one thing went wrong.
type FailureGroup struct {
	Message string    `json:"message"`
	Op      string    `json:"op,omitempty"`
	Times   int       `json:"times"`
	First   time.Time `json:"first,omitzero"`
	Last    time.Time `json:"last,omitzero"`
	Example string    `json:"example,omitempty"` // the newest error
}

// Summarise groups what went wrong by message and operation, the newest last.
func Summarise(entries []Entry) []FailureGroup {
	var out []FailureGroup
	at := map[[2]string]int{}
	for _, e := range entries {
		if e.Level < slog.LevelWarn {
			continue
		}
		key := [2]string{e.Message, e.Op}
		i, ok := at[key]
		if ok { // it moves to the end
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
