package app

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"cortex/cmd/api"
	"cortex/cmd/client"
	"cortex/cmd/config"
	"cortex/events"
	"cortex/projections/usage"
)

// ProviderInfo is a configured model provider, and whether it is used. Its JSON form is part
// of 'cortex llm providers --json'.
type ProviderInfo struct {
	Name     string `json:"name"`
	Protocol string `json:"protocol"`
	URL      string `json:"url"`
	Model    string `json:"model"`
	Key      string `json:"key"` // where the key is stored, or "none"
	Price    string `json:"price,omitempty"`
	RPM      int    `json:"rpm,omitempty"`
	TPM      int    `json:"tpm,omitempty"`
	Used     bool   `json:"used"`
	Why      string `json:"why,omitempty"` // why it is not used
}

// Providers lists the known providers.
func (s *Service) Providers() ([]ProviderInfo, error) {
	all, err := s.Settings.ModelProviders(s.Env)
	if err != nil {
		return nil, err
	}
	var list []ProviderInfo
	for _, p := range all {
		list = append(list, s.describeProvider(p))
	}
	return list, nil
}

func (s *Service) describeProvider(p config.ModelProvider) ProviderInfo {
	v := ProviderInfo{Name: p.Name, Protocol: p.Protocol, URL: p.URL, Model: p.Model, Price: p.Price, RPM: p.RPM, TPM: p.TPM, Key: "none"}
	key, from, err := s.Settings.ModelKey(p.Name, s.Env)
	if key != "" {
		v.Key = from
	}
	switch {
	case err != nil:
		v.Why = err.Error()
	case p.Model == "":
		v.Why = "no model is set"
	case p.URL == "":
		v.Why = "no address is set"
	case p.NeedsKey && key == "":
		v.Why = "no key is set: cortex llm key " + p.Name
	default:
		v.Used = true
	}
	return v
}

// ProvidersHealth asks the daemon for the state of the providers; with probe it also tests
// whether each answers.
func (s *Service) ProvidersHealth(ctx context.Context, probe bool) (api.ModelProvidersStatus, error) {
	c, _, err := s.Connect(ctx)
	if err != nil {
		return api.ModelProvidersStatus{}, err
	}
	return c.ModelProvidersStatus(ctx, probe)
}

// ModelUsage sums up questions, answers and costs since a time.
func (s *Service) ModelUsage(ctx context.Context, since string) (report usage.Report, err error) {
	from, err := ParseTime(since)
	if err != nil {
		return report, err
	}
	err = s.ReadModel(ctx, usage.Name, func(db *sql.DB) (err error) {
		report, err = usage.NewReader(db).Report(ctx, from)
		return err
	})
	return report, err
}

// testQuestion is the question of a provider test.
const testQuestion = "Answer with the one word: ready"

// ProviderTest is the result of one test question. Its JSON form is part of 'cortex llm
// test --json'.
type ProviderTest struct {
	Provider  string          `json:"provider"`
	Model     string          `json:"model,omitempty"`
	LatencyMs int64           `json:"latency_ms"`
	Cost      int64           `json:"cost_uusd"`
	Error     *events.Failure `json:"error,omitempty"`
}

// TestProviders asks the named provider, or all usable ones if name is empty, a short
// question. It fails with ErrNotFound if there is none.
func (s *Service) TestProviders(ctx context.Context, name string) ([]ProviderTest, error) {
	c, _, err := s.Connect(ctx)
	if err != nil {
		return nil, err
	}
	m, err := c.ModelProvidersStatus(ctx, false)
	if err != nil {
		return nil, err
	}
	var list []ProviderTest
	for _, p := range m.Providers {
		if name == "" || p.Name == name {
			list = append(list, testProvider(ctx, c, p.Name))
		}
	}
	if len(list) == 0 {
		return nil, &events.Error{
			Op: "app.TestProviders", Kind: events.ErrNotFound, Subject: name, Err: errors.New("no such provider can be used"),
			Hint: "'cortex llm providers' shows why",
		}
	}
	return list, nil
}

func testProvider(ctx context.Context, c *client.Client, name string) ProviderTest {
	start := time.Now()
	reply, err := c.Ask(ctx, events.Question{Task: events.TaskConversation, Text: testQuestion, OnlyProvider: name}, nil)
	t := ProviderTest{Provider: name, Model: reply.Model, LatencyMs: time.Since(start).Milliseconds(), Cost: reply.Cost}
	if err != nil {
		f := events.FailureOf(err)
		t.Error = &f
	}
	return t
}

// RecordedAnswer is a model's answer from the log.
type RecordedAnswer struct {
	Event  events.ID
	At     time.Time
	Answer *events.LLMCompleted
}

// RecordedAnswer returns the answer that an llm event records; id names the event or its
// request. It fails with ErrNotFound if there is none.
func (s *Service) RecordedAnswer(ctx context.Context, id string) (RecordedAnswer, error) {
	c, _, err := s.Connect(ctx)
	if err != nil {
		return RecordedAnswer{}, err
	}
	for r, err := range Facts(ctx, c, client.StreamOptions{Kind: string(events.KindLLMCompleted)}) {
		if err != nil {
			return RecordedAnswer{}, err
		}
		if string(r.ID) != id && string(r.Causation) != id {
			continue
		}
		f, err := events.Decode(r.Event)
		if err != nil {
			return RecordedAnswer{}, err
		}
		if done, ok := f.(*events.LLMCompleted); ok {
			return RecordedAnswer{r.ID, r.Time, done}, nil
		}
	}
	return RecordedAnswer{}, &events.Error{
		Op: "app.RecordedAnswer", Kind: events.ErrNotFound, Subject: id, Err: errors.New("no recorded answer has this id"),
		Hint: "to list the ids: cortex events list --type 'llm.*'",
	}
}

// SaveProviderKey stores the key of a provider, or removes it if key is empty. It returns
// the file.
func (s *Service) SaveProviderKey(provider, key string) (path string, err error) {
	name, err := config.ParseProviderName(provider)
	if err != nil {
		return "", err
	}
	return s.Settings.SaveModelKey(name, key, s.Env)
}

// CheckProviderName returns ErrUsage unless name can be the name of a provider.
func (s *Service) CheckProviderName(name string) error {
	_, err := config.ParseProviderName(name)
	return err
}
