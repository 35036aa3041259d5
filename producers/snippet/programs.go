package snippet

import (
	"strings"

	"cortex/events"
)

// ignoredOptions options change nothing of what happens: who is asked and what is printed is
// decided here.
var ignoredOptions = map[string]bool{"-y": true, "--yes": true, "--assume-yes": true, "-q": true, "-qq": true, "-yq": true, "-qy": true, "-yqq": true, "-qqy": true, "--quiet": true}

// parseOptions takes the options out of a command's words; what is not known is refused.
// Words after "--" are none.
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
			return nil, refusal(w.pos, "the option %q has no counterpart", events.SanitizeLine(w.text, 80))
		}
	}
	return rest, nil
}

// parseApt reads apt, apt-get and aptitude.
func (t *Translation) parseApt(words []word) error {
	program := words[0]
	var in events.Intent
	purge := false
	rest, err := parseOptions(words[1:], &in, &purge)
	if err != nil {
		return err
	}
	if len(rest) == 0 {
		return refusal(program.pos, "%s is told nothing to do", program.text)
	}
	verb, rest := rest[0], rest[1:]
	switch verb.text {
	case "update":
		if len(rest) > 0 || purge {
			return refusal(verb.pos, "an update takes no names")
		}
		t.Notes = append(t.Notes, "package lists are brought up to date by 'apt-get update'; a plan is made from the lists as they are")
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
		return refusal(verb.pos, "%s %s has no counterpart", program.text, events.SanitizeLine(verb.text, 60))
	}
	if purge && in.Verb == events.VerbRemove {
		in.Verb, purge = events.VerbPurge, false
	}
	if purge && in.Verb != events.VerbPurge {
		return refusal(verb.pos, "--purge belongs to remove")
	}
	if in.Verb == events.VerbUpgrade && program.text != "aptitude" && len(rest) > 0 {
		return refusal(verb.pos, "%s upgrade takes no names; 'cortex upgrade NAME' does", program.text)
	}
	if in.Packages, err = parsePackages(verb.pos, rest); err != nil {
		return err
	}
	return t.addIntent(verb.pos, in)
}

// parseAptMark reads apt-mark.
func (t *Translation) parseAptMark(words []word) error {
	var in events.Intent
	rest, err := parseOptions(words[1:], &in, nil)
	if err != nil {
		return err
	}
	if len(rest) == 0 {
		return refusal(words[0].pos, "apt-mark is told nothing to do")
	}
	switch rest[0].text {
	case "hold":
		in.Verb = events.VerbHold
	case "unhold":
		in.Verb = events.VerbUnhold
	default:
		return refusal(rest[0].pos, "apt-mark %s has no counterpart", events.SanitizeLine(rest[0].text, 60))
	}
	if in.Packages, err = parsePackages(rest[0].pos, rest[1:]); err != nil {
		return err
	}
	return t.addIntent(rest[0].pos, in)
}

// parseDpkg reads what names packages; files are none.
func (t *Translation) parseDpkg(words []word) error {
	if len(words) < 2 {
		return refusal(words[0].pos, "dpkg is told nothing to do")
	}
	var in events.Intent
	switch words[1].text {
	case "-r", "--remove":
		in.Verb = events.VerbRemove
	case "-P", "--purge":
		in.Verb = events.VerbPurge
	default:
		return refusal(words[1].pos, "dpkg %s has no counterpart: package files and databases are not touched", events.SanitizeLine(words[1].text, 60))
	}
	refs, err := parsePackages(words[1].pos, words[2:])
	if err != nil {
		return err
	}
	in.Packages = refs
	return t.addIntent(words[1].pos, in)
}

// parseCortex reads our own commands that name packages.
func (t *Translation) parseCortex(words []word) error {
	var in events.Intent
	rest, err := parseOptions(words[1:], &in, nil)
	if err != nil {
		return err
	}
	if len(rest) == 0 {
		return refusal(words[0].pos, "cortex is told nothing to do")
	}
	switch v := events.Verb(rest[0].text); v {
	case events.VerbInstall, events.VerbRemove, events.VerbPurge, events.VerbUpgrade, events.VerbHold, events.VerbUnhold:
		in.Verb = v
	default:
		return refusal(rest[0].pos, "cortex %s names no packages", events.SanitizeLine(rest[0].text, 60))
	}
	if in.Packages, err = parsePackages(rest[0].pos, rest[1:]); err != nil {
		return err
	}
	return t.addIntent(rest[0].pos, in)
}

// CommandLine is the command line that asks for an intent. It holds no text from outside
// but validated names.
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
