package cel

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"cortex/consumers/policy"
	"cortex/events"
)

// allow is the expected result of a case that no rule denies.
const allow = "allow"

type testCase struct {
	Name    string `yaml:"name"`
	Verb    string `yaml:"verb"`
	Words   string `yaml:"words"`
	Changes []struct {
		Name      string `yaml:"name"`
		Arch      string `yaml:"arch"`
		Action    string `yaml:"action"`
		From      string `yaml:"from"`
		To        string `yaml:"to"`
		Origin    string `yaml:"origin"`
		Automatic bool   `yaml:"automatic"`
		Essential bool   `yaml:"essential"`
		Download  int64  `yaml:"download"`
		Disk      int64  `yaml:"disk"`
	} `yaml:"changes"`
	Who struct {
		UID      int    `yaml:"uid"`
		User     string `yaml:"user"`
		SudoUser string `yaml:"sudo_user"`
		Program  string `yaml:"program"`
	} `yaml:"who"`
	Now  time.Time `yaml:"now"`
	Want string    `yaml:"want"`
}

// RunTests evaluates the plans of a YAML text and compares the results with the expected
// ones.
func RunTests(text []byte, j policy.Evaluator) ([]policy.TestResult, error) {
	var doc struct {
		Cases []testCase `yaml:"cases"`
	}
	d := yaml.NewDecoder(strings.NewReader(string(text)))
	d.KnownFields(true)
	if err := d.Decode(&doc); err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if len(doc.Cases) == 0 {
		return nil, errors.New("the list \"cases\" is empty")
	}
	var out []policy.TestResult
	for i, w := range doc.Cases {
		if w.Want == "" {
			return nil, fmt.Errorf("case %d, %q: \"want\" is missing", i+1, w.Name)
		}
		v, _ := j.Evaluate(w.input())
		got := allow
		if v != nil {
			got = v.Rule
		}
		out = append(out, policy.TestResult{Name: w.Name, Want: w.Want, Got: got, OK: got == w.Want})
	}
	return out, nil
}

func (w testCase) input() policy.Input {
	c := policy.Input{
		Intent: events.Intent{Verb: events.Verb(w.Verb), CommandLine: w.Words},
		Actor:  events.Actor{UID: w.Who.UID, User: w.Who.User, SudoUser: w.Who.SudoUser, Program: w.Who.Program}, Now: w.Now,
	}
	for _, x := range w.Changes {
		c.Plan.Changes = append(c.Plan.Changes, events.PlannedChange{
			PackageKey: events.PackageKey{Name: events.PackageName(x.Name), Arch: events.Architecture(x.Arch)}, Action: events.Action(x.Action),
			From: events.Version(x.From), To: events.Version(x.To), Origin: x.Origin, Automatic: x.Automatic, Essential: x.Essential, DownloadBytes: x.Download, DiskDelta: x.Disk,
		})
		c.Plan.DownloadBytes += x.Download
		c.Plan.DiskDelta += x.Disk
	}
	return c
}
