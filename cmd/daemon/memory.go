package daemon

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"cortex/cmd/api"
	"cortex/cmd/config"
	"cortex/cmd/ids"
	"cortex/consumers/recorder"
	"cortex/embedded/cryptoshred"
	"cortex/events"
)

// memoryWriter appends the facts about remembered items, and destroys the keys of forgotten
// ones. The text of an item never goes through the stream of requests, because requests
// are not encrypted.
type memoryWriter struct {
	recorder *recorder.Recorder
	keys     cryptoshred.Keys
}

func newMemoryWriter(rec *recorder.Recorder, s config.Settings) memoryWriter {
	return memoryWriter{rec, cryptoshred.New(s.MemoryKeysDir())}
}

// UpdateMemory implements [api.Daemon].
func (srv *server) UpdateMemory(ctx context.Context, who events.Actor, m api.MemoryChange) (events.Position, error) {
	return srv.memoryWriter.update(ctx, who, m)
}

func (w memoryWriter) update(ctx context.Context, who events.Actor, m api.MemoryChange) (events.Position, error) {
	f, err := w.prepareFact(ctx, who.UID, m)
	if err != nil {
		return 0, err
	}
	rec, err := w.recorder.Append(ctx, recorder.Cause{}.WithActor(who), events.MachineSubject(w.recorder.Log.Host()), f, events.NoExpectation)
	return rec.Position, err
}

// prepareFact returns the fact of a change. It first seals the text, or destroys the keys,
// so that the fact is true when it is appended.
func (w memoryWriter) prepareFact(ctx context.Context, uid int, m api.MemoryChange) (events.Fact, error) {
	switch {
	case m.Preference != "":
		sealed, err := w.keys.Seal(uid, ids.New(), events.Redact(events.SanitizeLine(m.Preference, events.MaxPreferenceBytes)))
		return &events.PreferenceStated{UID: uid, Text: sealed}, err
	case m.DismissSuggestion != "":
		return &events.SuggestionDismissed{UID: uid, Suggestion: m.DismissSuggestion}, nil
	case m.ForgetAll:
		if err := w.keys.DestroyAll(uid); err != nil {
			return nil, fmt.Errorf("destroy the keys: %w", err)
		}
		return &events.MemoryForgotten{UID: uid, All: true}, nil
	}
	ids, err := w.statedKeys(ctx, uid, m.Forget)
	if err != nil {
		return nil, err
	}
	if err := w.keys.Destroy(uid, ids...); err != nil {
		return nil, fmt.Errorf("destroy the keys: %w", err)
	}
	return &events.MemoryForgotten{UID: uid, Entries: m.Forget}, nil
}

// statedKeys returns the keys of stated preferences. The name of a preference contains the
// position of its fact: p12 is at position 12.
func (w memoryWriter) statedKeys(ctx context.Context, uid int, names []string) ([]events.ID, error) {
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
		key, err := w.keyAt(ctx, uid, events.Position(at))
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

// keyAt returns the key of the preference that uid stated at a position. It returns "" if
// the event belongs to another user or is not a preference.
func (w memoryWriter) keyAt(ctx context.Context, uid int, at events.Position) (events.ID, error) {
	for rec, err := range w.recorder.Log.Read(ctx, events.Query{After: at - 1}) {
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
	return &events.Error{Op: "daemon.UpdateMemory", Kind: events.ErrNotFound, Subject: name, Err: errors.New("no remembered item of yours has this name"), Hint: "'cortex memory show' lists the names"}
}
