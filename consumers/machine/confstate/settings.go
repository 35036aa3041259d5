package confstate

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"

	"cortex/events"
	"cortex/internal/atomicfile"
)

// Debconf's databases (debconf-devel(7)) and dpkg's files of settings.
const (
	debconfAnswers   = "/var/cache/debconf/config.dat"
	debconfPasswords = "/var/cache/debconf/passwords.dat"
	alternatives     = "/var/lib/dpkg/alternatives"
	diversions       = "/var/lib/dpkg/diversions"
	statoverrides    = "/var/lib/dpkg/statoverride"
)

func readUpTo(r io.Reader, n int64) ([]byte, error) { return io.ReadAll(io.LimitReader(r, n)) }

// readSettings reads every setting.
func (k *Snapshots) readSettings(registry map[events.PackageKey]string) (map[SettingKey]string, error) {
	out := map[SettingKey]string{}
	for key, lines := range registry {
		out[SettingKey{events.SettingConffiles, key.String()}] = lines
	}
	for _, read := range []func(map[SettingKey]string) error{k.readAnswers, k.readPasswords, k.readAlternatives, k.readDiversions, k.readOverrides} {
		if err := read(out); err != nil {
			return nil, fmt.Errorf("read settings: %w", err)
		}
	}
	return out, nil
}

// readFile returns the content of a file; nil if it does not exist.
func (k *Snapshots) readFile(p string) ([]byte, error) {
	b, err := os.ReadFile(k.hostPath(p))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return b, err
}

func (k *Snapshots) readAnswers(out map[SettingKey]string) error {
	b, err := k.readFile(debconfAnswers)
	for name, item := range parseDebconf(b) {
		out[SettingKey{events.SettingDebconf, name}] = item
	}
	return err
}

func (k *Snapshots) readPasswords(out map[SettingKey]string) error {
	b, err := k.readFile(debconfPasswords)
	if err != nil {
		return err
	}
	for name, item := range parseDebconf(b) {
		d, err := k.blobs.PutSecret([]byte(item))
		if err != nil {
			return err
		}
		out[SettingKey{events.SettingDebconf, name}] = events.SecretValuePrefix + string(d)
	}
	return nil
}

// parseDebconf parses a database of debconf: stanzas that begin with "Name: QUESTION".
// The other lines of a stanza are the item.
func parseDebconf(b []byte) map[string]string {
	out := map[string]string{}
	for stanza := range strings.SplitSeq(string(b), "\n\n") {
		stanza = strings.TrimLeft(stanza, "\n")
		first, rest, _ := strings.Cut(stanza, "\n")
		if name, ok := strings.CutPrefix(first, "Name: "); ok && name != "" {
			out[name] = strings.TrimRight(rest, "\n") + "\n"
		}
	}
	return out
}

// formatDebconf is the inverse of parseDebconf, in debconf's order.
func formatDebconf(items map[string]string) []byte {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(items)) {
		b.WriteString("Name: " + name + "\n" + items[name] + "\n")
	}
	return []byte(b.String())
}

// readAlternatives reads the files of update-alternatives. The first line is the mode;
// the link in /etc/alternatives is the manual choice.
func (k *Snapshots) readAlternatives(out map[SettingKey]string) error {
	groups, err := os.ReadDir(k.hostPath(alternatives))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, g := range groups {
		b, err := k.readFile(alternatives + "/" + g.Name())
		if err != nil {
			return err
		}
		mode, _, _ := strings.Cut(string(b), "\n")
		if mode == "manual" {
			choice, err := os.Readlink(k.hostPath("/etc/alternatives/" + g.Name()))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			mode += " " + choice
		}
		if mode != "" {
			out[SettingKey{events.SettingAlternative, g.Name()}] = mode
		}
	}
	return nil
}

// readDiversions parses triples of lines: from, to, package.
func (k *Snapshots) readDiversions(out map[SettingKey]string) error {
	b, err := k.readFile(diversions)
	lines := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
	for i := 0; i+2 < len(lines); i += 3 {
		out[SettingKey{events.SettingDiversion, lines[i]}] = lines[i+1] + " " + lines[i+2]
	}
	return err
}

// readOverrides parses lines "USER GROUP MODE PATH".
func (k *Snapshots) readOverrides(out map[SettingKey]string) error {
	b, err := k.readFile(statoverrides)
	for line := range strings.Lines(string(b)) {
		if f := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 4); len(f) == 4 {
			out[SettingKey{events.SettingOverride, f[3]}] = strings.Join(f[:3], " ")
		}
	}
	return err
}

// writeDebconf sets debconf's answers, under debconf's own lock.
func (k *Snapshots) writeDebconf(changes []events.SettingChange) error {
	passwords := map[string]string{}
	plain := map[string]string{}
	for _, c := range changes {
		d, secret := strings.CutPrefix(c.After, events.SecretValuePrefix)
		switch {
		case secret:
			item, err := k.blobs.Get(events.Digest(d), true)
			if err != nil {
				return err
			}
			passwords[c.Name] = string(item)
		case strings.HasPrefix(c.Before, events.SecretValuePrefix):
			passwords[c.Name] = c.After
		default:
			plain[c.Name] = c.After
		}
	}
	if err := k.editDebconf(debconfAnswers, plain, 0o644); err != nil {
		return err
	}
	return k.editDebconf(debconfPasswords, passwords, 0o600)
}

// editDebconf sets items of one database; "" removes an item.
func (k *Snapshots) editDebconf(db string, set map[string]string, mode fs.FileMode) error {
	if len(set) == 0 {
		return nil
	}
	name := k.hostPath(db)
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, mode)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	b, err := io.ReadAll(f)
	if err != nil {
		return err
	}
	items := parseDebconf(b)
	for n, item := range set {
		if item == "" {
			delete(items, n)
		} else {
			items[n] = item
		}
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return replaceFile(name, formatDebconf(items), events.FileState{Mode: uint32(info.Mode().Perm()), UID: 0, GID: 0})
}

// replaceFile writes a temporary file and renames it into place.
func replaceFile(name string, content []byte, s events.FileState) error {
	return atomicfile.Write(name, content, atomicfile.Options{Mode: fileMode(s.Mode), Owner: &atomicfile.Owner{UID: s.UID, GID: s.GID}, Temp: tempPrefix + "*"})
}

// fileMode converts the mode bits of chmod(2).
func fileMode(bits uint32) fs.FileMode {
	m := fs.FileMode(bits & 0o777)
	for bit, flag := range map[uint32]fs.FileMode{syscall.S_ISUID: fs.ModeSetuid, syscall.S_ISGID: fs.ModeSetgid, syscall.S_ISVTX: fs.ModeSticky} {
		if bits&bit != 0 {
			m |= flag
		}
	}
	return m
}

// tempPrefix begins the names of temporary files. Snapshots ignore them.
const tempPrefix = ".cortex-restore-"
