package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"cortex/events"
	"cortex/internal/atomicfile"
)

// Set returns the text of a file with one setting changed or added and the other text
// unchanged. It fails with ErrUsage if the value or the file is invalid.
func Set(path string, text []byte, name, value string) ([]byte, error) {
	if looksSecret(name, value) {
		return nil, &events.Error{Op: "config.Set", Kind: events.ErrUsage, Subject: name, Err: errors.New("the value looks like a secret, and settings must not contain secrets"), Hint: "store the key of a model with 'cortex llm key', and another secret in a file that only its owner can read"}
	}
	k, err := FindSetting(name)
	if err != nil {
		return nil, err
	}
	var s Settings
	if err := k.set(&s, value); err != nil {
		return nil, &events.Error{Op: "config.Set", Kind: events.ErrUsage, Subject: name, Err: fmt.Errorf("invalid value %q: must be %w", value, err)}
	}
	if _, err := Parse(path, text); err != nil {
		return nil, err
	}
	if !k.IsNumber {
		value = strconv.Quote(value)
	}
	out := setValue(path, text, name, value)
	_, err = Parse(path, out)
	return out, err
}

// setValue replaces the value of name. A new setting goes after the last key of its table,
// or under the table's header. A setting without a table goes before the first header.
// If the table does not exist, setValue appends it to the text.
func setValue(path string, text []byte, name, value string) []byte {
	entries, headers, _ := scan(path, text)
	parent := name[:strings.LastIndexByte(name, '.')+1]
	at, in := -1, ""
	for _, e := range entries {
		if e.Name == name {
			return slices.Replace(slices.Clone(text), e.valueStart, e.valueEnd, []byte(value)...)
		}
		if e.Name[:strings.LastIndexByte(e.Name, '.')+1] == parent {
			at, in = lineEnd(text, e.valueEnd), e.table
		}
	}
	for _, h := range headers {
		if at < 0 && h.name == parent {
			at, in = lineEnd(text, h.nameStart), parent
		}
	}
	if at < 0 && parent == "" && len(headers) > 0 {
		at = bytes.LastIndexByte(text[:headers[0].nameStart], '\n') + 1
	}
	line := strings.TrimPrefix(name, in) + " = " + value + "\n"
	if at < 0 {
		at = len(text)
		if parent != "" {
			line = "[" + strings.TrimSuffix(parent, ".") + "]\n" + strings.TrimPrefix(name, parent) + " = " + value + "\n"
		}
	}
	if at > 0 && text[at-1] != '\n' {
		line = "\n" + line
	}
	return slices.Insert(slices.Clone(text), at, []byte(line)...)
}

// lineEnd returns the start of the line after the one at offset at.
func lineEnd(text []byte, at int) int {
	if end := bytes.IndexByte(text[at:], '\n'); end >= 0 {
		return at + end + 1
	}
	return len(text)
}

// Unset returns the text of a file without a setting, and whether the setting was there.
// The setting may be unknown or invalid.
func Unset(path string, text []byte, name string) ([]byte, bool, error) {
	var any map[string]any
	if err := toml.Unmarshal(text, &any); err != nil {
		_, err = Parse(path, text)
		return nil, false, err
	}
	entries, _, _ := scan(path, text)
	i := slices.IndexFunc(entries, func(e FileEntry) bool { return e.Name == name })
	if i < 0 {
		return text, false, nil
	}
	from := bytes.LastIndexByte(text[:entries[i].nameStart], '\n') + 1
	to := lineEnd(text, entries[i].valueEnd)
	return slices.Delete(slices.Clone(text), from, to), true, nil
}

// WriteFile atomically replaces a configuration file and creates its directory. It follows
// a symbolic link and replaces the target.
func WriteFile(path string, text []byte) error {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return writeError(path, err)
	}
	return writeError(path, atomicfile.Write(path, text, atomicfile.Options{Mode: 0o644, Temp: ".cortex-*.toml"}))
}

func writeError(path string, err error) error {
	if err == nil {
		return nil
	}
	e := &events.Error{Op: "config.WriteFile", Kind: events.ErrUnavailable, Subject: path, Err: err}
	if errors.Is(err, fs.ErrPermission) {
		e.Kind, e.Hint = events.ErrConfirmation, "run the command with sudo"
	}
	return e
}
