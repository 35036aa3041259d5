// Package snippet translates shell text, for example from a web page, into intents.
//
// It promises:
//   - It runs and expands nothing.
//   - It refuses the whole text, with line and column, when one word has no exact equivalent.
//     It never skips a word that changes the effect.
//   - Its intents hold validated names and no other text of the snippet.
//
// It knows the commands apt, apt-get, aptitude, apt-mark, dpkg and cortex, optionally after a
// sudo without options. Commands may be joined by &&, ; or line breaks.
package snippet

import (
	"errors"
	"fmt"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"cortex/events"
	"cortex/producers/intent"
)

// Limits of a snippet.
const (
	MaxBytes    = 64 << 10
	maxCommands = 50
)

// Translation is the meaning of a snippet.
type Translation struct {
	Intents []events.Intent `json:"intents"`
	Notes   []string        `json:"notes,omitempty"` // the commands that need no action, with the reason
}

// Translate translates a snippet. It fails with ErrDenied, and the line and column of the first
// part that it cannot translate.
func Translate(text string) (Translation, error) {
	if len(text) > MaxBytes {
		return Translation{}, refusal(syntax.Pos{}, "the text has more than %d bytes", MaxBytes)
	}
	file, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(text), "")
	if err != nil {
		if p, ok := errors.AsType[syntax.ParseError](err); ok {
			return Translation{}, refusal(p.Pos, "invalid shell syntax: %s", events.SanitizeLine(p.Text, 200))
		}
		return Translation{}, refusal(syntax.Pos{}, "invalid shell syntax")
	}
	var t Translation
	for _, s := range file.Stmts {
		if err := t.translateStatement(s); err != nil {
			return Translation{}, err
		}
	}
	if len(t.Intents) == 0 && len(t.Notes) == 0 {
		return Translation{}, refusal(syntax.Pos{}, "the text has no command")
	}
	return t, nil
}

func refusal(at syntax.Pos, format string, args ...any) error {
	e := &events.Error{
		Op: "snippet.Translate", Kind: events.ErrDenied, Subject: "the text", Err: fmt.Errorf(format, args...),
		Hint: "nothing was run; a text is translated only as a whole: remove this part first",
	}
	if at.IsValid() {
		e.Subject = fmt.Sprintf("line %d, column %d", at.Line(), at.Col())
	}
	return e
}

// translateStatement translates a command, or commands joined by &&.
func (t *Translation) translateStatement(s *syntax.Stmt) error {
	switch {
	case len(s.Redirs) > 0:
		return refusal(s.Redirs[0].Pos(), "redirections cannot be translated")
	case s.Background || s.Coprocess || s.Disown:
		return refusal(s.Pos(), "background commands cannot be translated")
	case s.Negated:
		return refusal(s.Pos(), "a negated command cannot be translated")
	}
	switch c := s.Cmd.(type) {
	case *syntax.CallExpr:
		return t.translateCall(c)
	case *syntax.BinaryCmd:
		if c.Op != syntax.AndStmt {
			return refusal(c.OpPos, "cannot translate commands joined by %s: only && and ; are supported", c.Op)
		}
		if err := t.translateStatement(c.X); err != nil {
			return err
		}
		return t.translateStatement(c.Y)
	}
	return refusal(s.Pos(), "only plain commands can be translated")
}

// word is a word of a command, without quotes and not expanded.
type word struct {
	text string
	pos  syntax.Pos
}

// translateCall translates one command.
func (t *Translation) translateCall(c *syntax.CallExpr) error {
	for _, a := range c.Assigns {
		if a.Name == nil || a.Name.Value != "DEBIAN_FRONTEND" || a.Append || a.Naked || a.Index != nil || a.Array != nil || a.Value == nil || literalText(a.Value) != "noninteractive" {
			return refusal(a.Pos(), "only the variable assignment DEBIAN_FRONTEND=noninteractive can be translated")
		}
	}
	args := c.Args
	if len(args) > 1 && literalText(args[0]) == "sudo" {
		args = args[1:]
	}
	if len(args) == 0 || literalText(args[0]) == "sudo" {
		return refusal(c.Pos(), "the command is missing")
	}
	parse, known := t.parsers()[literalText(args[0])]
	if !known {
		return refusal(args[0].Pos(), "cannot translate the command %q", events.SanitizeLine(literalText(args[0]), 60))
	}
	if len(t.Intents) >= maxCommands {
		return refusal(c.Pos(), "the text has more than %d commands", maxCommands)
	}
	var words []word
	for _, w := range args {
		text, ok := plainWord(w)
		if !ok {
			return refusal(w.Pos(), "the shell would expand this word, or it has characters that no package name has")
		}
		words = append(words, word{text, w.Pos()})
	}
	return parse(words)
}

// parsers returns the parsers of command lines, by program.
func (t *Translation) parsers() map[string]func([]word) error {
	return map[string]func([]word) error{"apt": t.parseApt, "apt-get": t.parseApt, "aptitude": t.parseApt, "apt-mark": t.parseAptMark, "dpkg": t.parseDpkg, "cortex": t.parseCortex}
}

// plainWord returns a word without quotes. ok is false unless the word is one literal text with
// only the characters of names, versions and options.
func plainWord(w *syntax.Word) (text string, ok bool) {
	s := literalText(w)
	ok = s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-:=_~") == "" && !strings.HasPrefix(s, "~")
	return s, ok
}

// literalText returns the text of a word that is one literal or one quoted part. For other
// words it returns "".
func literalText(w *syntax.Word) string {
	if len(w.Parts) != 1 {
		return ""
	}
	switch p := w.Parts[0].(type) {
	case *syntax.Lit:
		return p.Value
	case *syntax.SglQuoted:
		if !p.Dollar {
			return p.Value
		}
	case *syntax.DblQuoted:
		if lit, ok := singlePart(p.Parts).(*syntax.Lit); ok && !p.Dollar {
			return lit.Value
		}
	}
	return ""
}

func singlePart(parts []syntax.WordPart) syntax.WordPart {
	if len(parts) != 1 {
		return nil
	}
	return parts[0]
}

// addIntent appends an intent if it is valid.
func (t *Translation) addIntent(at syntax.Pos, in events.Intent) error {
	if err := in.Validate(); err != nil {
		return refusal(at, "%w", err)
	}
	t.Intents = append(t.Intents, in)
	return nil
}

// parsePackages parses the arguments of a command as packages.
func parsePackages(at syntax.Pos, words []word) ([]events.PackageRef, error) {
	var list []string
	for _, w := range words {
		list = append(list, w.text)
	}
	refs, err := intent.ParsePackages(list)
	if err != nil {
		return nil, refusal(at, "%w", err)
	}
	return refs, nil
}
