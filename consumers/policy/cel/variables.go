package cel

import (
	"cel.dev/cel-go/cel"

	"cortex/consumers/policy"
	"cortex/events"
)

// newEnv returns the environment of expressions, with these variables:
//
//	verb    the kind of request: "install", "remove", "undo", …
//	words   the command line, redacted
//	plan    changes (a list of name, arch, action, from, to, origin, automatic,
//	        essential, download, disk), the lists of names installed, upgraded,
//	        downgraded, reinstalled, removed (purged ones included) and purged, and
//	        the bytes download and disk (additional bytes on disk; negative if freed)
//	who     uid, user, sudo_user, login_uid and program
//	now     a timestamp; hour, minute and weekday (0 is Sunday) in the machine's zone
func newEnv() (*cel.Env, error) {
	fields := cel.MapType(cel.StringType, cel.DynType)
	return cel.NewEnv(
		cel.Variable("verb", cel.StringType), cel.Variable("words", cel.StringType),
		cel.Variable("plan", fields), cel.Variable("who", fields),
		cel.Variable("now", cel.TimestampType),
		cel.Variable("hour", cel.IntType), cel.Variable("minute", cel.IntType), cel.Variable("weekday", cel.IntType),
	)
}

func variables(c policy.Input) map[string]any {
	names := map[string][]string{"installed": {}, "upgraded": {}, "downgraded": {}, "reinstalled": {}, "removed": {}, "purged": {}}
	changes := []map[string]any{}
	for _, x := range c.Plan.Changes {
		changes = append(changes, map[string]any{
			"name": string(x.Name), "arch": string(x.Arch), "action": string(x.Action), "from": string(x.From), "to": string(x.To),
			"origin": x.Origin, "automatic": x.Automatic, "essential": x.Essential, "download": x.DownloadBytes, "disk": x.DiskDelta,
		})
		add := func(list string) { names[list] = append(names[list], string(x.Name)) }
		switch x.Action {
		case events.ActionInstall:
			add("installed")
		case events.ActionUpgrade:
			add("upgraded")
		case events.ActionDowngrade:
			add("downgraded")
		case events.ActionReinstall:
			add("reinstalled")
		case events.ActionRemove:
			add("removed")
		case events.ActionPurge:
			add("removed")
			add("purged")
		case events.ActionConfigure, events.ActionHold, events.ActionUnhold, events.ActionMarkAuto, events.ActionMarkManual:
		}
	}
	plan := map[string]any{"changes": changes, "download": c.Plan.DownloadBytes, "disk": c.Plan.DiskDelta}
	for k, v := range names {
		plan[k] = v
	}
	return map[string]any{
		"verb": string(c.Intent.Verb), "words": c.Intent.CommandLine, "plan": plan,
		"who": map[string]any{"uid": c.Actor.UID, "user": c.Actor.User, "sudo_user": c.Actor.SudoUser, "login_uid": c.Actor.LoginUID, "program": c.Actor.Program},
		"now": c.Now, "hour": c.Now.Hour(), "minute": c.Now.Minute(), "weekday": int(c.Now.Weekday()),
	}
}
