// Package policy decides whether a plan may run.
//
// It promises:
//
//   - The decision depends on the plan, the user and the time. The words of a request
//     reach a rule, but the built-in invariants ignore them.
//   - No rule and no option overrides the invariants.
//   - A rule that cannot be read or evaluated denies every plan.
//   - The same input under the same rules has the same decision.
//
// Package cel has the rules of the machine's owner.
package policy

import (
	"strings"
	"time"

	"cortex/events"
)

// Input is the input of a decision: a plan, its request and user, and the time.
type Input struct {
	Plan   events.Plan
	Intent events.Intent
	Actor  events.Actor
	Now    time.Time // in the machine's zone
}

// InputFor returns the input for a transaction's plan.
func InputFor(t *events.Transaction, plan events.Plan, now time.Time) Input {
	return Input{Plan: plan, Intent: t.Intent, Actor: t.Actor, Now: now}
}

// Decision is nil when the plan may run.
type Decision = *events.Denial

// Rule describes one rule.
type Rule struct {
	Name    string `json:"name"`
	BuiltIn bool   `json:"built_in"`
	Deny    string `json:"deny"`             // the condition, in words or in CEL
	Source  string `json:"source,omitempty"` // file and line
}

// Evaluator evaluates rules.
type Evaluator interface {
	// Evaluate returns the decision of the first rule that denies, and the version of
	// the rules.
	Evaluate(c Input) (d Decision, version string)
}

// requiredPackages are the packages that Cortex and apt need.
var requiredPackages = map[events.PackageName]bool{"apt": true, "dpkg": true, "libc6": true, "libapt-pkg6.0": true, "libapt-pkg7.0": true, "cortex": true}

// Invariants are the built-in rules. RunningKernel is the release from uname(2); "" when
// it is unknown.
type Invariants struct{ RunningKernel string }

// Rules describes the invariants.
func (v Invariants) Rules() []Rule {
	return []Rule{
		{Name: "essential-packages", BuiltIn: true, Deny: "an essential or protected package would be removed"},
		{Name: "running-kernel", BuiltIn: true, Deny: "the running kernel would be removed"},
		{Name: "package-tools", BuiltIn: true, Deny: "apt, dpkg, libc6 or cortex would be removed"},
		{Name: "held-packages", BuiltIn: true, Deny: "a package on hold would change without --allow-change-held-packages (the planner refuses such a plan)"},
	}
}

// Evaluate returns the denial of the first invariant that the plan breaks.
func (v Invariants) Evaluate(c Input) Decision {
	var essential, kernel, needed []string
	for _, x := range c.Plan.Changes {
		if x.Action != events.ActionRemove && x.Action != events.ActionPurge {
			continue
		}
		if x.Essential {
			essential = append(essential, string(x.Name))
		}
		if v.isRunningKernel(x.Name) && x.From != "" {
			kernel = append(kernel, string(x.Name))
		}
		if requiredPackages[x.Name] && x.From != "" {
			needed = append(needed, string(x.Name))
		}
	}
	deny := func(rule, why string, names []string) Decision {
		return &events.Denial{Rule: rule, Message: why + strings.Join(names, ", ")}
	}
	switch {
	case len(essential) > 0:
		return deny("essential-packages", "the plan removes essential packages: ", essential)
	case len(kernel) > 0:
		return deny("running-kernel", "the plan removes the running kernel: ", kernel)
	case len(needed) > 0:
		return deny("package-tools", "the plan removes packages that cortex and apt need: ", needed)
	}
	return nil
}

// isRunningKernel reports whether a package contains the running kernel or its modules.
func (v Invariants) isRunningKernel(name events.PackageName) bool {
	if v.RunningKernel == "" {
		return false
	}
	for _, prefix := range []string{"linux-image-", "linux-image-unsigned-", "linux-modules-"} {
		if string(name) == prefix+v.RunningKernel {
			return true
		}
	}
	return false
}
