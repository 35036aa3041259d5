package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"syscall"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"cortex/events"
)

// maxFileBytes bounds a configuration file.
const maxFileBytes = 64 << 10

// FileEntry is one setting in a configuration file.
type FileEntry struct {
	Name                 string
	Value                string // without quotes
	Line, Column         int    // of the name, from 1; columns count bytes
	isNumber             bool
	valueStart, valueEnd int    // the bytes of the value
	nameStart            int    // the first byte of the name
	table                string // its table, with a final dot, or ""
}

// header is the header [NAME] of a table.
type header struct {
	name      string // with a final dot
	nameStart int    // the first byte of its name
}

// ReadFile reads a configuration file for the user uid. A missing file has no entries. For
// root it refuses a file that another user could have written. Each problem is a separate
// ErrUsage error with FILE:LINE:COLUMN as its subject; ReadFile still returns the valid
// entries.
func ReadFile(path string, uid int) ([]FileEntry, error) {
	b, err := ReadFileText(path, uid)
	if b == nil || err != nil {
		return nil, err
	}
	return Parse(path, b)
}

// ReadFileText returns the text of a configuration file after the checks of [ReadFile]. It
// returns nil if the file does not exist.
func ReadFileText(path string, uid int) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return nil, nil
	case errors.Is(err, fs.ErrPermission) && uid != 0:
		return nil, nil // the directory belongs to another user: sudo -u keeps HOME
	case err != nil:
		return nil, fileError(path, err, "")
	case !info.Mode().IsRegular():
		return nil, fileError(path, errors.New("not a regular file"), "")
	case info.Size() > maxFileBytes:
		return nil, fileError(path, fmt.Errorf("larger than %d bytes", maxFileBytes), "")
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && uid == 0 && (st.Uid != 0 || info.Mode()&0o022 != 0) {
		return nil, fileError(path, errors.New("users other than root can write to it"), "run: chown root "+path+" && chmod go-w "+path)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fileError(path, err, "")
	}
	if b == nil {
		b = []byte{}
	}
	return b, nil
}

func fileError(path string, err error, hint string) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	return &events.Error{Op: "config.ReadFile", Kind: events.ErrUsage, Subject: path, Err: err, Hint: hint}
}

// parseError returns the error for a problem at a place of a file.
func parseError(path string, line, column int, hint, format string, args ...any) error {
	return &events.Error{
		Op: "config.Parse", Kind: events.ErrUsage, Subject: fmt.Sprintf("%s:%d:%d", path, line, column),
		Hint: hint, Err: fmt.Errorf(format, args...),
	}
}

// Parse reads the text of a configuration file; see [ReadFile]. It refuses values that look
// like secrets and never repeats them.
func Parse(path string, text []byte) ([]FileEntry, error) {
	var any map[string]any
	if err := toml.Unmarshal(text, &any); err != nil {
		var d *toml.DecodeError
		if !errors.As(err, &d) {
			return nil, fileError(path, err, "")
		}
		line, column := d.Position()
		return nil, parseError(path, line, column, "", "%s", strings.TrimPrefix(d.Error(), "toml: "))
	}
	entries, _, errs := scan(path, text)
	var good []FileEntry
	for _, e := range entries {
		if err := e.validate(path); err != nil {
			errs = append(errs, err)
			continue
		}
		good = append(good, e)
	}
	return good, errors.Join(errs...)
}

// scan finds the entries of a valid TOML text.
func scan(path string, text []byte) (entries []FileEntry, headers []header, errs []error) {
	p := unstable.Parser{}
	p.Reset(text)
	table := ""
	for p.NextExpression() {
		x := p.Expression()
		var names []string
		first := unstable.Range{}
		for it := x.Key(); it.Next(); {
			if len(names) == 0 {
				first = it.Node().Raw
			}
			names = append(names, string(it.Node().Data))
		}
		at := p.Shape(first).Start
		name := strings.Join(names, ".")
		switch x.Kind {
		case unstable.Table:
			table = name + "."
			headers = append(headers, header{table, int(first.Offset)})
			if name != "llm" && name != "nats" && !strings.HasPrefix(name, "llm.") {
				errs = append(errs, parseError(path, at.Line, at.Column, "", "unknown table %q", name))
			}
			continue
		case unstable.KeyValue:
		default:
			errs = append(errs, parseError(path, at.Line, at.Column, "", "%q is an array of tables; no setting is one", name))
			table = name + "."
			continue
		}
		v := x.Value()
		e := FileEntry{
			Name: table + name, table: table, Line: at.Line, Column: at.Column,
			nameStart: int(first.Offset), valueStart: int(v.Raw.Offset), valueEnd: int(v.Raw.Offset + v.Raw.Length),
		}
		switch v.Kind {
		case unstable.String:
			e.Value = string(v.Data)
		case unstable.Integer:
			e.Value, e.isNumber = strings.ReplaceAll(string(v.Data), "_", ""), true
		default:
			errs = append(errs, parseError(path, at.Line, at.Column, "", "%s must be a quoted string or an integer", e.Name))
			continue
		}
		entries = append(entries, e)
	}
	return entries, headers, errs
}

// validate returns the problem of an entry, or nil.
func (e FileEntry) validate(path string) error {
	if looksSecret(e.Name, e.Value) {
		return parseError(path, e.Line, e.Column, "store the key of a model with 'cortex llm key', and another secret in a file that only its owner can read", "%s looks like a secret, and settings must not contain secrets", e.Name)
	}
	k, err := FindSetting(e.Name)
	if err != nil {
		return parseError(path, e.Line, e.Column, events.HintOf(err), "unknown setting %q", e.Name)
	}
	if k.IsNumber != e.isNumber {
		want := "a quoted string"
		if k.IsNumber {
			want = "a number without quotes"
		}
		return parseError(path, e.Line, e.Column, "", "%s must be %s", e.Name, want)
	}
	var s Settings
	if err := k.set(&s, e.Value); err != nil {
		return parseError(path, e.Line, e.Column, "", "%s: invalid value %q: must be %w", e.Name, e.Value, err)
	}
	return nil
}

// looksSecret reports whether the name of a setting or the form of its value suggests a
// secret. The name of a file with a secret is not a secret.
func looksSecret(name, value string) bool {
	if name == "nats.url" && strings.Contains(value, "@") { // a user without a password is a token
		return true
	}
	for _, part := range strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return r == '.' || r == '_' || r == '-' }) {
		switch part {
		case "key", "apikey", "token", "secret", "password", "passwd", "passphrase", "credential", "credentials":
			if !strings.HasSuffix(name, "_file") {
				return true
			}
		}
	}
	return regexp.MustCompile(`^(sk|pk|rk)-[A-Za-z0-9_-]{16,}|^gh[pousr]_[A-Za-z0-9]{20,}|^AKIA[0-9A-Z]{16}$|-----BEGIN |://[^/@]*:[^/@]*@`).MatchString(value)
}
