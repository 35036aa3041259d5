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

// maxFileBytes bounds a file of settings.
const maxFileBytes = 64 << 10

// FileEntry is one line of a file of settings.
type FileEntry struct {
	Name                 string
	Value                string // without quotes
	Line, Column         int    // of the name, from 1; columns count bytes
	isNumber             bool
	valueStart, valueEnd int    // the bytes of the value
	nameStart            int    // the first byte of the name
	table                string // the table it is in, with a dot at its end, or ""
}

// header is a line [NAME] of a file.
type header struct {
	name      string // with a dot at its end
	nameStart int    // the first byte of its name
}

// ReadFile reads a file of settings for the user uid. A file that is not there
// has no entries. Root takes nothing from a file that others could have written.
// Each problem is an ErrUsage error of its own, with FILE:LINE:COLUMN as its
// subject; the entries that have none are given all the same.
func ReadFile(path string, uid int) ([]FileEntry, error) {
	b, err := ReadFileText(path, uid)
	if b == nil || err != nil {
		return nil, err
	}
	return Parse(path, b)
}

// ReadFileText gives what a file of settings holds, as [ReadFile] would read it; nil when
// there is no such file.
func ReadFileText(path string, uid int) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return nil, nil
	case errors.Is(err, fs.ErrPermission) && uid != 0:
		return nil, nil // in somebody else's directory: sudo -u keeps HOME
	case err != nil:
		return nil, fileError(path, err, "")
	case !info.Mode().IsRegular():
		return nil, fileError(path, errors.New("is not a file"), "")
	case info.Size() > maxFileBytes:
		return nil, fileError(path, fmt.Errorf("is larger than %d bytes", maxFileBytes), "")
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && uid == 0 && (st.Uid != 0 || info.Mode()&0o022 != 0) {
		return nil, fileError(path, errors.New("others than root can write to it"), "run: chown root "+path+" && chmod go-w "+path)
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

// parseError is one thing wrong at a place of a file.
func parseError(path string, line, column int, hint, format string, args ...any) error {
	return &events.Error{
		Op: "config.Parse", Kind: events.ErrUsage, Subject: fmt.Sprintf("%s:%d:%d", path, line, column),
		Hint: hint, Err: fmt.Errorf(format, args...),
	}
}

// Parse reads the text of a file of settings; see [ReadFile]. Values that are
// secrets are refused and never repeated.
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

// scan finds the entries of a text that is TOML.
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
				errs = append(errs, parseError(path, at.Line, at.Column, "", "there is no table %q", name))
			}
			continue
		case unstable.KeyValue:
		default:
			errs = append(errs, parseError(path, at.Line, at.Column, "", "%q is a list of tables, and no setting is", name))
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
			errs = append(errs, parseError(path, at.Line, at.Column, "", "%s is neither a text in quotes nor a whole number", e.Name))
			continue
		}
		entries = append(entries, e)
	}
	return entries, headers, errs
}

// validate says what is wrong with an entry.
func (e FileEntry) validate(path string) error {
	if looksSecret(e.Name, e.Value) {
		return parseError(path, e.Line, e.Column, "'cortex llm key' keeps keys of models; others belong into a file that only its owner can read", "%s looks like a secret, and secrets do not belong into settings", e.Name)
	}
	k, err := FindSetting(e.Name)
	if err != nil {
		return parseError(path, e.Line, e.Column, events.HintOf(err), "there is no setting %q", e.Name)
	}
	if k.IsNumber != e.isNumber {
		want := "a text in quotes"
		if k.IsNumber {
			want = "a number without quotes"
		}
		return parseError(path, e.Line, e.Column, "", "%s is %s", e.Name, want)
	}
	var s Settings
	if err := k.set(&s, e.Value); err != nil {
		return parseError(path, e.Line, e.Column, "", "%s: %q is not %w", e.Name, e.Value, err)
	}
	return nil
}

// looksSecret reports whether a setting is one by its name or by the form of its value. The
// name of a file that holds one is none.
func looksSecret(name, value string) bool {
	if name == "nats.url" && strings.Contains(value, "@") { // what stands alone before it is a token
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
