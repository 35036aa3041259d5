package slotcache_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"cortex/embedded/slotcache"
)

// llama simulates a llama-server. A word is a token. A state file has the real format, with
// filler instead of tensors.
type llama struct {
	*httptest.Server
	dir, model, build string
	context           int64
	perToken          int    // bytes of a state
	afterSave         func() // called before the answer
	restoreFewer      int    // number of tokens that a restore loses

	mu       sync.Mutex
	slots    map[string][]int32
	restored []string // files that were requested
}

func serve(t *testing.T, dir, model string) *llama {
	t.Helper()
	l := &llama{dir: dir, model: model, build: "b1", context: 4096, perToken: 100, slots: map[string][]int32{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /props", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{"model_path": l.model, "build_info": l.build, "total_slots": 2, "default_generation_settings": map[string]any{"n_ctx": l.context}})
	})
	mux.HandleFunc("POST /tokenize", func(w http.ResponseWriter, r *http.Request) {
		var q struct{ Content string }
		_ = json.NewDecoder(r.Body).Decode(&q)
		answer(w, map[string]any{"tokens": tokens(q.Content)})
	})
	mux.HandleFunc("POST /completion", l.completion)
	mux.HandleFunc("POST /slots/{id}", l.action)
	l.Server = httptest.NewServer(mux)
	t.Cleanup(l.Close)
	return l
}

func answer(w http.ResponseWriter, v any) { _ = json.NewEncoder(w).Encode(v) }

func tokens(text string) []int32 {
	out := []int32{1}
	for _, w := range strings.Fields(text) {
		out = append(out, int32(crc32.ChecksumIEEE([]byte(w))>>1))
	}
	return out
}

func (l *llama) client() slotcache.LlamaServer {
	return slotcache.LlamaServer{URL: l.URL, HTTP: l.Client()}
}

func (l *llama) completion(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Prompt []int32
		Slot   int `json:"id_slot"`
	}
	_ = json.NewDecoder(r.Body).Decode(&q)
	l.mu.Lock()
	defer l.mu.Unlock()
	has, shared := l.slots[fmt.Sprint(q.Slot)], 0
	for shared < len(has) && shared < len(q.Prompt)-1 && has[shared] == q.Prompt[shared] { // the last token is always processed
		shared++
	}
	l.slots[fmt.Sprint(q.Slot)] = q.Prompt
	answer(w, map[string]any{"timings": map[string]any{"prompt_n": len(q.Prompt) - shared}})
}

func (l *llama) action(w http.ResponseWriter, r *http.Request) {
	var q struct{ Filename string }
	_ = json.NewDecoder(r.Body).Decode(&q)
	l.mu.Lock()
	defer l.mu.Unlock()
	id, path := r.PathValue("id"), filepath.Join(l.dir, q.Filename)
	switch r.URL.Query().Get("action") {
	case "save":
		if err := os.WriteFile(path, state(l.slots[id], l.perToken), 0o600); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if l.afterSave != nil {
			l.afterSave()
		}
		answer(w, map[string]any{"n_saved": len(l.slots[id])})
	case "restore":
		l.restored = append(l.restored, q.Filename)
		raw, err := os.ReadFile(path)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			answer(w, map[string]any{"error": map[string]any{"message": "Unable to restore slot"}})
			return
		}
		got := make([]int32, binary.LittleEndian.Uint32(raw[20:])-uint32(l.restoreFewer))
		_ = binary.Read(bytes.NewReader(raw[24:]), binary.LittleEndian, got)
		l.slots[id] = got
		answer(w, map[string]any{"n_restored": len(got)})
	case "erase":
		delete(l.slots, id)
		answer(w, map[string]any{"n_erased": 1})
	}
}

// state returns a file as a server writes it.
func state(tokens []int32, perToken int) []byte {
	var b bytes.Buffer
	for _, v := range []any{uint32(0x67677371), uint32(4), uint32(len(tokens) + 4), int32(-1), int32(1), int32(len(tokens)), tokens, int32(0)} {
		_ = binary.Write(&b, binary.LittleEndian, v)
	}
	for i := range tokens {
		b.Write(bytes.Repeat([]byte{byte(i)}, perToken-4))
	}
	return b.Bytes()
}

// onSave sets a function that the server calls before it answers a save.
func (l *llama) onSave(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.afterSave = f
}

// think lets a slot process a prompt.
func (l *llama) think(slot, prompt string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slots[slot] = tokens(prompt)
}
