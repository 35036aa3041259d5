//go:build llamacpp

package slotcache_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cortex/embedded/slotcache"
	"cortex/embedded/slotcache/llamatest"
)

// TestRealLlamaServer checks that a restored state saves a real server from processing a prompt
// again; run it with 'make llama'.
func TestRealLlamaServer(t *testing.T) {
	file := filepath.Join(t.TempDir(), "random.gguf")
	if err := os.WriteFile(file, llamatest.ModelFile(), 0o600); err != nil {
		t.Fatal(err)
	}
	store := slotcache.NewPoolDir(t.TempDir(), time.Now)
	spec, err := store.Create(slotcache.Spec{Name: "p", Budget: 1 << 24, Policy: slotcache.LRU})
	if err != nil {
		t.Fatal(err)
	}
	in := func(f func(*slotcache.Pool, slotcache.LlamaServer) error) {
		t.Helper()
		url, stop := llamatest.Start(t, "-m", file, "-c", "2048", "-np", "2", "--slots", "--slot-save-path", spec.Slots)
		defer stop()
		s := slotcache.LlamaServer{URL: url, HTTP: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
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
	in(func(p *slotcache.Pool, s slotcache.LlamaServer) error {
		out, err := p.Restore(t.Context(), s, slotcache.RestoreRequest{Prompt: prompt})
		if err != nil || out.Entry != nil || out.Processed != out.Prompt {
			return fmt.Errorf("an empty pool returns %+v, %w", out, err)
		}
		saved, err := p.Save(t.Context(), s, slotcache.SaveRequest{})
		if err == nil && saved.Entry.Tokens != out.Prompt {
			err = fmt.Errorf("%d tokens were saved of %d", saved.Entry.Tokens, out.Prompt)
		}
		return err
	})
	in(func(p *slotcache.Pool, s slotcache.LlamaServer) error { // a new server
		out, err := p.Restore(t.Context(), s, slotcache.RestoreRequest{Slot: 1, Prompt: prompt + "install nginx"})
		t.Logf("%d of %d tokens were not processed again", out.Reused, out.Prompt)
		if err == nil && (out.Entry == nil || out.Reused < out.Restored-1) {
			err = fmt.Errorf("got %+v", out)
		}
		return err
	})
}
