package ask_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"cortex/consumers/llm"
	"cortex/consumers/llm/ask"
	"cortex/consumers/llm/modeltest"
	"cortex/consumers/llm/openai"
	"cortex/consumers/llm/router"
	"cortex/consumers/recorder"
	"cortex/events"
	"cortex/events/memlog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func injections(tb testing.TB) []string {
	tb.Helper()
	f, err := os.Open("testdata/injections.txt")
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	var out []string
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		text, err := strconv.Unquote(lines.Text())
		if err != nil {
			tb.Fatalf("%s: %v", lines.Text(), err)
		}
		out = append(out, text)
	}
	if len(out) < 40 {
		tb.Fatalf("%d injections", len(out))
	}
	return out
}

func harmful(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsControl(r) && r != '\n' || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Co, r)
	})
}

// Text from packages and evidence stays in its own strings of the message, without
// control and direction characters.
func TestPromptInjectionStaysData(t *testing.T) {
	for _, text := range injections(t) {
		q := events.Question{
			Task: events.TaskInstall, Text: "a web server", Machine: "Debian",
			Needs:    []events.Need{{Phrase: text, Candidates: []events.Candidate{{Name: "nginx", Description: text}}}},
			Evidence: []events.Evidence{{Source: text, Text: text}},
		}
		r, err := ask.BuildPrompt(q)
		if err != nil {
			t.Fatal(err)
		}
		var m struct {
			Request string
			Machine string
			Found   []struct {
				Need     string
				Packages []struct{ Name, Description string }
			} `json:"packages_found"`
			Evidence []struct{ Source, Text string }
		}
		d := json.NewDecoder(strings.NewReader(r.Prompt))
		d.DisallowUnknownFields()
		if err := d.Decode(&m); err != nil || d.More() {
			t.Fatalf("%q breaks out: %v", text, err)
		}
		if m.Request != "a web server" || len(m.Found) != 1 || len(m.Found[0].Packages) != 1 || m.Found[0].Packages[0].Name != "nginx" {
			t.Errorf("%q changes the request: %+v", text, m)
		}
		if strings.Contains(r.System, text) {
			t.Errorf("%q is in the instructions", text)
		}
		for _, s := range []string{m.Found[0].Need, m.Found[0].Packages[0].Description, m.Evidence[0].Source, m.Evidence[0].Text} {
			if harmful(s) {
				t.Errorf("%q is sent as %q", text, s)
			}
		}
	}
}

// gullible returns the answer of a model that follows instructions in its data: it
// proposes every word that looks like a name.
func gullible(text string) string {
	type c struct {
		Name string `json:"name"`
		Why  string `json:"why"`
	}
	var list []c
	for _, w := range regexp.MustCompile(`[A-Za-z0-9./:=\-]+`).FindAllString(text, 10) {
		list = append(list, c{w, text})
	}
	b, _ := json.Marshal(map[string]any{"needs": []any{map[string]any{"words": text, "action": "install", "candidates": list}}, "note": text})
	return string(b)
}

// Of the answer of a model that was misled, only existing packages remain.
func TestProposalHasOnlyExistingPackages(t *testing.T) {
	index := map[events.PackageName]string{"nginx": "web server", "dpkg": "package manager", "sudo": "rights"}
	find := func(n events.PackageName) (events.Candidate, bool) {
		d, ok := index[n]
		return events.Candidate{Name: n, Description: d}, ok
	}
	for _, text := range injections(t) {
		for _, answer := range []string{text, gullible(text), `{"needs":[{"words":"x","action":"install","candidates":[{"name":` + strconv.Quote(text) + `,"why":""}]}],"note":""}`} {
			p, err := ask.ReadProposal(answer, find)
			if err != nil {
				continue // refused as a whole
			}
			if harmful(p.Note) {
				t.Errorf("%q: note %q", text, p.Note)
			}
			for _, n := range p.Needs {
				if harmful(n.Phrase) {
					t.Errorf("%q: words %q", text, n.Phrase)
				}
				for _, c := range n.Candidates {
					if index[c.Name] == "" || c.Description != index[c.Name] || harmful(strings.Join(c.Reasons, "")) || len(c.Reasons) != 1 || !strings.HasPrefix(c.Reasons[0], "the model says: ") {
						t.Errorf("%q: %+v", text, c)
					}
				}
			}
		}
	}
}

func FuzzReadProposal(f *testing.F) {
	f.Add(`{"needs":[{"words":"x","action":"install","candidates":[{"name":"nginx","why":"y"}]}],"note":""}`)
	f.Add(`{"needs":[],"note":"nothing"}`)
	f.Fuzz(func(t *testing.T, answer string) {
		p, err := ask.ReadProposal(answer, func(n events.PackageName) (events.Candidate, bool) {
			if err := n.Validate(); err != nil {
				t.Errorf("%q was looked up: %v", n, err)
			}
			return events.Candidate{Name: n}, true
		})
		if err == nil && len(p.Needs) == 0 && p.Note == "" {
			t.Error("an empty answer was accepted")
		}
	})
}

type shelf struct {
	mu   sync.Mutex
	kept map[string]ask.StoredAnswer
}

func (s *shelf) Find(_ context.Context, scope, exact, canon string) (ask.StoredAnswer, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range []string{scope + exact, scope + canon} {
		if k, ok := s.kept[key]; ok {
			return k, true, nil
		}
	}
	return ask.StoredAnswer{}, false, nil
}
func (s *shelf) Empty(context.Context) bool { return len(s.kept) == 0 }

func newAnalyst(tb testing.TB, url string, c ask.Cache) (*ask.Asker, events.Log) {
	tb.Helper()
	log := memlog.New("01940000-0000-7000-8000-000000000001")
	newID := func() events.ID { return events.ID(uuid.Must(uuid.NewV7()).String()) }
	p, err := openai.New(llm.Config{Name: "near", URL: url, Model: "m", IdleTimeout: 5 * time.Second})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.Close)
	budget := router.NewBudget(0, 0, time.Now)
	r := router.New(router.Config{Providers: []router.PricedProvider{{Provider: p, Price: &router.Price{Input: 3_000_000, Output: 15_000_000}}}, Budget: budget, Now: time.Now})
	sc := &recorder.Recorder{Log: log, Now: time.Now, NewID: newID, Actor: events.Actor{Program: "test"}}
	return ask.New(sc, ask.Config{Router: func() *router.ProviderRouter { return r }, Budget: budget, Cache: c, HasPackageIndex: func() bool { return true }, Now: time.Now, Report: func(err error) { tb.Error(err) }}), log
}

func facts(tb testing.TB, log events.Log) []events.Fact {
	tb.Helper()
	var out []events.Fact
	for r, err := range log.Read(context.Background(), events.Query{}) {
		if err != nil {
			tb.Fatal(err)
		}
		f, err := events.Decode(r.Event)
		if err != nil {
			tb.Fatal(err)
		}
		out = append(out, f)
	}
	return out
}

func TestQuestionIsRecordedBeforeAndAfter(t *testing.T) {
	var log events.Log
	s := modeltest.Start(nil)
	defer s.Close()
	a, log := newAnalyst(t, s.OpenAIURL(), &shelf{})
	s.SetAnswer(func(modeltest.RecordedCall) modeltest.CannedReply {
		last := facts(t, log)
		if _, ok := last[len(last)-1].(*events.LLMRequested); !ok {
			t.Errorf("the model was asked before the question was recorded: %T", last[len(last)-1])
		}
		return modeltest.CannedReply{Text: "because ghp_abcdefghijklmnopqrstuvwxyz0123456789", Input: 100, Output: 10}
	})
	q := events.Question{Task: events.TaskExplain, Text: "why, with password=hunter2?"}
	reply, err := a.Ask(t.Context(), events.Actor{}, q, nil)
	if err != nil || reply.Cost != 450 || reply.Text != "because ghp_[redacted]" {
		t.Errorf("%+v, %v", reply, err)
	}
	s.SetAnswer(func(modeltest.RecordedCall) modeltest.CannedReply {
		return modeltest.CannedReply{Text: "abc", DisconnectAfter: 1}
	})
	if _, err := a.Ask(t.Context(), events.Actor{}, q, nil); !errors.Is(err, events.ErrUnavailable) {
		t.Errorf("%v", err)
	}
	var kinds []string
	for _, f := range facts(t, log) {
		kinds = append(kinds, string(f.Kind()))
		if b, _ := json.Marshal(f); strings.Contains(string(b), "hunter2") || strings.Contains(string(b), "abcdefghijkl") {
			t.Errorf("a secret is recorded: %s", b)
		}
	}
	if got := strings.Join(kinds, " "); got != "llm.requested.v1 llm.completed.v1 llm.mode-changed.v1 llm.requested.v1 llm.failed.v1" {
		t.Errorf("%s", got)
	}
}

func TestCachedAnswerThatIsInvalidIsNotUsed(t *testing.T) {
	s := modeltest.Start(func(modeltest.RecordedCall) modeltest.CannedReply {
		return modeltest.CannedReply{Text: `{"needs":[],"note":"asked"}`}
	})
	defer s.Close()
	c := &shelf{kept: map[string]ask.StoredAnswer{"scopecanon": {Event: "e", Answer: `{"needs":[{"words":"x","action":"purge","candidates":[{"name":"dpkg","why":""}]}],"note":""}`}}}
	a, _ := newAnalyst(t, s.OpenAIURL(), c)
	q := events.Question{Task: events.TaskInstall, Text: "x", Scope: "scope", CanonicalKey: "canon"}
	if r, err := a.Ask(t.Context(), events.Actor{}, q, nil); err != nil || r.Cache != "" || !strings.Contains(r.Text, "asked") {
		t.Errorf("%+v, %v", r, err)
	}
	c.kept["scopecanon"] = ask.StoredAnswer{Event: "e", Answer: `{"needs":[],"note":"kept"}`, Match: "canonical"}
	if r, err := a.Ask(t.Context(), events.Actor{}, q, nil); err != nil || r.Cache != "canonical" || len(s.Calls()) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	q.OnlyProvider = "near" // who asks for one means it
	if r, err := a.Ask(t.Context(), events.Actor{}, q, nil); err != nil || r.Cache != "" {
		t.Errorf("%+v, %v", r, err)
	}
}

// Five users ask three questions each at the same time. Every answer belongs to its
// question, and every call is recorded before and after.
func TestConcurrentQuestions(t *testing.T) {
	s := modeltest.Start(func(c modeltest.RecordedCall) modeltest.CannedReply {
		i := strings.LastIndex(c.Prompt, "question ")
		return modeltest.CannedReply{Text: "answer to " + strings.TrimSpace(c.Prompt[i:])}
	})
	defer s.Close()
	a, log := newAnalyst(t, s.OpenAIURL(), &shelf{})
	var wg sync.WaitGroup
	for i := range 5 {
		for j := range 3 {
			wg.Go(func() {
				text := fmt.Sprintf("question %d-%d", i, j)
				r, err := a.Ask(t.Context(), events.Actor{}, events.Question{Task: events.TaskConversation, Text: text}, nil)
				if err != nil || !strings.HasPrefix(r.Text, "answer to "+text) {
					t.Errorf("%s: %q, %v", text, r.Text, err)
				}
			})
		}
	}
	wg.Wait()
	count := map[string]int{}
	for _, f := range facts(t, log) {
		count[fmt.Sprintf("%T", f)]++
	}
	if count["*events.LLMRequested"] != 15 || count["*events.LLMCompleted"] != 15 {
		t.Errorf("%v", count)
	}
}

func BenchmarkFiveQuestions(b *testing.B) {
	s := modeltest.Start(func(modeltest.RecordedCall) modeltest.CannedReply {
		return modeltest.CannedReply{Text: "ok", Delay: time.Second}
	})
	defer s.Close()
	a, _ := newAnalyst(b, s.OpenAIURL(), &shelf{})
	ask := func(i int) {
		if _, err := a.Ask(context.Background(), events.Actor{}, events.Question{Task: events.TaskConversation, Text: fmt.Sprint("question ", i)}, nil); err != nil {
			b.Error(err)
		}
	}
	b.Run("in-turn", func(b *testing.B) {
		for b.Loop() {
			for i := range 5 {
				ask(i)
			}
		}
	})
	b.Run("at-once", func(b *testing.B) {
		for b.Loop() {
			var wg sync.WaitGroup
			for i := range 5 {
				wg.Go(func() { ask(i) })
			}
			wg.Wait()
		}
	})
}
