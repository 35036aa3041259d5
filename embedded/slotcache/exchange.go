package slotcache

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"cortex/events"
	"cortex/internal/atomicfile"
)

// SaveRequest says what to save.
type SaveRequest struct {
	Slot  int
	Label string // for people; may be empty
	Model string // the model's file, when the server names one that is elsewhere
}

// SaveResult is the outcome of a save.
type SaveResult struct {
	Entry   CacheEntry   `json:"entry"`
	Evicted []CacheEntry `json:"evicted"`
	Expired int          `json:"expired"` // entries whose model has changed
}

// Save makes the server save a slot's state, and keeps it. An empty slot is
// ErrUsage; a state that cannot fit is ErrFull, and nothing is evicted for it.
func (p *Pool) Save(ctx context.Context, s LlamaServer, r SaveRequest) (out SaveResult, err error) {
	if len(r.Label) > maxLabel {
		return out, newError(events.ErrUsage, "label", "", fmt.Errorf("has more than %d bytes", maxLabel))
	}
	e, err := p.describeServer(ctx, s, r.Slot, r.Model)
	if err != nil {
		return out, err
	}
	if out.Expired, err = p.expire(e.ModelPath, e.Model); err != nil {
		return out, err
	}
	path := p.statePath(pendingID)
	defer func() {
		if err != nil {
			err = errors.Join(err, removeIfExists(path))
		}
	}()
	answer, err := s.slot(ctx, r.Slot, "save", p.stateName(pendingID))
	if err != nil {
		return out, err
	}
	if err := p.verifySaved(ctx, path, answer.Saved, &e); err != nil {
		return out, err
	}
	e.Label = r.Label
	return out, p.insert(path, e, &out)
}

func removeIfExists(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// describeServer says what the server's states depend on.
func (p *Pool) describeServer(ctx context.Context, s LlamaServer, slot int, model string) (e CacheEntry, err error) {
	props, err := s.props(ctx)
	if err != nil {
		return e, err
	}
	if slot < 0 || slot >= props.Slots {
		return e, newError(events.ErrUsage, fmt.Sprintf("slot %d", slot), "slots are counted from 0", fmt.Errorf("the server has %d", props.Slots))
	}
	if model == "" {
		model = props.ModelPath
	}
	if model, err = filepath.Abs(model); err != nil {
		return e, err
	}
	sum, err := p.modelHash(ctx, model)
	if err != nil {
		return e, newError(events.ErrNotFound, "model "+model, "the server names this file; if it is elsewhere, say where with --model", err)
	}
	return CacheEntry{
		Version: formatVersion, Model: sum, ModelPath: model,
		Settings: ServerSettings{ContextTokens: props.Default.ContextTokens, Build: props.Build, Note: p.spec.Note},
	}, nil
}

// verifySaved checks the file that the server wrote and completes the entry.
func (p *Pool) verifySaved(ctx context.Context, path string, claimed int64, e *CacheEntry) error {
	tokens, err := readTokensFile(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return newError(events.ErrConflict, "pool "+p.spec.Name, "start the server with --slot-save-path "+p.spec.Slots, errors.New("the server saved the state somewhere else"))
	case err != nil:
		return newError(events.ErrConflict, "the saved state", "", err)
	case len(tokens) == 0:
		return newError(events.ErrUsage, "slot", "let it process a prompt first", errors.New("is empty"))
	case int64(len(tokens)) != claimed:
		return newError(events.ErrConflict, "the saved state", "", fmt.Errorf("holds %d tokens, and the server says %d", len(tokens), claimed))
	}
	e.ID, e.Tokens = entryID(e.Model, e.Settings, tokens), int64(len(tokens))
	if e.SHA256, e.Bytes, err = hashFile(ctx, path); err != nil {
		return p.wrapError(err)
	}
	return p.wrapError(atomicfile.Sync(path))
}

// insert makes room and puts the state into its place. An older one of the same key
// is replaced; it stays pinned if it was.
func (p *Pool) insert(path string, e CacheEntry, out *SaveResult) error {
	others := make([]CacheEntry, 0, len(p.entries))
	e.SavedSeq, e.SavedAt = p.nextSeq(), p.now().UTC()
	e.UsedSeq, e.UsedAt = e.SavedSeq, e.SavedAt
	for _, o := range p.entries {
		if o.ID != e.ID {
			others = append(others, o)
			continue
		}
		e.Pinned, e.Uses = o.Pinned, o.Uses
		if e.Label == "" {
			e.Label = o.Label
		}
	}
	leave, ok := selectVictims(others, p.spec.Policy, e.Bytes, p.spec.Budget)
	if !ok {
		return newError(events.ErrFull, "pool "+p.spec.Name, "unpin or evict some, or make a larger pool",
			fmt.Errorf("has no room for %d bytes within its %d", e.Bytes, p.spec.Budget))
	}
	if err := p.evict(leave); err != nil {
		return err
	}
	if err := p.remove(e.ID); err != nil { // before its file changes, so that no index ever points at another state
		return err
	}
	if err := os.Rename(path, p.statePath(e.ID)); err != nil {
		return p.wrapError(err)
	}
	if err := atomicfile.Sync(p.spec.Slots); err != nil {
		return p.wrapError(err)
	}
	if err := p.writeIndex(e); err != nil {
		return err
	}
	p.stats.Saves++
	out.Entry, out.Evicted = e, leave
	return p.saveStats()
}

// expire removes the entries of a model whose file has changed.
func (p *Pool) expire(path, sum string) (n int, err error) {
	for _, e := range append([]CacheEntry(nil), p.entries...) {
		if e.ModelPath != path || e.Model == sum {
			continue
		}
		if err := p.remove(e.ID); err != nil {
			return n, err
		}
		p.stats.Expired++
		n++
	}
	if n == 0 {
		return 0, nil
	}
	return n, p.saveStats()
}

// fileIdentity tells whether a file may have changed since it was hashed.
type fileIdentity struct {
	Device   uint64 `json:"device"`
	Inode    uint64 `json:"inode"`
	Bytes    int64  `json:"bytes"`
	Changed  int64  `json:"ctime_ns"`
	Modified int64  `json:"mtime_ns"`
	SHA256   string `json:"sha256"`
}

// modelHash is the SHA-256 of a model's file; a file that has not changed since
// is not read again.
func (p *Pool) modelHash(ctx context.Context, path string) (string, error) {
	cache := filepath.Join(p.dir, "models.json")
	known := map[string]fileIdentity{}
	if err := readJSON(cache, &known); err != nil {
		known = map[string]fileIdentity{} // read the model again
	}
	before, err := identify(path)
	if err != nil {
		return "", err
	}
	if k, ok := known[path]; ok {
		before.SHA256 = k.SHA256
		if k == before {
			return k.SHA256, nil
		}
	}
	sum, _, err := hashFile(ctx, path)
	if err != nil {
		return "", err
	}
	after, err := identify(path)
	if err != nil {
		return "", err
	}
	before.SHA256, after.SHA256 = sum, sum
	if before != after {
		return "", errors.New("changes while it is read")
	}
	known[path] = after
	return sum, p.wrapError(writeJSON(cache, known))
}

func identify(path string) (fileIdentity, error) {
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		return fileIdentity{}, err
	}
	return fileIdentity{Device: st.Dev, Inode: st.Ino, Bytes: st.Size, Changed: st.Ctim.Nano(), Modified: st.Mtim.Nano()}, nil
}
