package slotcache

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"cortex/events"
)

// RestoreRequest names the entry to restore and the slot.
type RestoreRequest struct {
	Slot  int
	Entry string // an id, a prefix of an id, a label, or last; "" with a prompt
	// Prompt, when set, selects the entry with the longest common prefix. The server
	// processes the rest of the prompt after the restore.
	Prompt string
	Model  string // as in SaveRequest
}

// RestoreResult is the outcome of a restore. The counts are tokens.
type RestoreResult struct {
	Entry    *CacheEntry `json:"entry,omitempty"` // nil when no entry matched the prompt
	Restored int64       `json:"tokens_restored"`
	Prompt   int64       `json:"prompt_tokens,omitempty"`
	// Processed and Reused are tokens of the prompt, as reported by the server.
	Processed int64 `json:"tokens_processed,omitempty"`
	Reused    int64 `json:"tokens_not_reprocessed,omitempty"`
	Expired   int   `json:"expired"` // entries whose model has changed
}

// Restore restores a saved state to a slot. It checks the checksum first; a state that
// does not match is removed, and the error is ErrCorrupt. A state of another model or
// with other settings is ErrConflict.
func (p *Pool) Restore(ctx context.Context, s LlamaServer, r RestoreRequest) (out RestoreResult, err error) {
	here, err := p.describeServer(ctx, s, r.Slot, r.Model)
	if err != nil {
		return out, err
	}
	if out.Expired, err = p.expire(here.ModelPath, here.Model); err != nil {
		return out, err
	}
	if r.Prompt == "" {
		e, err := p.find(r.Entry)
		if err != nil {
			return out, err
		}
		return out, p.restoreEntry(ctx, s, r.Slot, here, e, &out)
	}
	tokens, err := s.tokenize(ctx, r.Prompt)
	if err != nil {
		return out, err
	}
	out.Prompt = int64(len(tokens))
	for _, e := range p.bestMatches(here, tokens) {
		err := p.restoreEntry(ctx, s, r.Slot, here, e, &out)
		if err == nil {
			break
		}
		if !errors.Is(err, events.ErrCorrupt) { // a damaged entry was removed; try the next
			return out, err
		}
	}
	if out.Entry == nil {
		p.stats.Misses++
	}
	if out.Processed, err = s.prefill(ctx, r.Slot, tokens); err != nil {
		return out, errors.Join(err, p.saveStats())
	}
	if out.Entry != nil {
		out.Reused = max(0, out.Prompt-out.Processed)
		p.stats.TokensReused += out.Reused
	}
	return out, p.saveStats()
}

// bestMatches returns the entries with a common prefix with these tokens, longest first.
func (p *Pool) bestMatches(here CacheEntry, tokens []Token) []CacheEntry {
	shared := map[string]int{}
	var out []CacheEntry
	for _, e := range p.entries {
		if e.Model != here.Model || e.Settings != here.Settings {
			continue
		}
		has, err := readTokensFile(p.statePath(e.ID))
		if err != nil {
			continue // a restore by name reports it
		}
		if n := commonPrefix(has, tokens); n > 0 {
			shared[e.ID] = n
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(a, b CacheEntry) int {
		return cmp.Or(cmp.Compare(shared[b.ID], shared[a.ID]), cmp.Compare(a.Bytes, b.Bytes), evictionOrder(LRU, b, a))
	})
	return out
}

// restoreEntry verifies one entry and lets the server restore it.
func (p *Pool) restoreEntry(ctx context.Context, s LlamaServer, slot int, here, e CacheEntry, out *RestoreResult) error {
	switch {
	case e.Model != here.Model:
		return newError(events.ErrConflict, "entry "+e.ID, "", errors.New("it belongs to another model than the server runs"))
	case e.Settings != here.Settings:
		return newError(events.ErrConflict, "entry "+e.ID, "",
			fmt.Errorf("it was saved with %s, but the server has %s", e.Settings, here.Settings))
	}
	sum, n, err := hashFile(ctx, p.statePath(e.ID))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil || sum != e.SHA256 || n != e.Bytes {
		p.stats.Damaged++
		return errors.Join(newError(events.ErrCorrupt, "entry "+e.ID, "the entry was removed; save the state again", errors.New("its state file is missing or damaged")), p.remove(e.ID), p.saveStats())
	}
	answer, err := s.slot(ctx, slot, "restore", p.stateName(e.ID))
	if err != nil {
		return err
	}
	if answer.Restored != e.Tokens {
		_, err := s.slot(ctx, slot, "erase", "")
		return errors.Join(newError(events.ErrConflict, "entry "+e.ID, "start the server with --slot-save-path "+p.spec.Slots,
			fmt.Errorf("it has %d tokens, but the server restored %d; the slot was erased", e.Tokens, answer.Restored)), err)
	}
	e.Uses++
	e.UsedSeq, e.UsedAt = p.nextSeq(), p.now().UTC()
	if err := p.writeIndex(e); err != nil {
		return err
	}
	p.stats.Restores++
	p.stats.TokensRestored += e.Tokens
	out.Entry, out.Restored = &e, e.Tokens
	return p.saveStats()
}
