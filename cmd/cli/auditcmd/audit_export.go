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
	"cortex/events"
	"cortex/projections/history"
)

// exportOptions select what is exported, and how.
type exportOptions struct {
	format, output     string
	who, what          string
	since, until       string
	outcome            []string
	pkg                string
	transactionFilters history.Filter
}

func newAuditExport(a *commands) *cobra.Command {
	var o exportOptions
	cmd := &cobra.Command{
		Use: "export", Short: "Write who attempted what, when, and what became of it", Args: cmdutil.CheckArgs(cobra.NoArgs),
		Long: `Write every attempt to change this machine, the oldest first: who, what, when, and
what became of it. Attempts that policy denied, that were refused, declined or failed
are among them, and so are changes that were made without cortex.

  cortex audit export --format csv --since 30d
  cortex audit export --format html --outcome denied,refused -o denied.html
  cortex audit export --who ann --what 'nginx*'`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.auditExport(cmd.Context(), o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.format, "format", "json", "json, csv or html")
	f.StringVarP(&o.output, "output", "o", "", "write to this new file instead of stdout")
	f.StringVar(&o.who, "who", "", "only attempts of this user: a name, a uid, or the name that sudo told")
	f.StringVar(&o.what, "what", "", "only attempts whose verb, summary or command line matches, where * stands for anything")
	f.StringVar(&o.pkg, "package", "", "only attempts that concern this package")
	f.StringVar(&o.since, "since", "", "only attempts since: a date, a time, or a span such as 2h or 7d")
	f.StringVar(&o.until, "until", "", "only attempts before")
	f.StringSliceVar(&o.outcome, "outcome", nil, "only attempts that ended like this: succeeded, failed, denied, refused, …")
	words := func(list ...string) func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return list, cobra.ShellCompDirectiveNoFileComp
		}
	}
	_ = cmd.RegisterFlagCompletionFunc("format", words("json", "csv", "html"))
	_ = cmd.RegisterFlagCompletionFunc("outcome", words(strings.Split(app.StateNames(), ", ")...))
	_ = cmd.RegisterFlagCompletionFunc("package", a.CompletePackages)
	return cmd
}

// check reads what was typed.
func (o *exportOptions) check() error {
	var err error
	f := &o.transactionFilters
	if !slices.Contains([]string{"json", "csv", "html"}, o.format) {
		return &events.Error{Op: "cli.audit", Kind: events.ErrUsage, Subject: fmt.Sprintf("%q", o.format), Err: fmt.Errorf("is no format"), Hint: "formats are json, csv and html"}
	}
	for _, s := range o.outcome {
		if err := app.CheckState(events.TransactionState(s)); err != nil {
			return err
		}
	}
	if f.Since, err = app.ParseTime(o.since); err != nil {
		return err
	}
	if f.Until, err = app.ParseTime(o.until); err != nil {
		return err
	}
	if o.pkg != "" {
		ref, err := events.ParsePackageRef(o.pkg)
		if err != nil {
			return err
		}
		f.Package = ref.Name
	}
	return nil
}

// match reports whether an entry is selected by what the read model cannot.
func (o *exportOptions) match(e output.AuditEntry) bool {
	if o.who != "" && o.who != e.User && o.who != strconv.Itoa(e.UID) && o.who != e.SudoUser {
		return false
	}
	if len(o.outcome) > 0 && !slices.Contains(o.outcome, string(e.Outcome)) {
		return false
	}
	if o.what == "" {
		return true
	}
	for _, s := range []string{string(e.Verb), e.Summary, e.CommandLine} {
		if events.Kind(s).Match(o.what) {
			return true
		}
	}
	return false
}

func (a *commands) auditExport(ctx context.Context, o exportOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	var list []history.TransactionRow
	err := a.ReadHistory(ctx, func(r *history.Reader) (err error) {
		list, err = r.List(ctx, o.transactionFilters)
		return err
	})
	if err != nil && a.HasLog() {
		return err
	}
	slices.Reverse(list)
	entries := []output.AuditEntry{}
	for _, t := range list {
		if e := output.NewAuditEntry(t); o.match(e) {
			entries = append(entries, e)
		}
	}
	return a.WriteOutput(o.output, func(w io.Writer) error {
		switch o.format {
		case "csv":
			return output.AuditCSV(w, entries)
		case "html":
			return output.AuditHTML(w, entries, "Changes to "+hostname(), fmt.Sprintf("%s, the oldest first.", output.Count(len(entries), "attempt")))
		}
		return output.AuditJSON(w, entries)
	})
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "this machine"
	}
	return name
}
