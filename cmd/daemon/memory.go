package daemon

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"cortex/cmd/door"
	"cortex/cmd/parts"
	"cortex/cmd/settings"
	"cortex/consumers/scribe"
	"cortex/embedded/keys"
	"cortex/events"
)

// remembering writes what people want remembered about themselves into the log, and
// destroys the keys of what is to be forgotten. What they say never goes through
// the stream of requests, where it would lie in the clear.
type remembering struct {
	scribe *scribe.Scribe
	keys   keys.Keys
}

func newRemembering(sc *scribe.Scribe, s settings.Settings) remembering {
	return remembering{sc, keys.New(s.MemoryKeys())}
}

// Remember implements [door.Backend].
func (in *inside) Remember(ctx context.Context, who events.Actor, m door.Memo) (events.Position, error) {
	return in.memory.remember(ctx, who, m)
}

func (r remembering) remember(ctx context.Context, who events.Actor, m door.Memo) (events.Position, error) {
	f, err := r.fact(ctx, who.UID, m)
	if err != nil {
		return 0, err
	}
	rec, err := r.scribe.Append(ctx, scribe.Cause{}.By(who), events.MachineSubject(r.scribe.Log.Host()), f, events.Anything)
	return rec.Position, err
}

// fact does what must be done before a fact is true, and gives it.
func (r remembering) fact(ctx context.Context, uid int, m door.Memo) (events.Fact, error) {
	switch {
	case m.State != "":
		sealed, err := r.keys.Seal(uid, parts.NewID(), events.Redact(events.Line(m.State, events.MaxPreferenceBytes)))
		return &events.MemoryStated{UID: uid, Text: sealed}, err
	case m.Dismiss != "":
		return &events.SuggestionDismissed{UID: uid, Suggestion: m.Dismiss}, nil
	case m.ForgetAll:
		if err := r.keys.DestroyAll(uid); err != nil {
			return nil, fmt.Errorf("destroy the keys: %w", err)
		}
		return &events.MemoryForgotten{UID: uid, All: true}, nil
	}
	ids, err := r.sealing(ctx, uid, m.Forget)
	if err != nil {
		return nil, err
	}
	if err := r.keys.Destroy(uid, ids...); err != nil {
		return nil, fmt.Errorf("destroy the keys: %w", err)
	}
	return &events.MemoryForgotten{UID: uid, Entries: m.Forget}, nil
}

// sealing finds the keys of memories that were stated, in the facts they are named
// for: p12 is at position 12.
func (r remembering) sealing(ctx context.Context, uid int, names []string) ([]events.ID, error) {
	var out []events.ID
	for _, name := range names {
		digits, stated := strings.CutPrefix(name, "p")
		if !stated {
			continue
		}
		at, err := strconv.ParseUint(digits, 10, 63)
		if err != nil {
			return nil, noMemory(name)
		}
		key, err := r.keyAt(ctx, uid, events.Position(at))
		if err != nil {
			return nil, err
		}
		if key == "" {
			return nil, noMemory(name)
		}
		out = append(out, key)
	}
	return out, nil
}

// keyAt is the key of what a person said at a position; "" when it was not they, or
// nothing was said there.
func (r remembering) keyAt(ctx context.Context, uid int, at events.Position) (events.ID, error) {
	for rec, err := range r.scribe.Log.Read(ctx, events.Query{After: at - 1}) {
		if err != nil {
			return "", err
		}
		if rec.Position != at || rec.Kind != events.KindMemoryStated {
			return "", nil
		}
		f, err := events.Decode(rec.Event)
		if err != nil {
			return "", err
		}
		if f, ok := f.(*events.MemoryStated); ok && f.UID == uid {
			return f.Text.Key, nil
		}
		return "", nil
	}
	return "", nil
}

func noMemory(name string) error {
	return &events.Error{Op: "daemon.remember", Kind: events.ErrNotFound, Subject: name, Err: errors.New("you said nothing by this name"), Hint: "'cortex memory show' names them"}
}
