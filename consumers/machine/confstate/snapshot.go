package confstate

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"cortex/events"
)

// Snapshot is the state of the files under /etc, of every conffile elsewhere, and of the
// settings.
type Snapshot struct {
	Files    map[string]events.FileState `json:"files"`
	Settings map[SettingKey]string       `json:"settings"`
}

// SettingKey identifies one setting.
type SettingKey struct {
	Kind events.SettingKind
	Name string
}

// MarshalText makes a setting usable as a JSON key.
func (s SettingKey) MarshalText() ([]byte, error) { return []byte(string(s.Kind) + " " + s.Name), nil }

// UnmarshalText is the inverse of MarshalText.
func (s *SettingKey) UnmarshalText(b []byte) error {
	kind, name, ok := strings.Cut(string(b), " ")
	if !ok {
		return fmt.Errorf("invalid setting %q", b)
	}
	s.Kind, s.Name = events.SettingKind(kind), name
	return nil
}

// Diff lists the differences from before to after, sorted.
func Diff(before, after Snapshot) ([]events.FileChange, []events.SettingChange) {
	var files []events.FileChange
	for p, b := range before.Files {
		if a := after.Files[p]; a != b {
			files = append(files, events.FileChange{Path: p, Before: b, After: a})
		}
	}
	for p, a := range after.Files {
		if _, ok := before.Files[p]; !ok {
			files = append(files, events.FileChange{Path: p, After: a})
		}
	}
	slices.SortFunc(files, func(a, b events.FileChange) int { return cmp.Compare(a.Path, b.Path) })
	var settings []events.SettingChange
	for s, b := range before.Settings {
		if a := after.Settings[s]; a != b {
			settings = append(settings, events.SettingChange{Kind: s.Kind, Name: s.Name, Before: b, After: a})
		}
	}
	for s, a := range after.Settings {
		if _, ok := before.Settings[s]; !ok {
			settings = append(settings, events.SettingChange{Kind: s.Kind, Name: s.Name, After: a})
		}
	}
	slices.SortFunc(settings, func(a, b events.SettingChange) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
	return files, settings
}

// encode returns the stored form of a snapshot: compressed JSON.
func (i Snapshot) encode() ([]byte, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if err := json.NewEncoder(z).Encode(i); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func decodeSnapshot(b []byte) (Snapshot, error) {
	var i Snapshot
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return i, err
	}
	data, err := io.ReadAll(io.LimitReader(z, 1<<30))
	if err != nil {
		return i, err
	}
	return i, json.Unmarshal(data, &i)
}
