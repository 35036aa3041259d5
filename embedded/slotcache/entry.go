package slotcache

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"cortex/internal/atomicfile"
)

// formatVersion is the version of the pool's own files.
const formatVersion = 1

// ServerSettings are what a state depends on besides model and tokens.
type ServerSettings struct {
	ContextTokens int64  `json:"n_ctx"`
	Build         string `json:"build"`          // of the server
	Note          string `json:"note,omitempty"` // said when the pool was made, such as the types of the cache
}

// CacheEntry is one saved state.
type CacheEntry struct {
	Version   int            `json:"version"`
	ID        string         `json:"id"` // of model, settings and tokens
	Label     string         `json:"label,omitempty"`
	Model     string         `json:"model_sha256"`
	ModelPath string         `json:"model_path"`
	Settings  ServerSettings `json:"settings"`
	Tokens    int64          `json:"tokens"`
	Bytes     int64          `json:"bytes"`
	SHA256    string         `json:"sha256"`
	Pinned    bool           `json:"pinned"`
	Uses      int64          `json:"uses"` // restores
	SavedAt   time.Time      `json:"saved_at"`
	UsedAt    time.Time      `json:"used_at"`
	// Turns order saves and uses of one pool, whatever the clock says.
	SavedSeq int64 `json:"saved_turn"`
	UsedSeq  int64 `json:"used_turn"`
}

// entryID stands for what a state is good for.
func entryID(model string, s ServerSettings, tokens []Token) string {
	raw, err := json.Marshal([]any{model, s, hashTokens(tokens)})
	if err != nil {
		panic(err) // plain values
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:8])
}

func validID(id string) bool { return len(id) == 16 && strings.Trim(id, "0123456789abcdef") == "" }

// writeJSON replaces a file as a whole, durably.
func writeJSON(path string, v any) error {
	raw, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.Write(path, append(raw, '\n'), atomicfile.Options{Mode: 0o600})
}

// readJSON reads a file of ours; one of another version is an error.
func readJSON(path string, v any) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, v)
}

// readEntries reads the index: every entry whose file can be read, oldest first,
// and the names of those that cannot.
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
