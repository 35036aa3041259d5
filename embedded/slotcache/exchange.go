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

// SaveRequest names the slot to save.
type SaveRequest struct {
	Slot  int
	Label string // optional
	Model string // path of the model file, when it is not the one that the server reports
}

// SaveResult is the outcome of a save.
type SaveResult struct {
	Entry   CacheEntry   `json:"entry"`
	Evicted []CacheEntry `json:"evicted"`
	Expired int          `json:"expired"` // entries whose model has changed
}

// Save lets the server save a slot's state and adds it to the pool. It fails with ErrUsage
// when the slot is empty, and with ErrFull when the state does not fit. Then nothing is
// evicted.
func (p *Pool) Save(ctx context.Context, s LlamaServer, r SaveRequest) (out SaveResult, err error) {
	if len(r.Label) > maxLabel {
		return out, newError(events.ErrUsage, "label", "", fmt.Errorf("it has more than %d bytes", maxLabel))
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

// describeServer returns an entry with the model and settings of the server.
func (p *Pool) describeServer(ctx context.Context, s LlamaServer, slot int, model string) (e CacheEntry, err error) {
	props, err := s.props(ctx)
	if err != nil {
		return e, err
	}
	if slot < 0 || slot >= props.Slots {
		return e, newError(events.ErrUsage, fmt.Sprintf("slot %d", slot), "the first slot is 0", fmt.Errorf("the server has %d slots", props.Slots))
	}
	if model == "" {
		model = props.ModelPath
	}
	if model, err = filepath.Abs(model); err != nil {
		return e, err
	}
	sum, err := p.modelHash(ctx, model)
	if err != nil {
		return e, newError(events.ErrNotFound, "model "+model, "the server reports this path; if the file is in another place, set --model", err)
	}
	return CacheEntry{
		Version: formatVersion, Model: sum, ModelPath: model,
		Settings: ServerSettings{ContextTokens: props.Default.ContextTokens, Build: props.Build, Note: p.spec.Note},
	}, nil
}

// verifySaved checks the file that the server wrote and sets the entry's id, size and checksum.
func (p *Pool) verifySaved(ctx context.Context, path string, claimed int64, e *CacheEntry) error {
	tokens, err := readTokensFile(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return newError(events.ErrConflict, "pool "+p.spec.Name, "start the server with --slot-save-path "+p.spec.Slots, errors.New("the server saved the state in another directory"))
	case err != nil:
		return newError(events.ErrConflict, "the saved state", "", err)
	case len(tokens) == 0:
		return newError(events.ErrUsage, "slot", "let it process a prompt first", errors.New("it is empty"))
	case int64(len(tokens)) != claimed:
		return newError(events.ErrConflict, "the saved state", "", fmt.Errorf("it has %d tokens, but the server reported %d", len(tokens), claimed))
	}
	e.ID, e.Tokens = entryID(e.Model, e.Settings, tokens), int64(len(tokens))
	if e.SHA256, e.Bytes, err = hashFile(ctx, path); err != nil {
		return p.wrapError(err)
	}
	return p.wrapError(atomicfile.Sync(path))
}

// insert evicts entries if necessary and adds the state to the pool. It replaces an entry
// with the same key and keeps its pin.
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
	victims, ok := selectVictims(others, p.spec.Policy, e.Bytes, p.spec.Budget)
	if !ok {
		return newError(events.ErrFull, "pool "+p.spec.Name, "unpin or evict some entries, or create a larger pool",
			fmt.Errorf("%d bytes do not fit into its %d bytes", e.Bytes, p.spec.Budget))
	}
	if err := p.evict(victims); err != nil {
		return err
	}
	if err := p.remove(e.ID); err != nil { // first, so that no index file refers to another state
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
	out.Entry, out.Evicted = e, victims
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

// fileIdentity shows whether a file may have changed since it was hashed.
type fileIdentity struct {
	Device   uint64 `json:"device"`
	Inode    uint64 `json:"inode"`
	Bytes    int64  `json:"bytes"`
	Changed  int64  `json:"ctime_ns"`
	Modified int64  `json:"mtime_ns"`
	SHA256   string `json:"sha256"`
}

// modelHash returns the SHA-256 of a model file. It does not read an unchanged file again.
func (p *Pool) modelHash(ctx context.Context, path string) (string, error) {
	cache := filepath.Join(p.dir, "models.json")
	known := map[string]fileIdentity{}
	if err := readJSON(cache, &known); err != nil {
		known = map[string]fileIdentity{} // hash the model again
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
		return "", errors.New("it changed while it was read")
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
