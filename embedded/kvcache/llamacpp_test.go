//go:build llamacpp

package kvcache_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cortex/embedded/kvcache"
	"cortex/embedded/kvcache/llamatest"
)

// TestARealServer: what is saved of a real server spares a new one its work; see
// 'make llama'.
func TestARealServer(t *testing.T) {
	file := filepath.Join(t.TempDir(), "random.gguf")
	if err := os.WriteFile(file, llamatest.Model(), 0o600); err != nil {
		t.Fatal(err)
	}
	store := kvcache.NewStore(t.TempDir(), time.Now)
	spec, err := store.Create(kvcache.Spec{Name: "p", Budget: 1 << 24, Policy: kvcache.LRU})
	if err != nil {
		t.Fatal(err)
	}
	in := func(f func(*kvcache.Pool, kvcache.Server) error) {
		t.Helper()
		url, stop := llamatest.Start(t, "-m", file, "-c", "2048", "-np", "2", "--slots", "--slot-save-path", spec.Slots)
		defer stop()
		s := kvcache.Server{URL: url, HTTP: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
		p, err := store.Open(t.Context(), "p")
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		if err := f(p, s); err != nil {
			t.Fatal(err)
		}
	}
	prompt := strings.Repeat(system+". ", 5)
	in(func(p *kvcache.Pool, s kvcache.Server) error {
		out, err := p.Restore(t.Context(), s, kvcache.RestoreRequest{Prompt: prompt})
		if err != nil || out.Entry != nil || out.Processed != out.Prompt {
			return fmt.Errorf("an empty pool gives %+v, %w", out, err)
		}
		saved, err := p.Save(t.Context(), s, kvcache.SaveRequest{})
		if err == nil && saved.Entry.Tokens != out.Prompt {
			err = fmt.Errorf("%d tokens were saved of %d", saved.Entry.Tokens, out.Prompt)
		}
		return err
	})
	in(func(p *kvcache.Pool, s kvcache.Server) error { // started anew
		out, err := p.Restore(t.Context(), s, kvcache.RestoreRequest{Slot: 1, Prompt: prompt + "install nginx"})
		t.Logf("%d of %d tokens were not processed again", out.Spared, out.Prompt)
		if err == nil && (out.Entry == nil || out.Spared < out.Restored-1) {
			err = fmt.Errorf("got %+v", out)
		}
		return err
	})
}
