package snippet

import (
	"strings"

	"cortex/events"
)

// silent options change nothing of what happens: who is asked and what is printed is
// decided here.
var silent = map[string]bool{"-y": true, "--yes": true, "--assume-yes": true, "-q": true, "-qq": true, "-yq": true, "-qy": true, "-yqq": true, "-qqy": true, "--quiet": true}

// options takes the options out of a command's words; what is not known is refused.
// Words after "--" are none.
func options(words []word, in *events.Intent, purge *bool) (rest []word, err error) {
	for i, w := range words {
		switch {
		case w.text == "--":
			return append(rest, words[i+1:]...), nil
		case !strings.HasPrefix(w.text, "-"):
			rest = append(rest, w)
		case silent[w.text]:
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
			return nil, refuse(w.at, "the option %q has no counterpart", events.Line(w.text, 80))
		}
	}
	return rest, nil
}

// apt reads apt, apt-get and aptitude.
func (t *Translation) apt(words []word) error {
	program := words[0]
	var in events.Intent
	purge := false
	rest, err := options(words[1:], &in, &purge)
	if err != nil {
		return err
	}
	if len(rest) == 0 {
		return refuse(program.at, "%s is told nothing to do", program.text)
	}
	verb, rest := rest[0], rest[1:]
	switch verb.text {
	case "update":
		if len(rest) > 0 || purge {
			return refuse(verb.at, "an update takes no names")
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
		return refuse(verb.at, "%s %s has no counterpart", program.text, events.Line(verb.text, 60))
	}
	if purge && in.Verb == events.VerbRemove {
		in.Verb, purge = events.VerbPurge, false
	}
	if purge && in.Verb != events.VerbPurge {
		return refuse(verb.at, "--purge belongs to remove")
	}
	if in.Verb == events.VerbUpgrade && program.text != "aptitude" && len(rest) > 0 {
		return refuse(verb.at, "%s upgrade takes no names; 'cortex upgrade NAME' does", program.text)
	}
	if in.Packages, err = names(verb.at, rest); err != nil {
		return err
	}
	return t.add(verb.at, in)
}

// mark reads apt-mark.
func (t *Translation) mark(words []word) error {
	var in events.Intent
	rest, err := options(words[1:], &in, nil)
	if err != nil {
		return err
	}
	if len(rest) == 0 {
		return refuse(words[0].at, "apt-mark is told nothing to do")
	}
	switch rest[0].text {
	case "hold":
		in.Verb = events.VerbHold
	case "unhold":
		in.Verb = events.VerbUnhold
	default:
		return refuse(rest[0].at, "apt-mark %s has no counterpart", events.Line(rest[0].text, 60))
	}
	if in.Packages, err = names(rest[0].at, rest[1:]); err != nil {
		return err
	}
	return t.add(rest[0].at, in)
}

// dpkg reads what names packages; files are none.
func (t *Translation) dpkg(words []word) error {
	if len(words) < 2 {
		return refuse(words[0].at, "dpkg is told nothing to do")
	}
	var in events.Intent
	switch words[1].text {
	case "-r", "--remove":
		in.Verb = events.VerbRemove
	case "-P", "--purge":
		in.Verb = events.VerbPurge
	default:
		return refuse(words[1].at, "dpkg %s has no counterpart: package files and databases are not touched", events.Line(words[1].text, 60))
	}
	refs, err := names(words[1].at, words[2:])
	if err != nil {
		return err
	}
	in.Packages = refs
	return t.add(words[1].at, in)
}

// cortex reads our own commands that name packages.
func (t *Translation) cortex(words []word) error {
	var in events.Intent
	rest, err := options(words[1:], &in, nil)
	if err != nil {
		return err
	}
	if len(rest) == 0 {
		return refuse(words[0].at, "cortex is told nothing to do")
	}
	switch v := events.Verb(rest[0].text); v {
	case events.VerbInstall, events.VerbRemove, events.VerbPurge, events.VerbUpgrade, events.VerbHold, events.VerbUnhold:
		in.Verb = v
	default:
		return refuse(rest[0].at, "cortex %s names no packages", events.Line(rest[0].text, 60))
	}
	if in.Packages, err = names(rest[0].at, rest[1:]); err != nil {
		return err
	}
	return t.add(rest[0].at, in)
}

// Command is the command line that asks for an intent. It holds no text from outside
// but validated names.
func Command(in events.Intent) string {
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
