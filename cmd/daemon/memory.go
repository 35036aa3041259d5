package daemon

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"cortex/cmd/api"
	"cortex/cmd/config"
	"cortex/cmd/parts"
	"cortex/consumers/recorder"
	"cortex/embedded/cryptoshred"
	"cortex/events"
)

// memoryWriter writes what people want remembered about themselves into the log, and
// destroys the keys of what is to be forgotten. What they say never goes through
// the stream of requests, where it would lie in the clear.
type memoryWriter struct {
	recorder *recorder.Recorder
	keys     cryptoshred.Keys
}

func newMemoryWriter(sc *recorder.Recorder, s config.Settings) memoryWriter {
	return memoryWriter{sc, cryptoshred.New(s.MemoryKeysDir())}
}

// UpdateMemory implements [api.Daemon].
func (in *server) UpdateMemory(ctx context.Context, who events.Actor, m api.MemoryChange) (events.Position, error) {
	return in.memoryWriter.update(ctx, who, m)
}

func (r memoryWriter) update(ctx context.Context, who events.Actor, m api.MemoryChange) (events.Position, error) {
	f, err := r.prepareFact(ctx, who.UID, m)
	if err != nil {
		return 0, err
	}
	rec, err := r.recorder.Append(ctx, recorder.Cause{}.WithActor(who), events.MachineSubject(r.recorder.Log.Host()), f, events.NoExpectation)
	return rec.Position, err
}

// prepareFact does what must be done before a fact is true, and gives it.
func (r memoryWriter) prepareFact(ctx context.Context, uid int, m api.MemoryChange) (events.Fact, error) {
	switch {
	case m.Preference != "":
		sealed, err := r.keys.Seal(uid, parts.NewID(), events.Redact(events.SanitizeLine(m.Preference, events.MaxPreferenceBytes)))
		return &events.PreferenceStated{UID: uid, Text: sealed}, err
	case m.DismissSuggestion != "":
		return &events.SuggestionDismissed{UID: uid, Suggestion: m.DismissSuggestion}, nil
	case m.ForgetAll:
		if err := r.keys.DestroyAll(uid); err != nil {
			return nil, fmt.Errorf("destroy the keys: %w", err)
		}
		return &events.MemoryForgotten{UID: uid, All: true}, nil
	}
	ids, err := r.statedKeys(ctx, uid, m.Forget)
	if err != nil {
		return nil, err
	}
	if err := r.keys.Destroy(uid, ids...); err != nil {
		return nil, fmt.Errorf("destroy the keys: %w", err)
	}
	return &events.MemoryForgotten{UID: uid, Entries: m.Forget}, nil
}

// statedKeys finds the keys of memories that were stated, in the facts they are named
// for: p12 is at position 12.
func (r memoryWriter) statedKeys(ctx context.Context, uid int, names []string) ([]events.ID, error) {
	var out []events.ID
	for _, name := range names {
		digits, stated := strings.CutPrefix(name, "p")
		if !stated {
			continue
		}
		at, err := strconv.ParseUint(digits, 10, 63)
		if err != nil {
			return nil, memoryNotFound(name)
		}
		key, err := r.keyAt(ctx, uid, events.Position(at))
		if err != nil {
			return nil, err
		}
		if key == "" {
			return nil, memoryNotFound(name)
		}
		out = append(out, key)
	}
	return out, nil
}

// keyAt is the key of what a person said at a position; "" when it was not they, or
// nothing was said there.
func (r memoryWriter) keyAt(ctx context.Context, uid int, at events.Position) (events.ID, error) {
	for rec, err := range r.recorder.Log.Read(ctx, events.Query{After: at - 1}) {
		if err != nil {
			return "", err
		}
		if rec.Position != at || rec.Kind != events.KindPreferenceStated {
			return "", nil
		}
		f, err := events.Decode(rec.Event)
		if err != nil {
			return "", err
		}
		if f, ok := f.(*events.PreferenceStated); ok && f.UID == uid {
			return f.Text.Key, nil
		}
		return "", nil
	}
	return "", nil
}

func memoryNotFound(name string) error {
	return &events.Error{Op: "daemon.remember", Kind: events.ErrNotFound, Subject: name, Err: errors.New("you said nothing by this name"), Hint: "'cortex memory show' names them"}
}
