package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"cortex/consumers/policy"
	"cortex/events"
)

// policy returns the policy of this machine. It needs the engine.
func (s *Service) policy() (Policy, error) {
	if s.Engine.Policy == nil {
		return nil, s.BecomeEngine()
	}
	return s.Engine.Policy(s.Settings), nil
}

// PolicyRules lists the rules in the order of evaluation, with the version of the policy.
// If a rule file is invalid, it also returns ErrUsage.
func (s *Service) PolicyRules() (list []policy.Rule, version string, err error) {
	p, err := s.policy()
	if err != nil {
		return nil, "", err
	}
	list, version, invalid := p.List()
	return list, version, ruleFileError(invalid)
}

// ruleFileError adds to the error of a rule file what follows from it.
func ruleFileError(err error) error {
	if err == nil {
		return nil
	}
	return &events.Error{Op: "app.Policy", Kind: events.ErrUsage, Err: err, Hint: "until the file is fixed, every plan is denied"}
}

// PolicyVerdict is how the policy decides about the plan of a transaction. Denial is nil if
// the plan is allowed.
type PolicyVerdict struct {
	Version     string // of the policy
	Transaction int
	Denial      policy.Decision
}

// CheckPlan evaluates the plan of a transaction with the rules as they are now.
func (s *Service) CheckPlan(ctx context.Context, ref string) (PolicyVerdict, error) {
	if _, _, err := s.PolicyRules(); err != nil {
		return PolicyVerdict{}, err
	}
	p, err := s.policy()
	if err != nil {
		return PolicyVerdict{}, err
	}
	d, err := s.ResolveTransaction(ctx, ref)
	if err != nil {
		return PolicyVerdict{}, err
	}
	if d.Plan == nil {
		return PolicyVerdict{}, &events.Error{
			Op: "app.CheckPlan", Kind: events.ErrNotFound, Subject: fmt.Sprintf("transaction %d", d.Number), Err: errors.New("the transaction has no plan"),
			Hint: fmt.Sprintf("see: cortex show %d", d.Number),
		}
	}
	denial, version := p.Evaluate(policy.Input{
		Plan:   events.Plan{Changes: d.Plan.Changes, DownloadBytes: d.Plan.DownloadBytes, DiskDelta: d.Plan.DiskDelta},
		Intent: events.Intent{Verb: d.Verb, CommandLine: d.CommandLine}, Actor: d.Actor, Now: time.Now(),
	})
	return PolicyVerdict{version, d.Number, denial}, nil
}

// TestPolicy evaluates the test cases in a file.
func (s *Service) TestPolicy(file string) ([]policy.TestResult, error) {
	if _, _, err := s.PolicyRules(); err != nil {
		return nil, err
	}
	p, err := s.policy()
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, &events.Error{
			Op: "app.TestPolicy", Kind: events.ErrNotFound, Subject: file, Err: errors.Unwrap(err),
			Hint: "'cortex policy test --help' shows the form of a file with test cases",
		}
	}
	results, err := s.Engine.PolicyCases(text, p)
	if err != nil {
		return nil, &events.Error{Op: "app.TestPolicy", Kind: events.ErrUsage, Subject: file, Err: err}
	}
	return results, nil
}
