package cli

import (
	"strings"

	"github.com/spf13/cobra"
)

// exemplify gives every command below c that has no example of its own the one that
// is here. A command without arguments of its own needs none.
func exemplify(c *cobra.Command) {
	for _, sub := range c.Commands() {
		exemplify(sub)
	}
	if c.Example == "" {
		c.Example = example(strings.TrimPrefix(c.CommandPath(), "cortex "))
	}
}

// example shows how a command is used.
func example(command string) string {
	switch command {
	case "apply":
		return "  cortex install cowsay --dry-run    shows a plan and its id\n  cortex apply 4356b85bbf9e          carries out exactly that plan"
	case "remove":
		return "  cortex remove cowsay\n  cortex remove cowsay --dry-run"
	case "purge":
		return "  cortex purge nginx-light           its configuration can come back with undo\n  cortex purge nginx-light --dry-run"
	case "upgrade":
		return "  cortex upgrade                     everything\n  cortex upgrade openssl --yes       what is named"
	case "hold":
		return "  cortex hold linux-image-amd64"
	case "unhold":
		return "  cortex unhold linux-image-amd64"
	case "redo":
		return "  cortex redo                        the newest undo\n  cortex redo 7 --dry-run"
	case "history":
		return "  cortex history --package nginx\n  cortex history --status failed --since 7d\n  cortex history --at '2026-11-20 18:00'"
	case "show":
		return "  cortex show last\n  cortex show 12 --json"
	case "events list":
		return "  cortex events list --type 'install.*' --since 2h\n  cortex events list --transaction 12"
	case "events tail":
		return "  cortex events tail\n  cortex events tail --after 120 --json   goes on where a reader stopped"
	case "events export":
		return "  cortex events export -o events.ndjson"
	case "events show":
		return "  cortex events show 120"
	case "events retry":
		return "  cortex status                      names what is parked\n  cortex events retry 01a20a8b-e7b4-7ce9-9a10-2b699f47bba1"
	case "backup create":
		return "  cortex backup create --to /mnt/usb"
	case "backup list":
		return "  cortex backup list"
	case "backup verify":
		return "  cortex backup verify /mnt/usb/web-20261123T120000.000Z.cortex-backup.tar"
	case "backup restore":
		return "  cortex backup restore /mnt/usb/web-20261123T120000.000Z.cortex-backup.tar --into /tmp/then"
	case "catalog fetch":
		return "  cortex catalog fetch               long descriptions too: words are understood better"
	case "llm test":
		return "  cortex llm test                    asks each provider one short question\n  cortex llm test near"
	case "llm replay":
		return "  cortex events list --type 'llm.*'\n  cortex llm replay 01a20a8b-e7b4-7ce9-9a10-2b699f47bba1   the answer as it was given, without asking again"
	case "policy list":
		return "  cortex policy list"
	case "policy check":
		return "  cortex policy check                the rules themselves\n  cortex policy check 4356b85bbf9e   what they say of a plan"
	case "policy test":
		return "  cortex policy test /etc/cortex/policy.d/cases.yaml"
	}
	return ""
}
