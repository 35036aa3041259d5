// Package policy says whether a plan may run.
//
// It promises: plans are judged, never words – what a person, a script or a model
// typed does not matter, only what would change on the machine; the built-in
// invariants hold whatever the rules say, and no option overrides them; rules that
// cannot be read or do not give an answer forbid everything, for silence is no
// leave; the same plan under the same rules is judged alike.
//
// Rules of the machine's owner are in package rules.
package policy

import (
	"strings"
	"time"

	"cortex/events"
)

// Input is what is judged: a plan, for whom, and when.
type Input struct {
	Plan   events.Plan
	Intent events.Intent
	Actor  events.Actor
	Now    time.Time // in the machine's zone
}

// InputFor is the case of a transaction's plan.
func InputFor(t *events.Transaction, plan events.Plan, now time.Time) Input {
	return Input{Plan: plan, Intent: t.Intent, Actor: t.Actor, Now: now}
}

// Decision is nil when the plan may run.
type Decision = *events.Denial

// Rule is one that can deny, for people.
type Rule struct {
	Name    string `json:"name"`
	BuiltIn bool   `json:"built_in"`
	Deny    string `json:"deny"`             // the condition, in words or in CEL
	Source  string `json:"source,omitempty"` // file and line
}

// Evaluator judges plans.
type Evaluator interface {
	// Evaluate gives the first rule that denies, and the version of the rules.
	Evaluate(c Input) (v Decision, version string)
}

// requiredPackages are what Cortex and apt need to go on working.
var requiredPackages = map[events.PackageName]bool{"apt": true, "dpkg": true, "libc6": true, "libapt-pkg6.0": true, "libapt-pkg7.0": true, "cortex": true}

// Invariants are what no rule and no option overrides. Kernel is the release that
// runs, as uname gives it; "" when unknown.
type Invariants struct{ RunningKernel string }

// Rules lists them.
func (v Invariants) Rules() []Rule {
	return []Rule{
		{Name: "essential-packages", BuiltIn: true, Deny: "an essential or protected package would be removed"},
		{Name: "running-kernel", BuiltIn: true, Deny: "the kernel that runs would be removed"},
		{Name: "package-tools", BuiltIn: true, Deny: "apt, dpkg, libc6 or cortex would be removed"},
		{Name: "held-packages", BuiltIn: true, Deny: "a package on hold would change without --allow-change-held-packages; apt makes no such plan"},
	}
}

// Evaluate gives the first invariant that the plan breaks.
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
		return deny("running-kernel", "the plan removes the kernel that runs: ", kernel)
	case len(needed) > 0:
		return deny("package-tools", "the plan removes what packages are managed with: ", needed)
	}
	return nil
}

// isRunningKernel reports whether a package holds the kernel that runs, or its modules.
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
