package auditcmd

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"cortex/cmd/app"
	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/output"
	"cortex/cmd/units"
	"cortex/events"
)

// exportFormats are the formats of an export.
var exportFormats = []string{"json", "csv", "html"}

func newAuditExport(a *commands) *cobra.Command {
	var format, file string
	var f app.ChangeAttemptFilter
	cmd := &cobra.Command{
		Use: "export", Short: "Export every attempt to change the machine", Args: cmdutil.Args(0, 0),
		Long: `Export every attempt to change this machine, oldest first: the user, the request, the time
and the outcome. The export includes attempts that were denied, refused, declined or that
failed, and changes made outside cortex.`,
		Example: `  cortex audit export --format csv --since 30d
  cortex audit export --format html --outcome denied,refused -o denied.html
  cortex audit export --who ann --what 'nginx*'`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.export(cmd.Context(), format, file, f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&format, "format", "json", "write json, csv or html")
	flags.StringVarP(&file, "output", "o", "", "write to this new file (default: standard output)")
	flags.StringVar(&f.User, "who", "", "select this user: a name, a uid, or the name of the user behind sudo")
	flags.StringVar(&f.Pattern, "what", "", "select attempts whose verb, summary or command line matches; * matches anything")
	flags.StringVar(&f.Package, "package", "", "select attempts that concern this package")
	flags.StringVar(&f.Since, "since", "", "select attempts since this time: a date, a time, or an age such as 2h or 7d")
	flags.StringVar(&f.Until, "until", "", "select attempts before this time")
	flags.StringSliceVar(&f.Outcomes, "outcome", nil, "select these outcomes: succeeded, failed, denied, refused, …")
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(exportFormats, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("outcome", cobra.FixedCompletions(app.StateNames(), cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("package", a.CompletePackages)
	return cmd
}

func (a *commands) export(ctx context.Context, format, file string, f app.ChangeAttemptFilter) error {
	if !slices.Contains(exportFormats, format) {
		return &events.Error{
			Op: "cli", Kind: events.ErrUsage, Subject: "--format", Err: fmt.Errorf("invalid format %s", strconv.Quote(format)),
			Hint: "formats are " + strings.Join(exportFormats, ", "),
		}
	}
	list, err := a.Attempts(ctx, f)
	if err != nil {
		return err
	}
	return a.WriteOutput(file, func(w io.Writer) error {
		switch format {
		case "csv":
			return output.AuditCSV(w, list)
		case "html":
			return output.AuditHTML(w, list, "Changes to "+hostname(), units.Count(len(list), "attempt")+", oldest first.")
		}
		return output.AuditJSON(w, list)
	})
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "this machine"
	}
	return name
}
