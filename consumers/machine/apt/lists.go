package apt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"cortex/events"
)

// listsConfig makes apt fetch English descriptions, which many machines omit, and run no
// hooks. It must be a file: apt reads it after the machine's own configuration, and
// only a file can clear that.
const listsConfig = `#clear Acquire::Languages;
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
Acquire::Languages { "en"; };
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
`

// FetchLists fetches package lists with English descriptions into dir, a path inside
// the root. apt's own lists stay unchanged.
func (m *Machine) FetchLists(ctx context.Context, dir string) error {
	conf := dir + ".conf"
	err := errors.Join(os.MkdirAll(filepath.Join(dir, "partial"), 0o755), os.WriteFile(conf, []byte(listsConfig), 0o644))
	if err != nil {
		return fmt.Errorf("create a directory for package lists: %w", err)
	}
	output, err := m.runToEnd(ctx, "lists", updateIntoCommand(conf, dir))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return &events.Error{Op: "apt.FetchLists", Kind: events.ErrApt, Subject: "apt-get update", Err: fmt.Errorf("%s", failureReason(output, err)), Hint: "check the network and /etc/apt/sources.list"}
	}
	return nil
}
