package settings

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/pelletier/go-toml/v2"

	"cortex/events"
)

// Set gives the text of a file with one setting changed or added, everything else
// as it was. It fails with ErrUsage when the value is wrong or the file is.
func Set(path string, text []byte, name, value string) ([]byte, error) {
	k, err := Find(name)
	if err != nil {
		return nil, err
	}
	var s Settings
	if secret(name, value) {
		return nil, &events.Error{Op: "settings.Set", Kind: events.ErrUsage, Subject: name, Err: errors.New("this looks like a secret, and secrets do not belong into settings"), Hint: "put it in a file that only its owner can read, or in a systemd credential"}
	}
	if err := k.set(&s, value); err != nil {
		return nil, &events.Error{Op: "settings.Set", Kind: events.ErrUsage, Subject: name, Err: fmt.Errorf("%q is not %w", value, err)}
	}
	if _, err := Parse(path, text); err != nil {
		return nil, err
	}
	if !k.Number {
		value = strconv.Quote(value)
	}
	entries, _ := scan(path, text)
	i := slices.IndexFunc(entries, func(e Entry) bool { return e.Name == name })
	out := slices.Clone(text)
	if i >= 0 {
		out = slices.Replace(out, entries[i].from, entries[i].to, []byte(value)...)
	} else {
		if len(out) > 0 && out[len(out)-1] != '\n' {
			out = append(out, '\n')
		}
		out = append(out, name+" = "+value+"\n"...)
	}
	_, err = Parse(path, out)
	return out, err
}

// Unset gives the text of a file without a setting, also without one that is
// unknown or wrong, and says whether it was there.
func Unset(path string, text []byte, name string) ([]byte, bool, error) {
	var any map[string]any
	if err := toml.Unmarshal(text, &any); err != nil {
		_, err = Parse(path, text)
		return nil, false, err
	}
	entries, _ := scan(path, text)
	i := slices.IndexFunc(entries, func(e Entry) bool { return e.Name == name })
	if i < 0 {
		return text, false, nil
	}
	from, to := entries[i].start, len(text)
	if end := bytes.IndexByte(text[entries[i].to:], '\n'); end >= 0 {
		to = entries[i].to + end + 1
	}
	from = bytes.LastIndexByte(text[:from], '\n') + 1
	return slices.Delete(slices.Clone(text), from, to), true, nil
}

// Write replaces a file of settings at once, making its directory when there is
// none. What a link names is replaced, not the link.
func Write(path string, text []byte) error {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return writeError(path, err)
	}
	f, err := os.CreateTemp(dir, ".cortex-*.toml")
	if err != nil {
		return writeError(path, err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text)
	if err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	return writeError(path, err)
}

func writeError(path string, err error) error {
	if err == nil {
		return nil
	}
	e := &events.Error{Op: "settings.Write", Kind: events.ErrUnavailable, Subject: path, Err: err}
	if errors.Is(err, fs.ErrPermission) {
		e.Kind, e.Hint = events.ErrConfirmation, "run the command with sudo"
	}
	return e
}
