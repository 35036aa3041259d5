package apt

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"cortex/events"
)

// hookScript implements apt's JSON hook protocol (apt's doc/json-hooks-protocol.md) and
// copies every message to file descriptor 4. It is constant: it contains no input.
const hookScript = `while read -r line <&$APT_HOOK_SOCKET; do ` +
	`[ -n "$line" ] || continue; printf "%s\\n" "$line" >&4; ` +
	`case $line in ` +
	`*org.debian.apt.hooks.hello*) printf "{\"jsonrpc\":\"2.0\",\"id\":0,\"result\":{\"version\":\"0.2\"}}\\n\\n" >&$APT_HOOK_SOCKET;; ` +
	`*org.debian.apt.hooks.bye*) exit 0;; esac; done`

// hookPackage is one package in apt's JSON.
type hookPackage struct {
	Name         string `json:"name"`
	Architecture string `json:"architecture"`
	Mode         string `json:"mode"`
	Automatic    bool   `json:"automatic"`
	Versions     struct {
		Candidate *hookVersion `json:"candidate"`
		Install   *hookVersion `json:"install"`
		Current   *hookVersion `json:"current"`
	} `json:"versions"`
}

type hookVersion struct {
	Version      string       `json:"version"`
	Architecture string       `json:"architecture"`
	Origins      []hookOrigin `json:"origins"`
}

type hookOrigin struct {
	Archive  string `json:"archive"`
	Codename string `json:"codename"`
	Version  string `json:"version"`
	Origin   string `json:"origin"`
	Label    string `json:"label"`
	Site     string `json:"site"`
}

// String returns "Debian:12.11/bookworm", without the parts that apt does not know.
func (o hookOrigin) String() string {
	name := o.Origin
	if name == "" {
		name = o.Site
	}
	if o.Version != "" {
		name += ":" + o.Version
	}
	suite := o.Codename
	if suite == "" {
		suite = o.Archive
	}
	if suite != "" {
		name += "/" + suite
	}
	return SanitizeOutput(name)
}

// parseHook parses the messages that hookScript copied and returns the packages of the
// last statistics message: every action of apt except reinstallations.
func parseHook(data []byte) ([]hookPackage, error) {
	s := bufio.NewScanner(bytes.NewReader(data))
	s.Buffer(nil, 64<<20)
	var found []hookPackage
	seen := false
	for s.Scan() {
		var m struct {
			Method string `json:"method"`
			Params struct {
				Packages []hookPackage `json:"packages"`
			} `json:"params"`
		}
		if err := json.Unmarshal(s.Bytes(), &m); err != nil {
			return nil, &events.Error{Op: "apt.parseHook", Kind: events.ErrApt, Subject: "apt's plan", Err: fmt.Errorf("cannot be parsed: %w", err)}
		}
		if strings.HasSuffix(m.Method, ".statistics") {
			found, seen = m.Params.Packages, true
		}
	}
	if err := s.Err(); err != nil {
		return nil, &events.Error{Op: "apt.parseHook", Kind: events.ErrApt, Subject: "apt's plan", Err: err}
	}
	if !seen {
		return nil, &events.Error{Op: "apt.parseHook", Kind: events.ErrApt, Subject: "apt's plan", Err: errNoPlan}
	}
	return found, nil
}

// change returns the planned change of a package, without its mark: p.Automatic is the
// mark afterwards.
func (p hookPackage) change(native events.Architecture) (events.PlannedChange, error) {
	var c events.PlannedChange
	arch := p.Architecture
	from, to := p.Versions.Current, p.Versions.Install
	if from != nil {
		c.From = events.Version(from.Version)
		arch = from.Architecture
	}
	if to != nil {
		c.To = events.Version(to.Version)
		arch = to.Architecture
		if len(to.Origins) > 0 {
			c.Origin = to.Origins[0].String()
		}
	}
	c.PackageKey = keyOf(p.Name, arch, native)
	switch p.Mode {
	case "install":
		c.Action, c.From = events.ActionInstall, ""
	case "upgrade":
		c.Action = events.ActionUpgrade
		if c.From == c.To { // a package whose unpacking was interrupted
			c.Action = events.ActionReinstall
		}
	case "downgrade":
		c.Action = events.ActionDowngrade
	case "deinstall":
		c.Action, c.To = events.ActionRemove, ""
	case "purge":
		c.Action, c.To = events.ActionPurge, ""
	default:
		return c, &events.Error{Op: "apt.change", Kind: events.ErrApt, Subject: p.Name, Err: fmt.Errorf("apt reports an unknown action %q", SanitizeOutput(p.Mode))}
	}
	return c, c.Name.Validate()
}
