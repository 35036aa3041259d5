package events

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Verb is the requested operation of a transaction.
type Verb string

// The verbs. Undo and redo name a transaction, the others packages.
const (
	VerbInstall Verb = "install"
	VerbRemove  Verb = "remove"
	VerbPurge   Verb = "purge"
	VerbUpgrade Verb = "upgrade"
	VerbHold    Verb = "hold"
	VerbUnhold  Verb = "unhold"
	VerbUndo    Verb = "undo"
	VerbRedo    Verb = "redo"
	// VerbRollback undoes everything that happened after a position.
	VerbRollback Verb = "rollback"
	// VerbImport applies a manifest.
	VerbImport Verb = "import"
	// VerbObserved is a change made outside Cortex; it cannot be requested.
	VerbObserved Verb = "observed"
)

// Verbs lists every verb that can be requested.
var Verbs = []Verb{VerbInstall, VerbRemove, VerbPurge, VerbUpgrade, VerbHold, VerbUnhold, VerbUndo, VerbRedo, VerbRollback, VerbImport}

// Reverts reports whether the verb undoes earlier transactions.
func (v Verb) Reverts() bool { return v == VerbUndo || v == VerbRedo || v == VerbRollback }

// Options change how a request is planned and run.
type Options struct {
	Reinstall    bool `json:"reinstall,omitempty"`     // install installed packages again
	NoRecommends bool `json:"no_recommends,omitempty"` // without recommended packages
	AllowHeld    bool `json:"allow_held,omitempty"`    // may change packages on hold
	LockWaitSec  int  `json:"lock_wait_s,omitempty"`   // 0 means [DefaultLockWait]
	Refresh      bool `json:"refresh,omitempty"`       // an import fetches package lists first

	Cascade bool     `json:"cascade,omitempty"` // an undo also undoes the transactions that conflict with it
	Force   []string `json:"force,omitempty"`   // paths that an undo restores even though they were changed since
	Hold    bool     `json:"hold,omitempty"`    // an undo holds the packages that it downgrades
}

// LockWait is how long to wait for another package manager.
func (o Options) LockWait() time.Duration {
	if o.LockWaitSec <= 0 {
		return DefaultLockWait
	}
	return min(time.Duration(o.LockWaitSec)*time.Second, MaxLockWait)
}

// Intent is a request as the user stated it, before anything was looked up.
type Intent struct {
	Verb     Verb          `json:"verb"`
	Packages []PackageRef  `json:"packages,omitempty"`
	Target   TransactionID `json:"target,omitempty"` // for undo and redo
	// AlsoUndo are further transactions that an undo reverts in the same run.
	AlsoUndo []TransactionID `json:"also,omitempty"`
	// RollbackTo is for rollback, which undoes everything after this position.
	RollbackTo Position `json:"after,omitempty"`
	// Manifest is for import.
	Manifest    *Manifest `json:"manifest,omitempty"`
	Options     Options   `json:"options,omitzero"`
	DryRun      bool      `json:"dry_run,omitempty"` // the user asked only for the plan
	CommandLine string    `json:"words,omitempty"`   // the command line as typed
	// Chosen are the packages that the user chose for each need of a request in words.
	Chosen []Choice `json:"chosen,omitempty"`
}

// Validate returns every problem of the intent, joined.
func (in Intent) Validate() error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	switch in.Verb {
	case VerbUndo, VerbRedo:
		if in.Target == "" {
			add("%s names no transaction", in.Verb)
		} else if err := in.Target.Validate(); err != nil {
			errs = append(errs, err)
		}
		if len(in.Packages) > 0 {
			add("%s takes a transaction, not packages", in.Verb)
		}
	case VerbInstall, VerbRemove, VerbPurge, VerbHold, VerbUnhold:
		if len(in.Packages) == 0 {
			add("%s names no package", in.Verb)
		}
	case VerbUpgrade, VerbRollback:
	case VerbImport:
		if in.Manifest == nil || len(in.Packages) > 0 {
			add("import takes a manifest, and nothing else")
		}
	default:
		add("unknown verb %q", in.Verb)
	}
	errs = append(errs, in.validateUndo()...)
	errs = append(errs, in.validateChosen()...)
	if in.Manifest != nil {
		if in.Verb != VerbImport {
			add("only import takes a manifest")
		}
		errs = append(errs, in.Manifest.Validate())
	}
	if in.Options.Refresh && in.Verb != VerbImport {
		add("only import fetches package lists")
	}
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if in.Target != "" && in.Verb != VerbUndo && in.Verb != VerbRedo {
		add("%s takes packages, not a transaction", in.Verb)
	}
	if len(in.Packages) > MaxPackagesPerRequest {
		add("more than %d packages in one request", MaxPackagesPerRequest)
	}
	for _, p := range in.Packages {
		if err := p.Validate(); err != nil {
			errs = append(errs, err)
		}
		if p.Version != "" && in.Verb != VerbInstall {
			add("%s: only install takes a version", p)
		}
	}
	if len(in.CommandLine) > MaxTextBytes {
		add("the command line is longer than %d bytes", MaxTextBytes)
	}
	if in.Options.LockWaitSec < 0 || in.Options.LockWaitSec > int(MaxLockWait/time.Second) {
		add("lock wait is not between 0 and %d s", int(MaxLockWait/time.Second))
	}
	if len(errs) == 0 {
		return nil
	}
	return &Error{Op: "events.Intent.Validate", Kind: ErrUsage, Err: errors.Join(errs...), Hint: HintOf(errors.Join(errs...))}
}

func (in Intent) validateUndo() []error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for _, t := range in.AlsoUndo {
		if err := t.Validate(); err != nil {
			errs = append(errs, err)
		}
	}
	o := in.Options
	switch {
	case len(in.AlsoUndo) > 0 && in.Verb != VerbUndo:
		add("only undo takes several transactions")
	case len(in.AlsoUndo) > MaxPackagesPerRequest:
		add("more than %d transactions in one request", MaxPackagesPerRequest)
	case in.Verb == VerbRollback && (in.RollbackTo == 0 || len(in.Packages) > 0):
		add("rollback takes a position, and nothing else")
	case in.Verb != VerbRollback && in.RollbackTo != 0:
		add("only rollback takes a position")
	case !in.Verb.Reverts() && (o.Cascade || o.Hold || len(o.Force) > 0):
		add("cascade, hold and force are for undo, redo and rollback")
	case len(o.Force) > MaxFilesPerEvent:
		add("more than %d paths to force", MaxFilesPerEvent)
	}
	for _, p := range o.Force {
		if err := ValidatePath(p); err != nil {
			add("%q: %w", p, err)
		}
	}
	return errs
}

// Action is the planned operation on one package.
type Action string

// The actions of a plan.
const (
	ActionInstall    Action = "install"
	ActionUpgrade    Action = "upgrade"
	ActionDowngrade  Action = "downgrade"
	ActionReinstall  Action = "reinstall"
	ActionRemove     Action = "remove" // configuration stays
	ActionPurge      Action = "purge"
	ActionConfigure  Action = "configure"
	ActionHold       Action = "hold"
	ActionUnhold     Action = "unhold"
	ActionMarkAuto   Action = "mark-auto"
	ActionMarkManual Action = "mark-manual"
)

// PlannedChange is one line of a plan: one action on one package.
type PlannedChange struct {
	PackageKey
	Action        Action  `json:"action"`
	From          Version `json:"from,omitempty"` // installed now
	To            Version `json:"to,omitempty"`   // installed afterwards
	Automatic     bool    `json:"automatic,omitempty"`
	Origin        string  `json:"origin,omitempty"`      // e.g. "Debian:12.11/stable"
	DownloadBytes int64   `json:"download_b,omitempty"`  // bytes to fetch
	Essential     bool    `json:"essential,omitempty"`   // removal of an essential or protected package
	DiskDelta     int64   `json:"disk_delta_b,omitzero"` // bytes on disk, + more, - less; 0 also when unknown
}

// Op is the operation of one step.
type Op string

// The operations of the executor. It runs nothing else.
const (
	OpInstall        Op = "install" // apt-get install; targets marked Remove are removed in the same run
	OpRemove         Op = "remove"  // apt-get remove
	OpPurge          Op = "purge"   // apt-get purge
	OpUpgrade        Op = "upgrade" // apt-get upgrade (all), or install --only-upgrade (named)
	OpPurgeLeftovers Op = "forget"  // dpkg --purge of packages with only configuration files or a failed installation left
	OpHold           Op = "hold"
	OpUnhold         Op = "unhold"
	OpMarkAuto       Op = "mark-auto"
	OpMarkManual     Op = "mark-manual"
	OpRestore        Op = "restore" // files and settings, from the blob store
)

// Target is one package of a step.
type Target struct {
	PackageRef
	Remove bool `json:"remove,omitempty"` // in an install step: remove the package instead
	// Deb is the package file in the blob store that is installed instead of the
	// archive's.
	Deb Digest `json:"deb,omitempty"`
}

// Step is one typed operation. Only the executor turns it into an argument vector.
type Step struct {
	Op             Op       `json:"op"`
	Targets        []Target `json:"targets,omitempty"`
	Reinstall      bool     `json:"reinstall,omitempty"`
	NoRecommends   bool     `json:"no_recommends,omitempty"`
	AllowHeld      bool     `json:"allow_held,omitempty"`
	AllowDowngrade bool     `json:"allow_downgrade,omitempty"`

	Files    []FileChange    `json:"files,omitempty"`    // for restore
	Settings []SettingChange `json:"settings,omitempty"` // for restore
	// RevertSideEffects makes a restore step also restore files and settings that the
	// transaction's own earlier steps changed unintentionally.
	RevertSideEffects bool `json:"sweep,omitempty"`
}

// Plan is the exact list of changes and of the steps that make them.
type Plan struct {
	Changes       []PlannedChange `json:"changes"`
	Steps         []Step          `json:"steps"`
	DownloadBytes int64           `json:"download_b"`        // bytes to fetch
	DiskDelta     int64           `json:"disk_delta_b"`      // bytes on disk, + more, - less
	Residue       []string        `json:"residue,omitempty"` // what this plan cannot restore; shown before it runs
	Notes         []string        `json:"notes,omitempty"`   // other information for the user
	Risks         []string        `json:"risks,omitempty"`   // what an undo of this plan could not restore; shown before it runs
	Undoes        []TransactionID `json:"undoes,omitempty"`  // the transactions that this plan undoes
}

// Empty reports whether the plan changes nothing.
func (p Plan) Empty() bool { return len(p.Changes) == 0 && len(p.Files())+len(p.Settings()) == 0 }

// Files are the paths that the plan restores.
func (p Plan) Files() []FileChange {
	var out []FileChange
	seen := map[string]bool{}
	for _, s := range p.Steps {
		for _, f := range s.Files {
			if !seen[f.Path] {
				out, seen[f.Path] = append(out, f), true
			}
		}
	}
	return out
}

// Settings are the settings that the plan restores.
func (p Plan) Settings() []SettingChange {
	var out []SettingChange
	type key struct {
		kind SettingKind
		name string
	}
	seen := map[key]bool{}
	for _, s := range p.Steps {
		for _, c := range s.Settings {
			if k := (key{c.Kind, c.Name}); !seen[k] {
				out, seen[k] = append(out, c), true
			}
		}
	}
	return out
}

// PlanID identifies a plan by its content: equal changes by equal steps have the same
// id.
type PlanID string

// ID returns the first 12 hex digits of the SHA-256 of the plan's changes and steps.
func (p Plan) ID() PlanID {
	b, err := json.Marshal(struct {
		Changes []PlannedChange
		Steps   []Step
	}{p.Changes, p.Steps})
	if err != nil {
		panic("events: a plan is plain data: " + err.Error())
	}
	sum := sha256.Sum256(b)
	return PlanID(hex.EncodeToString(sum[:6]))
}

// Validate checks the plan against its limits.
func (p Plan) Validate() error {
	if len(p.Steps) > MaxStepsPerPlan {
		return &Error{Op: "events.Plan.Validate", Kind: ErrUsage, Err: fmt.Errorf("the plan has %d steps; at most %d are allowed", len(p.Steps), MaxStepsPerPlan)}
	}
	if len(p.Changes) > MaxChangesPerPlan {
		return &Error{Op: "events.Plan.Validate", Kind: ErrUsage, Err: fmt.Errorf("the plan changes %d packages; at most %d are allowed", len(p.Changes), MaxChangesPerPlan)}
	}
	if n, m := len(p.Files()), len(p.Settings()); n > MaxFilesPerEvent || m > MaxSettingsPerEvent {
		return &Error{Op: "events.Plan.Validate", Kind: ErrUsage, Err: fmt.Errorf("the plan restores %d files and %d settings, at most %d of each are allowed", n, m, MaxFilesPerEvent)}
	}
	return nil
}
