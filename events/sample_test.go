package events_test

import (
	"fmt"
	"time"

	"cortex/events"
)

const (
	host = events.HostID("01940000-0000-7000-8000-000000000001")
	txn  = events.TransactionID("01940000-0000-7000-8000-0000000000aa")
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 123456789, time.UTC)

func id(n int) events.ID { return events.ID(fmt.Sprintf("01940000-0000-7000-8000-%012x", n)) }

var (
	gone      = events.State{}
	installed = events.State{Version: "3.03+dfsg2-8", Want: events.WantInstall, Flag: events.FlagOK, Status: events.StatusInstalled}
	auto      = events.State{Version: "5.36.0-7+deb12u2", Want: events.WantInstall, Flag: events.FlagOK, Status: events.StatusInstalled, Auto: true}
	half      = events.State{Version: "2.0", Want: events.WantInstall, Flag: events.FlagReinstreq, Status: events.StatusHalfInstalled}
)

func key(name string) events.PackageKey {
	return events.PackageKey{Name: events.PackageName(name), Arch: "amd64"}
}

// samplePlan has every field set.
func samplePlan() events.Plan {
	return events.Plan{
		Changes: []events.PlannedChange{
			{PackageKey: key("cowsay"), Action: events.ActionInstall, To: "3.03+dfsg2-8", Origin: "Debian:12.11/stable", DownloadBytes: 20_700, DiskDelta: 93_184},
			{PackageKey: key("perl"), Action: events.ActionUpgrade, From: "5.36.0-7", To: "5.36.0-7+deb12u2", Automatic: true},
			{PackageKey: key("libc6"), Action: events.ActionRemove, From: "2.36-9", Essential: true, DiskDelta: -12_000_000},
		},
		Steps: []events.Step{
			{Op: events.OpInstall, Targets: []events.Target{{PackageRef: events.PackageRef{Name: "cowsay", Arch: "amd64", Version: "3.03+dfsg2-8"}}, {PackageRef: events.PackageRef{Name: "libc6"}, Remove: true}}, Reinstall: true, NoRecommends: true, AllowHeld: true, AllowDowngrade: true},
			{Op: events.OpMarkAuto, Targets: []events.Target{{PackageRef: events.PackageRef{Name: "perl"}}}},
		},
		DownloadBytes: 20_700, DiskDelta: 93_184, Residue: []string{"perl: something"}, Notes: []string{"a note"},
	}
}

// sampleFacts holds one fact of every kind with every field set.
func sampleFacts() []events.Fact {
	failure := events.Failure{Kind: events.ErrApt, Subject: "cowsay", Message: "post-installation script failed", Hint: "see 'cortex show'"}
	changes := []events.PackageChange{{PackageKey: key("cowsay"), Before: gone, After: installed}, {PackageKey: key("perl"), Before: auto, After: half}}
	facts := []events.Fact{
		&events.LogOpened{Host: host, Machine: "box", Build: "v1"},
		&events.BaselineRecorded{Packages: []events.Package{{PackageKey: key("perl"), State: auto}}},
		&events.DriftDetected{Changes: changes},
		&events.IndexesRefreshed{Reason: "there were no package lists", DurationMs: 12},
		&events.Planned{PlanID: samplePlan().ID(), Plan: samplePlan(), InventoryHash: "00ff"},
		&events.Refused{Failure: failure},
		&events.Approved{PlanID: samplePlan().ID(), How: "prompt"},
		&events.Denied{Rule: "essential-packages", Message: "no"},
		&events.Cancelled{Reason: "the person said no"},
		&events.Started{PlanID: samplePlan().ID(), InventoryHash: "00ff"},
		&events.SnapshotTaken{Index: 1, Snapshot: digest, Debs: []events.Deb{sampleDeb}, NotStored: []string{"perl 5.36.0-7"}},
		&events.Observed{
			Number: 8, Program: "apt-get", Command: "apt-get install cowsay", UID: 1000, Started: noon, Snapshot: digest,
			Debs: []events.Deb{sampleDeb}, Changes: changes, Files: sampleFiles, Settings: sampleSettings,
		},
		&events.StepStarted{Index: 1, Op: events.OpMarkAuto, Argv: []string{"apt-mark", "auto", "perl"}},
		&events.StepSucceeded{Index: 1, Output: "ok\n", DurationMs: 7},
		&events.StepFailed{Index: 1, Output: "no\n", ExitCode: 100, Failure: failure, DurationMs: 7},
		&events.Succeeded{Changes: changes},
		&events.Failed{Changes: changes, Failure: failure},
		&events.Interrupted{Changes: changes, Reason: "stopped", Recovered: []string{"dpkg --configure -a"}},
		&events.Compensated{By: txn, Exact: true, Residue: []string{"x: y"}},
		&events.DeadLettered{Handler: "planner", Stream: "CORTEX_EVT", StreamPosition: 7, EventID: id(7), EventKind: events.KindInstallRequested, Failure: failure, Attempts: 5},
		&events.DeadLetterRetried{DeadLetter: id(9)},
		&events.AnswersForgotten{All: true, Answers: []events.ID{id(5)}, Reason: "it was wrong"},
		&events.HardwareSnapshot{Reason: events.HardwareSnapshotAtStart, BootID: "1e0af16a-b196-4748-8d6a-a593a3068917", DevicesHash: "00ff", StableHash: "0a0b", TookUs: 5200, Facts: []events.HardwareFact{
			{Key: "cpu.model", Value: events.TextValue("AMD EPYC"), Source: "/proc/cpuinfo", Confidence: events.ConfidenceCertain},
			{Key: "dmi.vendor", Source: "/sys/class/dmi/id/sys_vendor", Confidence: events.ConfidenceUnknown, Error: "there is none"},
			{Key: "memory.available_b", Value: events.NumberValue(24_778_137_600), Source: "/proc/meminfo", Confidence: events.ConfidenceCertain, Volatile: true},
			{Key: "usb.1-1.interfaces", Value: events.ListValue([]string{"a", "b"}), Source: "/sys", Confidence: events.ConfidenceDerived},
			{Key: "vm.is", Value: events.BoolValue(true), Source: "cpuid", Confidence: events.ConfidenceGuess},
		}},
		&events.HardwareChanged{Before: 3, Changes: []events.HardwareChange{{Key: "cpu.threads", Before: events.NumberValue(2), After: events.NumberValue(4)}, {Key: "gpu.0000:01:00.0.driver", After: events.TextValue("nouveau")}}},
		&events.TreeHeadSigned{Size: 7, Root: string(digest), Note: "cortex\n7\nABEiMw==\n\n\u2014 cortex AAAA\n"},
		&events.GarbageCollected{ContentsRemoved: 3, BytesFreed: 12_000, NoLongerUndoable: []events.TransactionID{txn}},
		&events.LLMRequested{Task: events.TaskInstall, Question: "a web server", PromptHash: "00ff", PromptBytes: 900, OnlyProvider: "local", Schema: "1", ExactKey: "e1"},
		&events.LLMCompleted{
			Task: events.TaskInstall, Question: "a web server", PromptHash: "00ff", Answer: "{}", Provider: "local", Model: "m", Cache: "exact", CachedFrom: id(4), Scope: "s", ExactKey: "e1", CanonicalKey: "c1",
			Attempts: []events.LLMAttempt{{Provider: "far", Model: "n", Class: "rate-limited", Status: 429, LatencyMs: 4}, {Provider: "local", Model: "m", InputTokens: 10, OutputTokens: 20, TokensReported: true, Cost: 330, PriceKnown: true, LatencyMs: 900}},
			Cost:     330, Unpriced: true, LatencyMs: 1000,
		},
		&events.LLMFailed{Task: events.TaskDiagnose, Class: "unavailable", Reason: "nobody there", Attempts: []events.LLMAttempt{{Provider: "local", Model: "m", Class: "resting"}}, Cost: 3, Unpriced: true, LatencyMs: 7},
		&events.LLMDenied{Task: events.TaskConversation, Reason: "the budget", Period: "day", Limit: 100, Spent: 90, EstimatedCost: 20, Attempts: []events.LLMAttempt{{Provider: "local", Model: "m", Class: "denied"}}, Cost: 4},
		&events.LLMModeChanged{From: events.ModeFull, To: events.ModeOffline, Reason: "no provider answers"},
		&events.LimitProfileSet{LimitProfile: events.LimitProfile{Name: "training", Limits: sampleLimits()}},
		&events.LimitsApplied{
			Unit: "cortex-training-0a1b2c3d", Profile: "training", Limits: sampleLimits(), How: "run", Backend: "cgroup v2", Target: "python3", PID: 41,
			Effects: []events.LimitEffect{{Resource: "memory", Value: "1073741824", Enforced: true, By: "memory.max", Before: "max"}, {Resource: "gpu", Value: "0,2", By: "CUDA_VISIBLE_DEVICES", Reason: "no device controller"}},
		},
		&events.LimitsReverted{Unit: "cortex-training-0a1b2c3d", Reason: "ended", Exit: 137, Usage: events.LimitUsage{MemoryBytes: 1, MemoryPeakBytes: 2, OOMKills: 3, CPUUs: 4, ThrottledUs: 5, Pids: 6, ForksRefused: 7}},
		&events.LimitsRefused{Unit: "cortex-batch-1", Failure: events.Failure{Kind: events.ErrNotFound, Subject: "process 41", Message: "the process has ended", Hint: "see 'ps'"}},
	}
	for _, v := range events.Verbs {
		facts = append(facts, &events.Requested{Number: 7, Intent: sampleIntent(v)})
	}
	return append(
		facts,
		&events.PreferenceStated{UID: 1000, Text: events.Sealed{Key: id(6), Nonce: []byte{1, 2, 3}, Text: []byte{4, 5, 6}}},
		&events.MemoryForgotten{UID: 1000, All: true, Entries: []string{"p12"}},
		&events.SuggestionDismissed{UID: 1000, Suggestion: "f7"},
	)
}

// grownFacts holds facts with fields that were added to their kind later.
func grownFacts() []events.Fact {
	plan := samplePlan()
	plan.Steps = append(plan.Steps, events.Step{Op: events.OpRestore, Files: sampleFiles, Settings: sampleSettings, RevertSideEffects: true})
	plan.Steps[0].Targets[0].Deb = digest
	plan.Risks, plan.Undoes = []string{"perl: its data"}, []events.TransactionID{txn}
	return []events.Fact{
		&events.Succeeded{Files: sampleFiles, Settings: sampleSettings},
		&events.Failed{Files: sampleFiles, Settings: sampleSettings},
		&events.Interrupted{Files: sampleFiles, Settings: sampleSettings},
		&events.Planned{PlanID: plan.ID(), Plan: plan},
		&events.Requested{Intent: events.Intent{Verb: events.VerbInstall, Chosen: []events.Choice{{Phrase: "a cow", Names: []events.PackageName{"cowsay"}}}}},
		&events.Requested{Intent: events.Intent{Verb: events.VerbImport, Manifest: &events.Manifest{Files: []events.ManifestFile{{Path: "/etc/apt/sources.list", Content: []byte("deb x\n")}}}}},
		&events.Requested{Intent: events.Intent{Verb: events.VerbUndo, Target: txn, AlsoUndo: []events.TransactionID{txn}, Options: events.Options{Cascade: true, Hold: true, Force: []string{"/etc/x"}}}},
	}
}

const digest = events.Digest("00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff")

var (
	sampleDeb   = events.Deb{PackageKey: key("perl"), Version: "5.36.0-7", Digest: digest, Size: 12}
	sampleFiles = []events.FileChange{{
		Path:   "/etc/x",
		Before: events.FileState{Kind: events.FileRegular, Mode: 0o640, UID: 1, GID: 2, Size: 3, Digest: digest, Secret: true, NotStored: true},
		After:  events.FileState{Kind: events.FileLink, Mode: 0o777, Link: "y"},
	}}
	sampleSettings = []events.SettingChange{{Kind: events.SettingAlternative, Name: "editor", Before: "manual /usr/bin/vi", After: "auto"}}
)

func sampleIntent(v events.Verb) events.Intent {
	in := events.Intent{Verb: v, DryRun: true, CommandLine: "cortex " + string(v), Options: events.Options{AllowHeld: true, LockWaitSec: 3}}
	switch v {
	case events.VerbUndo, events.VerbRedo:
		in.Target = txn
	case events.VerbRollback:
		in.RollbackTo = 7
	case events.VerbImport:
		in.Options.Refresh = true
		in.Manifest = &events.Manifest{
			Packages: []events.PackageRef{{Name: "cowsay", Version: "3.03+dfsg2-8"}, {Name: "sl", Arch: "i386"}},
			Holds:    []events.PackageRef{{Name: "sl", Arch: "i386"}},
		}
	case events.VerbInstall:
		in.Packages = []events.PackageRef{{Name: "cowsay", Arch: "amd64", Version: "3.03+dfsg2-8"}}
		in.Options.Reinstall, in.Options.NoRecommends = true, true
	case events.VerbRemove, events.VerbPurge, events.VerbHold, events.VerbUnhold, events.VerbUpgrade:
		in.Packages = []events.PackageRef{{Name: "g++"}}
	}
	return in
}

func sampleRequests() []events.Request {
	requests := []events.Request{
		&events.ApproveRequest{PlanID: "0123456789ab", How: "yes-flag"},
		&events.CancelRequest{Reason: "declined"},
		&events.RetryRequest{DeadLetter: id(3)},
		&events.ForgetAnswersRequest{AnswersForgotten: events.AnswersForgotten{Answers: []events.ID{id(5)}, Reason: "it was wrong"}},
		&events.HardwareSnapshotRequest{},
		&events.LimitsRequest{Apply: &events.LimitsApply{Unit: "cortex-training-0a1b2c3d", Profile: "training", Limits: sampleLimits(), How: events.LimitsRun, Backend: "rlimits", Target: "python3", Process: &events.ProcessRef{PID: 41, StartTicks: 4711}}},
	}
	for _, v := range events.Verbs {
		requests = append(requests, &events.TransactionRequest{Intent: sampleIntent(v)})
	}
	return requests
}

func envelope(n int, s events.Subject) events.Event {
	return events.Event{
		ID: id(n), Host: host, Subject: s, Time: noon.Add(time.Duration(n) * time.Second), Transaction: txn,
		Correlation: id(1), Causation: id(2), TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		Actor: events.Actor{UID: 1000, User: "ada", LoginUID: 1000, SudoUser: "ada", TTY: "pts/0", Program: "cortex", PID: 42},
	}
}

// chain returns records of facts about one transaction, in order.
func chain(facts ...events.Fact) ([]events.Record, error) {
	var out []events.Record
	var prev events.Link
	for i, f := range facts {
		e, err := events.NewFactEvent(envelope(i+1, events.TransactionSubject(txn)), f)
		if err != nil {
			return nil, err
		}
		r := events.Record{Event: e, Position: prev.Position + 1, Prev: prev.Hash}
		r.Hash = events.ChainHash(r.Prev, r.Position, e)
		prev = r.Link()
		out = append(out, r)
	}
	return out, nil
}

func sampleLimits() events.Limits {
	return events.Limits{MemoryBytes: 1 << 30, CPUMillis: 1500, CPUs: "0-1,3", Pids: 64, IOWeight: 50, OOMScore: 500, GPUs: "0,2", GPUMemoryBytes: 1 << 31}
}
