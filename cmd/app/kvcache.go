package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"cortex/embedded/slotcache"
	"cortex/events"
)

// DefaultLlamaServer is the address of a llama-server if none is set.
const DefaultLlamaServer = "http://127.0.0.1:8080"

// maxPromptBytes bounds a prompt that is read from a file.
const maxPromptBytes = 16 << 20

// pools returns the pools of saved prompt caches, which belong to the user.
func (s *Service) pools() *slotcache.PoolDir {
	settings := s.Settings
	if s.UID != 0 && settings.IsSystem() {
		settings = settings.ForUser(s.Env)
	}
	return slotcache.NewPoolDir(filepath.Join(settings.StateDir, "kvcache"), time.Now)
}

// withPool opens a pool for one operation.
func (s *Service) withPool(ctx context.Context, name string, f func(*slotcache.Pool) error) error {
	p, err := s.pools().Open(ctx, name)
	if err != nil {
		return err
	}
	return errors.Join(f(p), p.Close())
}

// llamaServer returns the server at address, or if that is empty the server of the pool.
func (s *Service) llamaServer(p *slotcache.Pool, address string) slotcache.LlamaServer {
	server := slotcache.LlamaServer{URL: address, APIKey: s.Env("LLAMA_API_KEY")}
	if server.URL == "" {
		server.URL = p.Spec().Server
	}
	if server.URL == "" {
		server.URL = DefaultLlamaServer
	}
	return server
}

// PoolOptions describes a new pool.
type PoolOptions struct {
	Name   string
	Size   string // how much the states may take: 500M, 2G
	Policy string // lru, lfu or fifo
	Dir    string // the server's slot directory; "" for one in the state directory
	Server string // the server's address; "" for DefaultLlamaServer
	Note   string // server settings that the server does not report
}

// CreatePool creates a pool.
func (s *Service) CreatePool(o PoolOptions) (slotcache.Spec, error) {
	size, err := slotcache.ParseSize(o.Size)
	if err != nil {
		return slotcache.Spec{}, err
	}
	return s.pools().Create(slotcache.Spec{
		Name: o.Name, Policy: slotcache.EvictionPolicy(o.Policy), Budget: size, Slots: o.Dir, Server: o.Server, Note: o.Note,
	})
}

// DestroyPool deletes a pool and its states; with force also pinned ones.
func (s *Service) DestroyPool(ctx context.Context, name string, force bool) error {
	return s.withPool(ctx, name, func(p *slotcache.Pool) error { return p.Destroy(force) })
}

// PoolNames lists the names of all pools.
func (s *Service) PoolNames() ([]string, error) { return s.pools().Names() }

// Pools describes the named pool, or all pools if name is empty.
func (s *Service) Pools(name string) ([]slotcache.PoolStatus, error) {
	dir, names := s.pools(), []string{name}
	if name == "" {
		var err error
		if names, err = dir.Names(); err != nil {
			return nil, err
		}
	}
	list := []slotcache.PoolStatus{}
	for _, name := range names {
		p, err := dir.Status(name)
		if err != nil {
			return nil, err
		}
		if p.Entries == nil {
			p.Entries = []slotcache.CacheEntry{}
		}
		list = append(list, p)
	}
	return list, nil
}

// SlotOptions names a slot of a llama-server.
type SlotOptions struct {
	Slot   int
	Model  string // the model file; "" for the one that the server names
	Server string // the server's address; "" for the pool's
}

// SaveSlot saves the state of a slot in a pool.
func (s *Service) SaveSlot(ctx context.Context, pool, label string, o SlotOptions) (out slotcache.SaveResult, err error) {
	err = s.withPool(ctx, pool, func(p *slotcache.Pool) (err error) {
		out, err = p.Save(ctx, s.llamaServer(p, o.Server), slotcache.SaveRequest{Slot: o.Slot, Label: label, Model: o.Model})
		return err
	})
	return out, err
}

// RestoreOptions names what is restored into a slot: a state, or the best state for a prompt.
type RestoreOptions struct {
	SlotOptions
	State      string    // an id, a label, or last
	PromptFile string    // a file with a prompt, or "-"; then State is empty
	Stdin      io.Reader // read if PromptFile is "-"
}

// RestoreSlot restores a state into a slot. With a prompt it chooses the state that shares
// most tokens with the prompt, and lets the server process the rest.
func (s *Service) RestoreSlot(ctx context.Context, pool string, o RestoreOptions) (out slotcache.RestoreResult, err error) {
	r := slotcache.RestoreRequest{Slot: o.Slot, Entry: o.State, Model: o.Model}
	if o.PromptFile != "" {
		if r.Prompt, err = readPrompt(o.PromptFile, o.Stdin); err != nil {
			return out, err
		}
	}
	err = s.withPool(ctx, pool, func(p *slotcache.Pool) (err error) {
		out, err = p.Restore(ctx, s.llamaServer(p, o.Server), r)
		return err
	})
	return out, err
}

func readPrompt(file string, stdin io.Reader) (string, error) {
	in := stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", &events.Error{Op: "app.RestoreSlot", Kind: events.ErrNotFound, Subject: file, Err: errors.Unwrap(err)}
		}
		defer f.Close()
		in = f
	}
	raw, err := io.ReadAll(io.LimitReader(in, maxPromptBytes+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("read the prompt: %w", err)
	case len(raw) == 0 || len(raw) > maxPromptBytes:
		return "", &events.Error{
			Op: "app.RestoreSlot", Kind: events.ErrUsage, Subject: file,
			Err: fmt.Errorf("the prompt has %d bytes or more; 1 to %d are allowed", len(raw), maxPromptBytes),
		}
	}
	return string(raw), nil
}

// PinState protects a state from eviction, or ends the protection.
func (s *Service) PinState(ctx context.Context, pool, state string, pinned bool) (e slotcache.CacheEntry, err error) {
	err = s.withPool(ctx, pool, func(p *slotcache.Pool) (err error) {
		e, err = p.Pin(state, pinned)
		return err
	})
	return e, err
}

// EvictState removes one state from a pool.
func (s *Service) EvictState(ctx context.Context, pool, state string) (evicted []slotcache.CacheEntry, err error) {
	err = s.withPool(ctx, pool, func(p *slotcache.Pool) error {
		e, err := p.Evict(state)
		evicted = []slotcache.CacheEntry{e}
		return err
	})
	return evicted, err
}

// ShrinkPool evicts states by the pool's policy until at most size is left.
func (s *Service) ShrinkPool(ctx context.Context, pool, size string) ([]slotcache.CacheEntry, error) {
	n, err := slotcache.ParseSize(size)
	if err != nil {
		return nil, err
	}
	evicted := []slotcache.CacheEntry{}
	err = s.withPool(ctx, pool, func(p *slotcache.Pool) error {
		list, err := p.Shrink(n)
		evicted = append(evicted, list...)
		return err
	})
	return evicted, err
}

// CacheSizing is how much memory a model's cache takes on this machine.
type CacheSizing struct {
	Model slotcache.ModelInfo
	Room  slotcache.MemoryBudget
	Sizes []slotcache.Sizing
}

// SizeCache computes from a model file how much memory its cache takes. memory replaces the
// available memory of this machine if it is not empty.
func (s *Service) SizeCache(path, memory string) (CacheSizing, error) {
	model, weights, err := readModel(path)
	if err != nil {
		return CacheSizing{}, err
	}
	available, err := slotcache.AvailableMemory(os.DirFS(s.Settings.Root))
	if memory != "" {
		available, err = slotcache.ParseSize(memory)
	}
	if err != nil {
		return CacheSizing{}, err
	}
	room := slotcache.NewMemoryBudget(available, weights)
	return CacheSizing{model, room, model.Sizes(room)}, nil
}

// readModel reads a model's header, and the size of all its files.
func readModel(path string) (m slotcache.ModelInfo, weights int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return m, 0, &events.Error{Op: "app.SizeCache", Kind: events.ErrNotFound, Subject: path, Err: errors.Unwrap(err)}
	}
	defer f.Close()
	if m, err = slotcache.ReadModelInfo(f); err != nil {
		return m, 0, fmt.Errorf("%s: %w", path, err)
	}
	for _, file := range modelFiles(path, m.Splits) {
		info, err := os.Stat(file)
		if err != nil {
			return m, 0, &events.Error{
				Op: "app.SizeCache", Kind: events.ErrNotFound, Subject: file, Err: errors.Unwrap(err),
				Hint: "put all files of a split model into one directory",
			}
		}
		weights += info.Size()
	}
	return m, weights, nil
}

// modelFiles returns the files of a split model: NAME-00001-of-00003.gguf and so on.
func modelFiles(path string, n int) []string {
	end := fmt.Sprintf("-of-%05d.gguf", n)
	stem, ok := strings.CutSuffix(path, end)
	if n < 2 || !ok || len(stem) < 6 {
		return []string{path}
	}
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf("%s-%05d%s", stem[:len(stem)-6], i+1, end))
	}
	return out
}
