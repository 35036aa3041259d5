// Command debtree writes the generated files of the Debian package into a directory:
// manual pages, completions, the drop-in files that make apt and dpkg call the hooks,
// the changelogs, and the licence notices of the linked modules. The same commit
// produces the same bytes.
package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"cortex/cmd/cli"
	"cortex/cmd/cli/systemcmd"
	"cortex/cmd/parts"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "debtree:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	var r release
	flags := flag.NewFlagSet("debtree", flag.ContinueOnError)
	flags.StringVar(&r.version, "version", "", "version of the package")
	flags.StringVar(&r.maintainer, "maintainer", "", "NAME <ADDRESS>")
	flags.Int64Var(&r.epoch, "time", 0, "release time, in seconds since 1970")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return errors.New("usage: debtree -version V -maintainer M -time SECONDS DIR")
	}
	dir := flags.Arg(0)
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	root := cli.Root()
	for path, content := range systemcmd.DropIns(parts.CommandPath) {
		if err := writeFile(dir, path, []byte(content)); err != nil {
			return err
		}
	}
	return errors.Join(writeManPages(root, dir), writeCompletions(root, dir), writeChangelogs(dir, r), writeLicences(dir))
}

// writeManPages writes one page for every command, compressed.
func writeManPages(root *cobra.Command, dir string) error {
	plain, err := os.MkdirTemp("", "debtree-man")
	if err != nil {
		return err
	}
	defer os.RemoveAll(plain)
	root.DisableAutoGenTag = true
	header := &doc.GenManHeader{Title: "CORTEX", Section: "8", Source: "cortex", Manual: "Cortex"}
	if err := doc.GenManTree(root, header, plain); err != nil {
		return err
	}
	pages, err := os.ReadDir(plain)
	if err != nil {
		return err
	}
	for _, p := range pages {
		b, err := os.ReadFile(filepath.Join(plain, p.Name()))
		if err == nil {
			err = writeCompressed(dir, "/usr/share/man/man8/"+p.Name()+".gz", stripDate(b))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// stripDate removes the month from the title of a page: it is the month of the build.
func stripDate(page []byte) []byte {
	lines := bytes.SplitAfterN(page, []byte("\n"), 8)
	for i, l := range lines {
		if f := bytes.SplitN(l, []byte(`"`), 7); bytes.HasPrefix(l, []byte(".TH ")) && len(f) == 7 {
			f[5] = nil
			lines[i] = bytes.Join(f, []byte(`"`))
		}
	}
	return bytes.Join(lines, nil)
}

func writeCompletions(root *cobra.Command, dir string) error {
	for _, c := range []struct {
		path  string
		write func(*bytes.Buffer) error
	}{
		{"/usr/share/bash-completion/completions/cortex", func(b *bytes.Buffer) error { return root.GenBashCompletionV2(b, true) }},
		{"/usr/share/zsh/vendor-completions/_cortex", func(b *bytes.Buffer) error { return root.GenZshCompletion(b) }},
		{"/usr/share/fish/vendor_completions.d/cortex.fish", func(b *bytes.Buffer) error { return root.GenFishCompletion(b, true) }},
	} {
		var b bytes.Buffer
		if err := c.write(&b); err != nil {
			return err
		}
		if err := writeFile(dir, c.path, b.Bytes()); err != nil {
			return err
		}
	}
	return nil
}

// release is the entry of a version in the changelog of the package.
type release struct {
	version, maintainer string
	epoch               int64
}

// writeChangelogs writes the changelog of Cortex and the one of the package.
func writeChangelogs(dir string, r release) error {
	ours, err := os.ReadFile("CHANGELOG.md")
	if err != nil {
		return err
	}
	when := time.Unix(r.epoch, 0).UTC().Format(time.RFC1123Z)
	packages := fmt.Sprintf("cortex (%s) unstable; urgency=medium\n\n  * See changelog.gz.\n\n -- %s  %s\n", r.version, r.maintainer, when)
	const doc = "/usr/share/doc/cortex/"
	return errors.Join(writeCompressed(dir, doc+"changelog.gz", ours), writeCompressed(dir, doc+"changelog.Debian.gz", []byte(packages)))
}

func writeCompressed(dir, path string, content []byte) error {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := z.Write(content); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	return writeFile(dir, path, b.Bytes())
}

func writeFile(dir, path string, content []byte) error {
	name := filepath.Join(dir, path)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, content, 0o644)
}
