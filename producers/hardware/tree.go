package hardware

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Limits on the data that is read from a machine.
const (
	maxFileBytes = 4 << 20 // of one file
	maxTextBytes = 512     // of one text that becomes a value
	maxEntries   = 4096    // of one directory
)

// fileTree reads files below a root; paths have no leading slash.
type fileTree struct{ fs fs.FS }

// read returns the first maxFileBytes of a file.
func (t fileTree) read(name string) (string, error) {
	f, err := t.fs.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFileBytes))
	return string(data), err
}

// text returns the content of a one-line file, trimmed and without control characters.
// Some of these texts come from devices and are not trusted.
func (t fileTree) text(name string) (string, error) {
	s, err := t.read(name)
	if err != nil {
		return "", err
	}
	return sanitize(strings.TrimSpace(strings.TrimRight(s, "\x00"))), nil
}

// number returns the integer in a file, decimal or with the prefix 0x.
func (t fileTree) number(name string) (int64, error) {
	s, err := t.text(name)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(s, 0, 64)
	if err != nil {
		return 0, fmt.Errorf("%.40q is not an integer", s)
	}
	return n, nil
}

// list returns the sorted names in a directory, or nil when it cannot be read.
func (t fileTree) list(name string) []string {
	entries, err := fs.ReadDir(t.fs, name)
	if err != nil {
		return nil
	}
	var out []string
	for _, e := range entries[:min(len(entries), maxEntries)] {
		out = append(out, e.Name())
	}
	slices.Sort(out)
	return out
}

// exists reports whether a file or directory exists.
func (t fileTree) exists(name string) bool {
	_, err := fs.Stat(t.fs, name)
	return err == nil
}

// link returns the target of a symbolic link.
func (t fileTree) link(name string) (string, error) { return fs.ReadLink(t.fs, name) }

// linkBase returns the last element of the target of a link, such as a driver's name. It
// returns "" when the link does not exist.
func (t fileTree) linkBase(name string) string {
	to, err := t.link(name)
	if err != nil {
		return ""
	}
	return sanitize(path.Base(to))
}

// sanitize replaces control characters in untrusted text and limits its length.
func sanitize(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar {
			return '?'
		}
		return r
	}, s)
	if len(s) > maxTextBytes {
		s = strings.ToValidUTF8(s[:maxTextBytes], "")
	}
	return s
}

// errorText returns the reason of a failed read without the path, because the source of
// the fact names it.
func errorText(err error) string {
	var p *fs.PathError
	switch {
	case err == nil:
		return "no valid value"
	case errors.Is(err, fs.ErrNotExist):
		return "no such file"
	case errors.As(err, &p):
		return p.Err.Error()
	}
	return err.Error()
}

// parseFields parses "key: value" lines. The first of equal keys counts.
func parseFields(text, separator string) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(text) {
		k, v, ok := strings.Cut(line, separator)
		if k = strings.TrimSpace(k); !ok || k == "" {
			continue
		}
		if _, twice := out[k]; !twice {
			out[k] = strings.TrimSpace(v)
		}
	}
	return out
}

// cpuList parses a number list of the kernel, such as "0-3,8,10-11". ok is false when the
// text is not a list. An empty text is an empty list.
func cpuList(s string) (list []int, ok bool) {
	s = strings.TrimSpace(s)
	if s == "" {
		return nil, true
	}
	for part := range strings.SplitSeq(s, ",") {
		lo, hi, isRange := strings.Cut(part, "-")
		a, err := strconv.Atoi(lo)
		if err != nil || a < 0 {
			return nil, false
		}
		b := a
		if isRange {
			if b, err = strconv.Atoi(hi); err != nil || b < a {
				return nil, false
			}
		}
		if len(list)+b-a >= maxCPUs {
			return nil, false
		}
		for ; a <= b; a++ {
			list = append(list, a)
		}
	}
	return list, true
}

// maxCPUs is the maximum number of processors.
const maxCPUs = 8192

func isNotExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }
