package systemcmd

import (
	"io"

	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/cli/iostreams"
	"cortex/cmd/doctor"
	"cortex/cmd/output"
)

func newDoctor(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "doctor", Short: "Check for problems and suggest fixes", Args: cmdutil.Args(0, 0),
		Long: `Check for problems: the state directory, the daemon and its log, the read models, disk space,
the clock, apt and dpkg, the hooks, and configured model providers. The command changes nothing
and starts no daemon. For each finding it suggests a fix. The exit code is 1 if there is a
problem.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list := a.Diagnose(cmd.Context())
			well := doctor.Healthy(list)
			err := a.PrintResult(map[string]any{"version": 1, "well": well, "findings": list}, func(w io.Writer) { output.Findings(w, list) })
			if err == nil && !well {
				return iostreams.ExitCode(1)
			}
			return err
		},
	}
}
