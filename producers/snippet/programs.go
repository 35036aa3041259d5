package snippet

import (
	"strings"

	"cortex/events"
)

// ignoredOptions only suppress questions and output, which cortex decides itself.
var ignoredOptions = map[string]bool{"-y": true, "--yes": true, "--assume-yes": true, "-q": true, "-qq": true, "-yq": true, "-qy": true, "-yqq": true, "-qqy": true, "--quiet": true}

// parseOptions separates the options of a command from its other words, and refuses unknown
// options. Words after "--" are not options.
func parseOptions(words []word, in *events.Intent, purge *bool) (rest []word, err error) {
	for i, w := range words {
		switch {
		case w.text == "--":
			return append(rest, words[i+1:]...), nil
		case !strings.HasPrefix(w.text, "-"):
			rest = append(rest, w)
		case ignoredOptions[w.text]:
		case w.text == "--no-install-recommends" || w.text == "--no-recommends":
			in.Options.NoRecommends = true
		case w.text == "--reinstall":
			in.Options.Reinstall = true
		case w.text == "--allow-change-held-packages":
			in.Options.AllowHeld = true
		case w.text == "--dry-run" || w.text == "-s" || w.text == "--simulate" || w.text == "--just-print" || w.text == "--no-act":
			in.DryRun = true
		case w.text == "--purge" && purge != nil:
			*purge = true
		default:
			return nil, refusal(w.pos, "cannot translate the option %q", events.SanitizeLine(w.text, 80))
		}
	}
	return rest, nil
}

// parseApt translates apt, apt-get and aptitude.
func (t *Translation) parseApt(words []word) error {
	program := words[0]
	var in events.Intent
	purge := false
	rest, err := parseOptions(words[1:], &in, &purge)
	if err != nil {
		return err
	}
	if len(rest) == 0 {
		return refusal(program.pos, "%s: the command is missing", program.text)
	}
	verb, rest := rest[0], rest[1:]
	switch verb.text {
	case "update":
		if len(rest) > 0 || purge {
			return refusal(verb.pos, "%s update takes no names or --purge", program.text)
		}
		t.Notes = append(t.Notes, "update is not translated: plans use the current package lists; to update them: apt-get update")
		return nil
	case "install":
		in.Verb = events.VerbInstall
	case "remove":
		in.Verb = events.VerbRemove
	case "purge":
		in.Verb = events.VerbPurge
	case "upgrade", "safe-upgrade":
		in.Verb = events.VerbUpgrade
	case "reinstall":
		in.Verb, in.Options.Reinstall = events.VerbInstall, true
	default:
		return refusal(verb.pos, "cannot translate %s %s", program.text, events.SanitizeLine(verb.text, 60))
	}
	if purge && in.Verb == events.VerbRemove {
		in.Verb, purge = events.VerbPurge, false
	}
	if purge && in.Verb != events.VerbPurge {
		return refusal(verb.pos, "--purge is only supported with remove and purge")
	}
	if in.Verb == events.VerbUpgrade && program.text != "aptitude" && len(rest) > 0 {
		return refusal(verb.pos, "%s upgrade takes no names; use: cortex upgrade NAME", program.text)
	}
	if in.Packages, err = parsePackages(verb.pos, rest); err != nil {
		return err
	}
	return t.addIntent(verb.pos, in)
}

// parseAptMark translates apt-mark.
func (t *Translation) parseAptMark(words []word) error {
	var in events.Intent
	rest, err := parseOptions(words[1:], &in, nil)
	if err != nil {
		return err
	}
	if len(rest) == 0 {
		return refusal(words[0].pos, "apt-mark: the command is missing")
	}
	switch rest[0].text {
	case "hold":
		in.Verb = events.VerbHold
	case "unhold":
		in.Verb = events.VerbUnhold
	default:
		return refusal(rest[0].pos, "cannot translate apt-mark %s: only hold and unhold are supported", events.SanitizeLine(rest[0].text, 60))
	}
	if in.Packages, err = parsePackages(rest[0].pos, rest[1:]); err != nil {
		return err
	}
	return t.addIntent(rest[0].pos, in)
}

// parseDpkg translates the actions of dpkg that take package names.
func (t *Translation) parseDpkg(words []word) error {
	if len(words) < 2 {
		return refusal(words[0].pos, "dpkg: the action is missing")
	}
	var in events.Intent
	switch words[1].text {
	case "-r", "--remove":
		in.Verb = events.VerbRemove
	case "-P", "--purge":
		in.Verb = events.VerbPurge
	default:
		return refusal(words[1].pos, "cannot translate dpkg %s: only --remove and --purge are supported", events.SanitizeLine(words[1].text, 60))
	}
	refs, err := parsePackages(words[1].pos, words[2:])
	if err != nil {
		return err
	}
	in.Packages = refs
	return t.addIntent(words[1].pos, in)
}

// parseCortex translates the commands of cortex that take package names.
func (t *Translation) parseCortex(words []word) error {
	var in events.Intent
	rest, err := parseOptions(words[1:], &in, nil)
	if err != nil {
		return err
	}
	if len(rest) == 0 {
		return refusal(words[0].pos, "cortex: the command is missing")
	}
	switch v := events.Verb(rest[0].text); v {
	case events.VerbInstall, events.VerbRemove, events.VerbPurge, events.VerbUpgrade, events.VerbHold, events.VerbUnhold:
		in.Verb = v
	default:
		return refusal(rest[0].pos, "cannot translate cortex %s: only install, remove, purge, upgrade, hold and unhold are supported", events.SanitizeLine(rest[0].text, 60))
	}
	if in.Packages, err = parsePackages(rest[0].pos, rest[1:]); err != nil {
		return err
	}
	return t.addIntent(rest[0].pos, in)
}

// CommandLine returns the cortex command of an intent. The only text in it that comes from the
// snippet is validated names.
func CommandLine(in events.Intent) string {
	out := "cortex " + string(in.Verb)
	for _, o := range []struct {
		set  bool
		flag string
	}{
		{in.Options.Reinstall, " --reinstall"},
		{in.Options.NoRecommends, " --no-recommends"},
		{in.Options.AllowHeld, " --allow-change-held-packages"},
		{in.DryRun, " --dry-run"},
	} {
		if o.set {
			out += o.flag
		}
	}
	for _, p := range in.Packages {
		out += " " + p.String()
	}
	return out
}
