package slotcache

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"cortex/events"
)

// RestoreRequest says what to restore, and where to.
type RestoreRequest struct {
	Slot  int
	Entry string // an id or the start of one, a label, or last; "" with a prompt
	// Prompt, when set, chooses the entry that shares most tokens with it, and is
	// processed afterwards, so that the slot is ready for it.
	Prompt string
	Model  string // as in SaveRequest
}

// RestoreResult is the outcome of a restore. The counts are tokens.
type RestoreResult struct {
	Entry    *CacheEntry `json:"entry,omitempty"` // nil when none was good for the prompt
	Restored int64       `json:"tokens_restored"`
	Prompt   int64       `json:"prompt_tokens,omitempty"`
	// Processed and Spared are what the server says of the prompt.
	Processed int64 `json:"tokens_processed,omitempty"`
	Reused    int64 `json:"tokens_not_reprocessed,omitempty"`
	Expired   int   `json:"expired"` // entries whose model has changed
}

// Restore puts a saved state into a slot. The file is read and compared with its
// checksum first; one that differs is removed and the error is ErrCorrupt. A
// state of another model or other settings is ErrConflict.
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
		if !errors.Is(err, events.ErrCorrupt) { // a damaged one is gone; the next may do
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

// bestMatches lists the entries that are good for these tokens, best first.
func (p *Pool) bestMatches(here CacheEntry, tokens []Token) []CacheEntry {
	shared := map[string]int{}
	var out []CacheEntry
	for _, e := range p.entries {
		if e.Model != here.Model || e.Settings != here.Settings {
			continue
		}
		has, err := readTokensFile(p.statePath(e.ID))
		if err != nil {
			continue // found out by its checksum when it is asked for by name
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

// restoreEntry verifies one entry and makes the server restore it.
func (p *Pool) restoreEntry(ctx context.Context, s LlamaServer, slot int, here, e CacheEntry, out *RestoreResult) error {
	switch {
	case e.Model != here.Model:
		return newError(events.ErrConflict, "entry "+e.ID, "", errors.New("is of another model than the server runs"))
	case e.Settings != here.Settings:
		return newError(events.ErrConflict, "entry "+e.ID, "",
			fmt.Errorf("was saved with other settings (%+v) than the server has (%+v)", e.Settings, here.Settings))
	}
	sum, n, err := hashFile(ctx, p.statePath(e.ID))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil || sum != e.SHA256 || n != e.Bytes {
		p.stats.Damaged++
		return errors.Join(newError(events.ErrCorrupt, "entry "+e.ID, "it was removed; save it again", errors.New("is not what was saved")), p.remove(e.ID), p.saveStats())
	}
	answer, err := s.slot(ctx, slot, "restore", p.stateName(e.ID))
	if err != nil {
		return err
	}
	if answer.Restored != e.Tokens {
		_, err := s.slot(ctx, slot, "erase", "")
		return errors.Join(newError(events.ErrConflict, "entry "+e.ID, "start the server with --slot-save-path "+p.spec.Slots,
			fmt.Errorf("has %d tokens, and the server restored %d: it was erased again", e.Tokens, answer.Restored)), err)
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
