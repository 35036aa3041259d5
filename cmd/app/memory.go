package app

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"cortex/cmd/api"
	"cortex/embedded/cryptoshred"
	"cortex/embedded/sqlite"
	"cortex/events"
	"cortex/projections/memory"
)

// memoryReader reads what is remembered about the user.
func (s *Service) memoryReader(db *sql.DB) *memory.Reader {
	return memory.NewReader(db, s.UID, cryptoshred.New(s.Settings.MemoryKeysDir()).Unseal)
}

// readMemory queries what is remembered about the user.
func (s *Service) readMemory(ctx context.Context, ask func(*memory.Reader) error) error {
	return s.ReadModel(ctx, memory.Name, func(db *sql.DB) error { return ask(s.memoryReader(db)) })
}

// Memory lists what is remembered about the user.
func (s *Service) Memory(ctx context.Context) ([]memory.RememberedItem, error) {
	list := []memory.RememberedItem{}
	err := s.readMemory(ctx, func(r *memory.Reader) error {
		found, err := r.List(ctx)
		list = append(list[:0], found...)
		return err
	})
	return list, err
}

// CachedMemory lists what is remembered as far as the read model can be read as it is, for
// completion. It starts no daemon.
func (s *Service) CachedMemory(ctx context.Context) (list []memory.RememberedItem, err error) {
	err = s.QueryModel(ctx, memory.Name, func(db *sql.DB) (err error) {
		list, err = s.memoryReader(db).List(ctx)
		return err
	})
	return list, err
}

// RememberedItem returns the remembered item with this name, or ErrNotFound.
func (s *Service) RememberedItem(ctx context.Context, name string) (memory.RememberedItem, error) {
	list, err := s.Memory(ctx)
	if err != nil {
		return memory.RememberedItem{}, err
	}
	i := slices.IndexFunc(list, func(e memory.RememberedItem) bool { return e.Name == name })
	if i < 0 {
		return memory.RememberedItem{}, &events.Error{
			Op: "app.Memory", Kind: events.ErrNotFound, Subject: name, Err: errors.New("no remembered item of yours has this name"),
			Hint: "to list the names: cortex memory show",
		}
	}
	return list[i], nil
}

// SearchMemory lists the remembered items that contain all words, best match first.
func (s *Service) SearchMemory(ctx context.Context, words string) ([]memory.RememberedItem, error) {
	list, err := s.Memory(ctx)
	if err != nil {
		return nil, err
	}
	index, err := sqlite.OpenInMemory()
	if err != nil {
		return nil, err
	}
	found, err := memory.Search(ctx, index, list, words)
	return found, errors.Join(err, index.Close())
}

// Remember stores a preference of the user and returns the position of its event.
func (s *Service) Remember(ctx context.Context, text string) (events.Position, error) {
	text = strings.TrimSpace(text)
	if text == "" || len(text) > events.MaxPreferenceBytes {
		return 0, &events.Error{
			Op: "app.Remember", Kind: events.ErrUsage, Subject: "preference",
			Err: fmt.Errorf("it has %d bytes; 1 to %d are allowed", len(text), events.MaxPreferenceBytes),
		}
	}
	return s.changeMemory(ctx, api.MemoryChange{Preference: text})
}

// Forget deletes the named items.
func (s *Service) Forget(ctx context.Context, names []string) (events.Position, error) {
	for _, name := range names {
		if _, err := s.RememberedItem(ctx, name); err != nil {
			return 0, err
		}
	}
	return s.changeMemory(ctx, api.MemoryChange{Forget: names})
}

// ForgetAll deletes everything that is remembered about the user.
func (s *Service) ForgetAll(ctx context.Context) (events.Position, error) {
	return s.changeMemory(ctx, api.MemoryChange{ForgetAll: true})
}

// changeMemory changes what is remembered, and waits until the read models show it.
func (s *Service) changeMemory(ctx context.Context, m api.MemoryChange) (events.Position, error) {
	c, _, err := s.Connect(ctx)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, AnswerTimeout)
	defer cancel()
	return c.UpdateMemory(ctx, m)
}

// Suggestions lists what the history of this machine suggests to do.
func (s *Service) Suggestions(ctx context.Context) (list []memory.Suggestion, err error) {
	err = s.readMemory(ctx, func(r *memory.Reader) error {
		list, err = r.Suggestions(ctx)
		return err
	})
	return list, err
}

// DismissSuggestion hides a suggestion from now on. It fails with ErrNotFound if there is
// no such suggestion.
func (s *Service) DismissSuggestion(ctx context.Context, id string) (events.Position, error) {
	list, err := s.Suggestions(ctx)
	if err != nil {
		return 0, err
	}
	if !slices.ContainsFunc(list, func(x memory.Suggestion) bool { return x.ID == id }) {
		return 0, &events.Error{
			Op: "app.DismissSuggestion", Kind: events.ErrNotFound, Subject: strconv.Quote(id), Err: errors.New("no suggestion has this id"),
			Hint: "to list the ids: cortex suggest",
		}
	}
	return s.changeMemory(ctx, api.MemoryChange{DismissSuggestion: id})
}
