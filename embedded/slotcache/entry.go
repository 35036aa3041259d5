package slotcache

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"cortex/internal/atomicfile"
)

// formatVersion is the version of the pool's index files.
const formatVersion = 1

// ServerSettings are the settings of a server that a state depends on, besides the model and
// the tokens.
type ServerSettings struct {
	ContextTokens int64  `json:"n_ctx"`
	Build         string `json:"build"`          // of the server
	Note          string `json:"note,omitempty"` // set when the pool was created, such as the cache types
}

// String describes the settings in an error.
func (s ServerSettings) String() string {
	text := fmt.Sprintf("a context of %d tokens, build %s", s.ContextTokens, s.Build)
	if s.Note != "" {
		text += ", note " + s.Note
	}
	return text
}

// CacheEntry is one saved state.
type CacheEntry struct {
	Version   int            `json:"version"`
	ID        string         `json:"id"` // a hash of model, settings and tokens
	Label     string         `json:"label,omitempty"`
	Model     string         `json:"model_sha256"`
	ModelPath string         `json:"model_path"`
	Settings  ServerSettings `json:"settings"`
	Tokens    int64          `json:"tokens"`
	Bytes     int64          `json:"bytes"`
	SHA256    string         `json:"sha256"`
	Pinned    bool           `json:"pinned"`
	Uses      int64          `json:"uses"` // number of restores
	SavedAt   time.Time      `json:"saved_at"`
	UsedAt    time.Time      `json:"used_at"`
	// SavedSeq and UsedSeq order the saves and uses in one pool, independently of the
	// clock.
	SavedSeq int64 `json:"saved_turn"`
	UsedSeq  int64 `json:"used_turn"`
}

// entryID returns the hash of the model, settings and tokens of a state.
func entryID(model string, s ServerSettings, tokens []Token) string {
	raw, err := json.Marshal([]any{model, s, hashTokens(tokens)})
	if err != nil {
		panic(err) // cannot happen with these types
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:8])
}

func validID(id string) bool { return len(id) == 16 && strings.Trim(id, "0123456789abcdef") == "" }

// writeJSON replaces a file atomically and durably.
func writeJSON(path string, v any) error {
	raw, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.Write(path, append(raw, '\n'), atomicfile.Options{Mode: 0o600})
}

// readJSON decodes a JSON file into v.
func readJSON(path string, v any) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, v)
}

// readEntries returns the entries in the index, oldest first, and the ids of entries whose
// index file is unreadable.
func readEntries(dir string) (out []CacheEntry, damaged []string, err error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, err
	}
	for _, f := range files {
		id, ok := strings.CutSuffix(f.Name(), ".json")
		if !ok || !validID(id) {
			continue
		}
		var e CacheEntry
		if err := readJSON(filepath.Join(dir, f.Name()), &e); errors.Is(err, os.ErrNotExist) {
			continue // evicted meanwhile
		} else if err != nil || e.ID != id || e.Version != formatVersion || e.Bytes < 0 {
			damaged = append(damaged, id)
			continue
		}
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b CacheEntry) int { return evictionOrder(FIFO, a, b) })
	return out, damaged, nil
}
